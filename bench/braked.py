"""What the brakes are tried on: a session that works, one that stalls for memory, and who wants a lock of the kernel.

The low session's workers write the time into shared memory, again and again, and note every pause; so it is known to
the microsecond when each has executed its last instruction before it was stopped.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from agentcgroup.kernel.hierarchy import unified_mounts
from agentcgroup.kernel.scx import join
from agentcgroup.model import CPU_WEIGHTS, Priority

PAUSE_NS = 40_000_000  # shorter ones are the scheduler's, on an emulated machine
_PAUSES = 200
_SLOT = 2 + 2 * _PAUSES  # last stamp, number of pauses, and of each its last stamp before and its first one after
_STALLS_AT = 20 << 20


class Sessions:
    """The cgroups ROOT/low/calls/a and ROOT/high/calls/a, and processes in them, which are killed at the end."""

    def __init__(self) -> None:
        mount = unified_mounts()[0].point
        (mount / "cgroup.subtree_control").write_text("+cpu +memory")
        self.root = mount / f"bench-brakes-{os.getpid()}"
        for folder in ("", "low", "low/calls", "high", "high/calls"):
            (self.root / folder).mkdir()
            (self.root / folder / "cgroup.subtree_control").write_text("+cpu +memory")
        for name in ("low", "high"):
            self.call(name).mkdir()
        (self.call("high") / "memory.high").write_text(str(_STALLS_AT))
        memory = mmap.mmap(-1, 16 * _SLOT * 8)
        self._memory = (ctypes.c_uint64 * (16 * _SLOT)).from_buffer(memory)  # each is written at once, unlike by struct
        self._pids: list[int] = []

    def weigh(self, by_priority: bool) -> None:
        """Give the sessions the weights of their priorities, or equal ones."""
        for name in ("low", "high"):
            priority = Priority[name.upper()] if by_priority else Priority.NORMAL
            (self.root / name / "cpu.weight").write_text(str(CPU_WEIGHTS[priority]))

    def session(self, name: str) -> Path:
        """The cgroup of a session."""
        return self.root / name

    def call(self, name: str) -> Path:
        """The cgroup of its call."""
        return self.root / name / "calls" / "a"

    def start(self, name: str, work: Callable[[], None], governed: bool) -> int:
        """A process in the call of a session, under sched_ext if it is ``governed``."""
        pid = os.fork()
        if pid == 0:
            try:
                (self.call(name) / "cgroup.procs").write_text("0")
                if governed:
                    join(0)
                work()
            except BaseException as error:
                os.write(2, f"{name}: {error!r}\n".encode())
            finally:
                os._exit(0)
        self._pids.append(pid)
        return pid

    def stop(self) -> None:
        """Kill all processes, and let the low call go on."""
        (self.call("low") / "cgroup.freeze").write_text("0")
        for pid in self._pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self._pids.clear()

    def remove(self) -> None:
        """Remove the cgroups."""
        self.stop()
        while self.root.exists():
            with suppress(OSError):  # who dies may still make one, or remove one
                for folder in sorted(self.root.glob("**/"), key=lambda path: -len(path.parts)):
                    folder.rmdir()

    # Work

    def stamp(self, place: int, fill: bool) -> Callable[[], None]:
        """Work that stamps slot ``place``; with ``fill`` it writes to 256 KiB of fresh memory each time."""

        def work() -> None:
            memory, at = self._memory, place * _SLOT
            last, pauses = time.monotonic_ns(), 0
            memory[at], memory[at + 1] = last, 0
            while True:
                if fill:
                    with mmap.mmap(-1, 1 << 18) as fresh:
                        fresh.write(b"x" * (1 << 18))
                now = time.monotonic_ns()
                if now - last > PAUSE_NS and pauses < _PAUSES:
                    memory[at + 2 + 2 * pauses], memory[at + 3 + 2 * pauses] = last, now
                    pauses += 1
                    memory[at + 1] = pauses
                memory[at] = last = now

        return work

    def pauses(self, place: int) -> list[tuple[int, int]]:
        """Of a slot: last stamp before and first one after each pause; the one that lasts ends now."""
        slot = self._memory[place * _SLOT : (place + 1) * _SLOT]
        last, count, *stamps = slot
        found = list(zip(stamps[: 2 * count : 2], stamps[1 : 2 * count : 2], strict=True))
        now = time.monotonic_ns()
        return [*found, (last, now)] if now - last > PAUSE_NS else found

    def hammer(self, place: int) -> Callable[[], None]:
        """Work that owns cgroup_mutex nearly all of the time."""

        def work() -> None:
            self._mkdir(self.session("low") / f"hammer{place}", float("inf"))

        return work

    def probe(self, seconds: float, write: int) -> Callable[[], None]:
        """Work that needs it, too: when each wait has ended (s) and how long it was (ms) go to ``write``."""

        def work() -> None:
            waits = self._mkdir(self.session("high") / "probe", time.monotonic() + seconds)
            longest = sorted(waits, key=lambda each: each[1])[-1000:]
            os.write(write, " ".join(f"{ended:.6f}:{wait:.3f}" for ended, wait in longest).encode())

        return work

    @staticmethod
    def _mkdir(folder: Path, until: float) -> list[tuple[float, float]]:
        waits: list[tuple[float, float]] = []
        path = str(folder)
        while (begun := time.monotonic()) < until:
            os.mkdir(path)  # noqa: PTH102 (nothing but the calls to the kernel)
            os.rmdir(path)  # noqa: PTH106
            if until != float("inf"):
                ended = time.monotonic()
                waits.append((ended, (ended - begun) * 1000))
        return waits


def stall() -> None:
    """Work of the high session: use more than its memory.high lets it, then sleep."""
    kept = [b"\1" * (1 << 20) for _ in range((_STALLS_AT >> 20) + 4)]
    time.sleep(60 + len(kept))
