"""What the exec tracker tells: one frozen record per event, made from the bytes of src/agentcgroup/bpf/exec.h.

Instants are nanoseconds of CLOCK_MONOTONIC (time.monotonic_ns), cgroups are the kernel's ids (the inode number of
the cgroup's directory), pids are those of the initial pid namespace.
"""

from __future__ import annotations

import ctypes
import os
import struct
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

MAX_ARGUMENTS = 4096  # bytes of the arguments that are kept
MAX_KNOWN = 8
_CUT, _UNREADABLE, _PATH_CUT, _KNOWN = 1, 2, 4, 8
_FORK, _EXEC, _EXIT, _MOVE, _LEFT = 1, 2, 3, 4, 5
# struct event: at, started, parent_started, cgroup, from; kind, pid, parent, thread; status; flags, arguments, path;
# six unused bytes; name
_EVENT = struct.Struct("=5Q4Ii3H6x16s")


class State(ctypes.Structure):
    """struct state: the global data that the tracker's programs and user space share."""

    _fields_ = (
        *((name, ctypes.c_uint64) for name in ("root", "quiet_until", "urgent", "lost", "unmarked")),
        *((name, ctypes.c_uint64) for name in ("watched", "watched_kinds")),
        ("known", ctypes.c_uint64 * MAX_KNOWN),
        ("known_device", ctypes.c_uint64),
    )


class ProcessKey(NamedTuple):
    """A process for ever: the kernel gives a pid to another one later, but never with the same start."""

    pid: int
    started_ns: int  # CLOCK_BOOTTIME; field 22 of /proc/PID/stat is this in ticks

    def start_ticks(self) -> int:
        """The start as /proc/PID/stat has it (agentcgroup.kernel.process.ProcessStat.start_ticks)."""
        return self.started_ns * os.sysconf("SC_CLK_TCK") // 1_000_000_000


@dataclass(frozen=True, slots=True)
class Forked:
    """A process was born in one of our cgroups; it has not run yet."""

    at_ns: int
    process: ProcessKey
    parent: ProcessKey  # need not be one of ours
    cgroup: int
    name: str  # comm


@dataclass(frozen=True, slots=True)
class Executed:
    """A process runs another program; its first instruction is still to come."""

    at_ns: int
    process: ProcessKey
    parent: ProcessKey
    cgroup: int
    name: str
    thread: int  # that called execve; the process has become it
    raw_arguments: bytes  # as they are in its memory, NUL after each; at most MAX_ARGUMENTS bytes
    arguments_cut: bool  # there were more bytes
    arguments_missing: bool  # they could not be read: they were not in memory
    path: str  # as given to execve, of a script too; at most 255 bytes
    path_cut: bool
    known: bool = False  # it is one of the programs that Tracker.know named

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments, with undecodable bytes as in os.fsdecode; the last one may be cut."""
        if not self.raw_arguments:
            return ()
        parts = self.raw_arguments.removesuffix(b"\0").split(b"\0")
        return tuple(part.decode(errors="surrogateescape") for part in parts)


@dataclass(frozen=True, slots=True)
class Exited:
    """The last thread of a process ended."""

    at_ns: int
    process: ProcessKey
    parent: ProcessKey  # who will be told; not who made it, when that one ended before
    cgroup: int
    name: str
    status: int  # as wait(2) gives it

    @property
    def exit_code(self) -> int:
        """As subprocess gives it: the exit status, or minus the number of the signal."""
        return os.waitstatus_to_exitcode(self.status)


@dataclass(frozen=True, slots=True)
class Moved:
    """A process came into one of our cgroups, from outside (``from_cgroup`` is 0) or from another one of ours."""

    at_ns: int
    process: ProcessKey
    parent: ProcessKey
    cgroup: int
    name: str
    from_cgroup: int


@dataclass(frozen=True, slots=True)
class Left:
    """A process of ours was moved out of our cgroups, or one that ours forked was born outside (clone3)."""

    at_ns: int
    process: ProcessKey
    parent: ProcessKey
    cgroup: int  # where it is now
    name: str
    from_cgroup: int


@dataclass(frozen=True, slots=True)
class Lost:
    """The kernel may not have told everything since the last such record: look at the processes themselves."""

    events: int  # no room in the ring: the reader was too slow
    skipped: int  # at most so many were missed because the kernel skipped both programs that could tell (recursion)
    unmarked: int  # processes that could not be remembered, so that their leaving will not be seen


Event: TypeAlias = Forked | Executed | Exited | Moved | Left | Lost


#: Event -> its number in the kernel (enum event_kind).
KINDS: dict[type[Event], int] = {Forked: _FORK, Executed: _EXEC, Exited: _EXIT, Moved: _MOVE, Left: _LEFT}


@dataclass(frozen=True, slots=True)
class Counters:
    """What the tracker saw of ours since it was opened, told or not: struct counters of exec.h."""

    forks: int
    execs: int
    exits: int
    moves: int
    left: int


def event(record: bytes) -> Event:
    """The event of one record of the ring; ValueError for what the tracker does not write."""
    if len(record) < _EVENT.size:
        raise ValueError(f"a record of {len(record)} bytes")
    at, started, parent_started, cgroup, from_cgroup, kind, pid, parent_pid, thread, status, *rest = _EVENT.unpack_from(
        record
    )
    flags, arguments, path, name = rest
    process, parent = ProcessKey(pid, started), ProcessKey(parent_pid, parent_started)
    comm = _text(name.partition(b"\0")[0])
    if kind == _FORK:
        return Forked(at, process, parent, cgroup, comm)
    if kind == _EXIT:
        return Exited(at, process, parent, cgroup, comm, status)
    if kind == _MOVE:
        return Moved(at, process, parent, cgroup, comm, from_cgroup)
    if kind == _LEFT:
        return Left(at, process, parent, cgroup, comm, from_cgroup)
    end = _EVENT.size + arguments
    if kind != _EXEC or len(record) != end + path:
        raise ValueError(f"a record of kind {kind} and {len(record)} bytes")
    return Executed(
        *(at, process, parent, cgroup, comm, thread),
        raw_arguments=record[_EVENT.size : end],
        arguments_cut=bool(flags & _CUT),
        arguments_missing=bool(flags & _UNREADABLE),
        path=_text(record[end:]),
        path_cut=bool(flags & _PATH_CUT),
        known=bool(flags & _KNOWN),
    )


def _text(raw: bytes) -> str:
    return raw.decode(errors="surrogateescape")
