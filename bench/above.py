"""Another sched_ext scheduler, in partial mode, which lets ours attach below it: bench/bpf/above.bpf.c (Linux 7.3)."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from agentcgroup.kernel import btf
from agentcgroup.kernel.bpf import FOLDER, BpfObject
from hatch_build import find_clang

NAME = "bench_above"  # as the kernel shows it
_OBJECT = "above.bpf.o"
_SOURCE = Path(__file__).parent / "bpf" / "above.bpf.c"


class State(ctypes.Structure):
    """What it counts, and takes."""

    _fields_ = (
        ("queued", ctypes.c_uint64),  # tasks of its own
        ("passed_on", ctypes.c_uint64),  # times that the one below had a task for a CPU
        ("turn", ctypes.c_uint64),
        ("below", ctypes.c_uint64 * 8),  # the ids of their cgroups; 0: none
        ("granted", ctypes.c_int64),  # 0, or a negative error number
        ("exit_kind", ctypes.c_uint64),
        ("refusing", ctypes.c_uint64),  # 1: whoever wants to attach is turned away; to be set
        ("ending", ctypes.c_uint64),  # the id of the cgroup whose scheduler is to be ended; to be set
        ("message", ctypes.c_char * 128),
    )


class _Operations(ctypes.Structure):
    _fields_ = (
        ("callbacks", ctypes.c_void_p * 6),
        ("flags", ctypes.c_uint64),
        ("timeout_ms", ctypes.c_uint32),
        ("sub_cgroup_id", ctypes.c_uint64),
        ("name", ctypes.c_char * 128),
    )


@contextmanager
def above(*, open: bool = True) -> Iterator[State]:
    """It is the scheduler of the host meanwhile; without ``open`` it is one that cannot have others below it.

    SystemExit without clang, which compiles it; BpfError when the kernel does not take it.
    """
    with BpfObject(Path(_compiled().name) / _OBJECT) as program:
        operations = program.initial("above_ops", _Operations)
        operations.flags |= btf.enum_values(btf.read(), "scx_ops_flags", "SCX_OPS_SWITCH_PARTIAL")[0]
        if not open:
            operations.callbacks[4] = None
        program.load()
        program.attach_operations("above_ops")
        yield program.live(".data", State)


def attached() -> list[str]:
    """The names of the schedulers that are attached below the one of the host."""
    return [file.read_text().strip() for file in Path("/sys/kernel/sched_ext/root/sub").glob("*/ops")]


@cache
def _compiled() -> tempfile.TemporaryDirectory[str]:
    """The folder with the object, which is removed at the end of the process."""
    clang = find_clang()
    if clang is None:
        raise SystemExit("clang is needed to compile another scheduler: apt-get install clang")
    folder = tempfile.TemporaryDirectory()
    result = Path(folder.name) / _OBJECT
    subprocess.run([clang, "@flags", f"-I{FOLDER}", "-c", _SOURCE.resolve(), "-o", result], check=True, cwd=FOLDER)
    return folder
