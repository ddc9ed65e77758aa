"""The exec tracker: what the processes below one cgroup do, as the kernel sees it (src/agentcgroup/bpf/exec.bpf.c).

    with Tracker(Path("/sys/fs/cgroup/agentcgroup")) as tracker:
        async for events in stream(tracker):
            ...

Events come in the order in which they happened, and what could not be told is told as ``Lost``. When this process
ends, however it does, the kernel forgets the tracker.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import time
from collections.abc import AsyncIterator, Collection
from contextlib import ExitStack
from pathlib import Path

from agentcgroup.kernel.bpf import BpfObject, RingBuffer
from agentcgroup.kernel.bpf_info import ProgramInfo
from agentcgroup.kernel.closing import Closing
from agentcgroup.kernel.libbpf import BpfError, Obstacle
from agentcgroup.kernel.tracking_events import (
    KINDS,
    MAX_KNOWN,
    Counters,
    Event,
    Left,
    Lost,
    State,
    event,
)

OBJECT = "exec"
#: Attached in this order: nothing is told of a process before it can be remembered.
_FIRST = ("agent_exit", "agent_move", "agent_exec", "agent_fork")
#: Each is there twice, the second for what the kernel skips the first (exec.bpf.c says why it may).
PROGRAMS = (*_FIRST, *(f"{name}_2" for name in _FIRST))
_PRESENT = "agent_present"
_RING_BYTES = 4 << 20  # 20,000 events of ordinary size
PAUSE_S = 0.1
_MISSES_EVERY_S = 1.0
_FIRST_PID_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO, include/linux/proc_ns.h


class Tracker(Closing):
    """Tells what processes below ``root`` do from its opening on; ``read`` what has come, ``fileno`` to wait for it."""

    def __init__(
        self, root: Path | None, ring_bytes: int = _RING_BYTES, urgent: Collection[type[Event]] = (Left,)
    ) -> None:
        """Load and attach the tracker for the cgroup directory ``root``, of cgroup v2; None is none.

        ``ring_bytes``, a power of two, is what the kernel may keep until it is read. Events of the kinds ``urgent``
        make the descriptor readable even in a quiet time. BpfError says why it cannot be.
        """
        _check_namespace()
        root_id = root.stat().st_ino if root else 0
        with ExitStack() as stack:
            self._object = stack.enter_context(BpfObject(OBJECT))
            self._prepare(root_id, ring_bytes, urgent)
            self._ring = RingBuffer(self._object.maps["events"])
            stack.callback(self._ring.close)
            for program in PROGRAMS:
                self._object.attach(program)
            self._object.run_iterator(_PRESENT)
            self._stack = stack.pop_all()
        self._told = Lost(0, 0, 0)
        self._look_at_misses = 0.0

    def fileno(self) -> int:
        """A descriptor that polls readable when the kernel has something to tell."""
        return self._ring.fileno()

    def read(self) -> list[Event]:
        """The events that are there, oldest first; a ``Lost`` at the end when some could not be told."""
        events = [event(record) for record in self._ring.consume()]
        lost = self._lost()
        if lost != self._told:
            before, self._told = self._told, lost
            events.append(
                Lost(lost.events - before.events, lost.skipped - before.skipped, lost.unmarked - before.unmarked)
            )
        return events

    def quiet(self, seconds: float) -> None:
        """Do not make the descriptor readable for so long but for urgent events: we shall read by ourselves then."""
        self._state.quiet_until = time.monotonic_ns() + int(seconds * 1e9)

    def watch(self, cgroup: Path, kinds: Collection[type[Event]]) -> None:
        """Events of these kinds are urgent in this cgroup from now on, but for execs of programs that are known."""
        self._state.watched_kinds = sum(1 << KINDS[kind] for kind in kinds)
        self._state.watched = cgroup.stat().st_ino

    def know(self, files: Collection[Path]) -> bool:
        """Execs of these programs, all on one file system and at most MAX_KNOWN, are told as known.

        False on a file system that shows other numbers than it keeps (overlayfs of several, btrfs): not told so there.
        """
        found = [file.stat() for file in files][:MAX_KNOWN]
        mounted = {line.split(" ", 3)[2] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
        for place, info in enumerate(found):
            self._state.known[place] = info.st_ino
            self._state.known_device = os.major(info.st_dev) << 20 | os.minor(info.st_dev)
        return all(f"{os.major(info.st_dev)}:{os.minor(info.st_dev)}" in mounted for info in found)

    def counters(self) -> Counters:
        """What has been seen since the opening."""
        return Counters(*self._object.maps["counts"].totals())

    def programs(self) -> dict[str, ProgramInfo]:
        """What the kernel says of each program, such as the instructions that its verifier walked through."""
        return self._object.info()

    def close(self) -> None:
        """Detach and unload; may be called again."""
        self._stack.close()

    def _prepare(self, root_id: int, ring_bytes: int, urgent: Collection[type[Event]]) -> None:
        initial = self._object.initial(".data", State)
        initial.root = root_id
        initial.urgent = sum(1 << KINDS[kind] for kind in urgent)
        self._object.maps["events"].resize(ring_bytes)
        self._object.load()
        self._state = self._object.live(".data", State)

    def _lost(self) -> Lost:
        skipped, now = self._told.skipped, time.monotonic()
        if now >= self._look_at_misses:  # this one takes system calls
            self._look_at_misses = now + _MISSES_EVERY_S
            info = self._object.info()
            skipped = sum(min(info[name].missed, info[f"{name}_2"].missed) for name in _FIRST)
        return Lost(self._state.lost, skipped, self._state.unmarked)


def attempt() -> int:
    """Attach the tracker for a moment, to see whether it can be; returns of how many programs it is.

    BpfError says why it cannot be.
    """
    with Tracker(None, ring_bytes=mmap.PAGESIZE):
        return len(PROGRAMS)


async def stream(tracker: Tracker, pause_s: float = PAUSE_S) -> AsyncIterator[list[Event]]:
    """The events in portions: a first one at once, those of the next ``pause_s`` seconds together, urgent ones at once.

    The pause keeps a busy session from waking this process thousands of times a second, which costs far more than
    the events themselves.
    """
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(tracker.fileno(), ready.set)
    last = loop.time() - 9 * pause_s  # when there were events
    try:
        while True:
            ready.clear()
            idle = loop.time() - last
            if idle < 2 * pause_s:
                tracker.quiet(pause_s)  # before the look, else what comes during it wakes us
            events = tracker.read()
            if events:
                tracker.quiet(pause_s)
                last = loop.time()
            elif idle >= pause_s:
                tracker.quiet(0)
            # Two more looks after the quiet was lifted, for an event that came just before.
            timer = loop.call_later(pause_s, ready.set) if events or idle < 3 * pause_s else None
            if events:
                yield events
            await ready.wait()
            if timer:
                timer.cancel()
    finally:
        loop.remove_reader(tracker.fileno())


def _check_namespace() -> None:
    """The tracker gives the kernel's own pids, which are not those that a process in a container sees."""
    if Path("/proc/self/ns/pid").stat().st_ino != _FIRST_PID_NAMESPACE:
        raise BpfError(
            Obstacle.OTHER_NAMESPACE,
            "this process is in a pid namespace of its own, so the kernel's pids would not fit",
            "run it on the host itself, or start the container with the host's pid namespace (--pid=host)",
        )
