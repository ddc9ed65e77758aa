"""Who stalls for memory, told by the kernel the moment it happens (src/agentcgroup/bpf/pressure.bpf.c).

    with Detector() as detector:
        detector.add(cgroup_of_the_session, Priority.HIGH)
        ...  # when detector.fileno() is readable
        for stall in detector.events():
            print(stall.call_name, stall.where)

A stall is a task that has to free memory itself before it gets any. Page faults are none, and cache that is taken back
at a limit looks like one: look at what the room is filled with before somebody has to give way. When this process
ends, however it does, the kernel forgets the detector. Linux 6.2 (storage kept with a cgroup).
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from agentcgroup.kernel.bpf import BpfObject, Map, RingBuffer
from agentcgroup.kernel.bpf_info import ProgramInfo
from agentcgroup.kernel.closing import Closing
from agentcgroup.kernel.libbpf import BpfError, Obstacle
from agentcgroup.model import Priority

OBJECT = "pressure"
_RING_BYTES = 256 << 10  # 1,400 stalls that nobody has read yet
# struct event: at, session, call; where, count, agent, four unused bytes; the names of session and call
_EVENT = struct.Struct("=3Q3I4x72s40s")


class Where(IntEnum):
    """Whose room there was none of."""

    OWN = 1  # of the call's own cgroup, or of the agent's
    CALLS = 2  # of calls/: all calls of the session share it
    SESSION = 3  # of the session, agent and all
    ABOVE = 4  # of a cgroup around the session
    HOST = 5


@dataclass(frozen=True, slots=True)
class Stall:
    """A task of a session had to free memory. Cgroups are the inode numbers of their directories."""

    at_ns: int  # CLOCK_MONOTONIC
    session: int
    call: int  # the cgroup of the call, or of the agent
    where: Where
    count: int  # stalls of this call for this room since the last one that was told, this one included
    agent: bool  # the task is the agent's own
    session_name: str  # of the cgroups' directories
    call_name: str


@dataclass(frozen=True, slots=True)
class Counters:
    """Since the detector was opened."""

    stalls: int  # of tasks of sessions, told or not
    others: int  # of all other tasks of the host
    told: int
    lost: int  # not told, for want of room in the ring: the reader was too slow


class _State(ctypes.Structure):
    """struct state of pressure.h."""

    _fields_ = tuple((name, ctypes.c_uint64) for name in ("every_ns", "pressed_ns", "lost"))


class Detector(Closing):
    """Tells of stalls of the sessions that were added, from its opening on until ``close``.

    A call is told of at once, and then once in ``every_s`` for each room. ``pressed_s``: for so long after a stall the
    rank of its session counts as pressed for other programs in the kernel (`pressed`). ``attached``: its programs.
    """

    def __init__(self, every_s: float = 0.005, pressed_s: float = 0.05, ring_bytes: int = _RING_BYTES) -> None:
        """Load and attach; BpfError says why it cannot be."""
        with ExitStack() as stack:
            self._object = stack.enter_context(BpfObject(OBJECT))
            initial = self._object.initial(".data", _State)
            initial.every_ns, initial.pressed_ns = int(every_s * 1e9), int(pressed_s * 1e9)
            self._object.maps["events"].resize(ring_bytes)
            self.attached = _attachable(self._object)
            self._object.load()
            self._state = self._object.live(".data", _State)
            self._ring = RingBuffer(self._object.maps["events"])
            stack.callback(self._ring.close)
            for program in self.attached:
                self._object.attach(program)
            self._stack = stack.pop_all()

    def add(self, session: Path | int, rank: Priority) -> None:
        """The cgroup ``session``, a directory or a descriptor of one, is one of this rank; again: of another rank."""
        with _descriptor(session) as key:
            self._object.maps["sessions"].put(key, int(rank).to_bytes(4, sys.byteorder))

    def remove(self, session: Path | int) -> None:
        """It is none any more. One whose cgroup was removed need not be."""
        try:
            with _descriptor(session) as key:
                self._object.maps["sessions"].delete(key)
        except FileNotFoundError:
            return

    def fileno(self) -> int:
        """A descriptor that polls readable when there is something to tell."""
        return self._ring.fileno()

    def events(self) -> list[Stall]:
        """The stalls that are there, in the order in which they were told; does not wait."""
        return [stall(record) for record in self._ring.consume()]

    def counters(self) -> Counters:
        """What has been seen since the opening."""
        stalls, others, told = self._object.maps["counts"].totals()
        return Counters(stalls, others, told, int(self._state.lost))

    def programs(self) -> dict[str, ProgramInfo]:
        """What the kernel says of each program, such as the instructions that its verifier walked through."""
        return self._object.info()

    @property
    def pressed(self) -> Map:
        """An array for other programs: for each rank (u32), until when (u64, ns of CLOCK_MONOTONIC) it is pressed."""
        return self._object.maps["pressed"]

    def close(self) -> None:
        """Detach and unload; may be called again."""
        self._stack.close()


def attempt() -> int:
    """Attach a detector for a moment, to see whether it can be; returns of how many programs it is.

    BpfError says why it cannot be.
    """
    with Detector(ring_bytes=mmap.PAGESIZE) as detector:
        return len(detector.attached)


def stall(record: bytes) -> Stall:
    """The stall of one record of the ring; ValueError for what the detector does not write."""
    if len(record) != _EVENT.size:
        raise ValueError(f"a record of {len(record)} bytes")
    at, session, call, where, count, agent, session_name, call_name = _EVENT.unpack(record)
    return Stall(at, session, call, Where(where), count, bool(agent), _text(session_name), _text(call_name))


def _attachable(opened: BpfObject) -> tuple[str, ...]:
    """The programs for which this kernel has a place; the others are left out. BpfError when there is none at all."""
    found = tuple(program for program in opened.programs if opened.has_target(program))
    for program in set(opened.programs).difference(found):
        opened.leave_out(program)
    if not found:
        raise BpfError(
            Obstacle.REFUSED,
            "this kernel has none of the functions in which tasks stall for memory",
            "use Linux 6.2 or newer, such as `agentcgroup lab`",
        )
    return found


@contextmanager
def _descriptor(session: Path | int) -> Iterator[bytes]:
    """The cgroup as the key of its storage: a descriptor of its directory."""
    if isinstance(session, int):
        yield session.to_bytes(4, sys.byteorder)
        return
    descriptor = os.open(session, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor.to_bytes(4, sys.byteorder)
    finally:
        os.close(descriptor)


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode(errors="surrogateescape")
