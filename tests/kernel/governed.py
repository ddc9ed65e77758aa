"""Sessions and calls for tests of the scheduler: real cgroups, and processes in them that sched_ext governs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from agentcgroup.kernel.hierarchy import unified_mounts
from agentcgroup.kernel.scx import join

BURN = ("sh", "-c", "while :; do :; done")


@contextmanager
def session_cgroup(name: str) -> Iterator[Path]:
    """The cgroup of a session, ROOT/name/session, with the CPU controller for its calls; all in it is killed."""
    mount = unified_mounts()[0].point
    (mount / "cgroup.subtree_control").write_text("+cpu")
    top = mount / name
    for folder in (top, top / "session", top / "session" / "calls"):
        folder.mkdir()
        (folder / "cgroup.subtree_control").write_text("+cpu")
    try:
        yield top / "session"
    finally:
        (top / "cgroup.kill").write_text("1")
        while top.exists():
            with suppress(OSError):  # who dies may still make one, or remove one
                for folder in sorted(top.glob("**/"), key=lambda path: -len(path.parts)):
                    folder.rmdir()


def call_of(session: Path, name: str) -> Path:
    """The cgroup of a call, made if it is not there."""
    call = session / "calls" / name
    call.mkdir(exist_ok=True)
    return call


def governed(call: Path, command: Sequence[str] = BURN) -> subprocess.Popen[bytes]:
    """A process in the cgroup of a call, governed by sched_ext; it uses a CPU unless told to do something else."""

    def enter() -> None:
        (call / "cgroup.procs").write_text("0")
        join(0)

    # Another program, for a forked child would keep the descriptors that hold the scheduler.
    return subprocess.Popen(command, preexec_fn=enter)


def used_us(cgroup: Path) -> int:
    """CPU time of a cgroup so far."""
    return int((cgroup / "cpu.stat").read_text().split()[1])


def cpus(cgroup: Path, seconds: float) -> float:
    """How many CPUs a cgroup uses, on average over the next ``seconds``."""
    before, begun = used_us(cgroup), time.monotonic()
    time.sleep(seconds)
    return (used_us(cgroup) - before) / 1e6 / (time.monotonic() - begun)


def wait_until(true: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether it is true within so many seconds."""
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(0.002)
    return True
