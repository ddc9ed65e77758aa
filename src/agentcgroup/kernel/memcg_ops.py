"""Delays and protection in the kernel's own reclaim path (src/agentcgroup/bpf/memcg.bpf.c), by struct memcg_bpf_ops.

    with MemcgOps(pressed=detector.pressed) as operations:
        operations.attach(Path("/sys/fs/cgroup/agentcgroup"))
        operations.add(cgroup_of_the_session, Priority.HIGH)
        ...
        operations.press(Priority.HIGH, time.monotonic_ns() + 50_000_000)  # unless the detector does so by itself

Which kernels have that type: kernel/memcg_type.py. Nothing is pinned: when this process ends, however it ends, so do
delays and protection.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from agentcgroup.kernel import btf, struct_ops
from agentcgroup.kernel.bpf import BpfObject, Map
from agentcgroup.kernel.closing import Closing
from agentcgroup.kernel.memcg_type import TYPE, Understood, understand
from agentcgroup.model import Priority

OBJECT = "memcg"
MOST_DELAY_MS = 2000  # the kernel's own limit for one delay (MEMCG_MAX_HIGH_DELAY_JIFFIES, mm/memcontrol.c)
OPERATIONS = "agentcgroup_memcg"

#: Callback -> our program for it, in the order of struct memcg_bpf_ops in memcg.h.
PROGRAMS = {
    "handle_cgroup_online": "memcg_online",
    "handle_cgroup_offline": "memcg_offline",
    "below_low": "memcg_below_low",
    "below_min": "memcg_below_min",
    "get_high_delay_ms": "memcg_high_delay",
    "memcg_charged": "memcg_charged",
}


@dataclass(frozen=True, slots=True)
class Counters:
    """Since the loading, of all CPUs: struct counters of memcg.h."""

    online: int  # cgroups that the kernel told us of
    offline: int
    low: int  # times that a cgroup was protected
    least: int  # the same, hard
    delays: int
    delay_ms: int  # all together


class State(ctypes.Structure):
    """struct state of memcg.h."""

    _fields_ = (
        ("delay_ms", ctypes.c_uint32),
        ("charged_delays", ctypes.c_uint32),
        ("least_pages", ctypes.c_uint64),
    )


class Callbacks(ctypes.Structure):
    """struct memcg_bpf_ops of memcg.h."""

    _fields_ = tuple((name, ctypes.c_void_p) for name in PROGRAMS)


def counters(loaded: BpfObject) -> Counters:
    """The sums over all CPUs."""
    return Counters(*loaded.maps["counts"].totals())


class MemcgOps(Closing):
    """Loaded from its construction until ``close``; BpfError says why it cannot be."""

    def __init__(self, *, delay_ms: int = MOST_DELAY_MS, least_bytes: int = 0, pressed: Map | None = None) -> None:
        """Load for the running kernel.

        ``delay_ms``: the longest delay in one go, 0 to MOST_DELAY_MS. ``least_bytes``: no reclaim takes so much from a
        protected cgroup, even if somebody must be killed for it. ``pressed``: the map of this name of the detector.
        """
        if not 0 <= delay_ms <= MOST_DELAY_MS:
            raise ValueError(f"a delay is 0 to {MOST_DELAY_MS} ms, not {delay_ms}")
        blob = btf.read()
        self.understood: Understood = understand(blob)
        with ExitStack() as stack:
            self._object = stack.enter_context(BpfObject(OBJECT))
            if pressed is not None:
                self._object.maps["pressed"].share(pressed.fileno())
            self._prepare(delay_ms, least_bytes)
            self._object.load()
            programs = {name: self._object.descriptor(PROGRAMS[name]) for name in self.understood.callbacks}
            self._value = struct_ops.value_of(blob, TYPE, programs)
            self._stack = stack.pop_all()
        self._ids: dict[Path, int] = {}  # of the sessions: the inode numbers, which cgroups are known by in the kernel

    def attach(self, cgroup: Path) -> None:
        """Have the kernel ask us about ``cgroup`` and what is below it, until ``close``."""
        self._stack.callback(os.close, struct_ops.attach(self._object.maps[OPERATIONS], self._value, cgroup))

    def add(self, session: Path, rank: Priority) -> None:
        """The cgroup ``session`` is a session of this rank, until it is removed or changed."""
        self._ids[session] = number = session.stat().st_ino
        self._object.maps["sessions"].put(_number(number, 8), _number(rank, 4))

    def remove(self, session: Path) -> None:
        """Leave the cgroup alone again; it may be gone already."""
        if (number := self._ids.pop(session, None)) is not None:
            self._object.maps["sessions"].delete(_number(number, 8))

    def press(self, rank: Priority, until_ns: int) -> None:
        """Sessions of ``rank`` are short of memory until then (CLOCK_MONOTONIC); a time that is past ends it."""
        self._object.maps["pressed"].put(_number(rank, 4), _number(until_ns, 8))

    def counters(self) -> Counters:
        """What it did so far."""
        return counters(self._object)

    def close(self) -> None:
        """Detach and unload; may be called again."""
        self._stack.close()

    def _prepare(self, delay_ms: int, least_bytes: int) -> None:
        """Set what is set before the loading, and leave out what this kernel would not call."""
        state = self._object.initial(".data", State)
        state.delay_ms, state.least_pages = delay_ms, least_bytes // mmap.PAGESIZE
        state.charged_delays = self.understood.delays == "memcg_charged"
        callbacks = self._object.initial(OPERATIONS, Callbacks)
        # libbpf passes over a member that the kernel lacks only when it is empty.
        for name in PROGRAMS.keys() - self.understood.callbacks:
            setattr(callbacks, name, None)
            self._object.leave_out(PROGRAMS[name])


def _number(value: int, size: int) -> bytes:
    return value.to_bytes(size, sys.byteorder)
