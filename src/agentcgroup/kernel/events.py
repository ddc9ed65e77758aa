"""What the event files of many cgroups report, through one descriptor: memory.events, cgroup.events, pids.events …

The kernel notifies of a change of these files in two ways (cgroup_file_notify): POLLPRI on an open descriptor of the
file, and an inotify IN_MODIFY (both since 4.5 or before). Measured on Linux 6.18 with 4,000 cgroups, per file:

                        add      remove    take one change    held by the kernel    descriptors
    POLLPRI, epoll      18 µs    5 µs      3 µs (pread)       6.5 KiB               1 each
    inotify             7 µs     2.5 µs    12 µs (open)       about 1 KiB           1 for all

(17 µs, not 7, for the first to touch the file), and the same delay of 0.1 ms (p50) on an idle and on a busy machine.
So inotify: adding is on the life of every call, and descriptors are what a host runs out of. The files are watched,
not their folder, although that would be one watch for all files of a cgroup: the kernel reports a file to the watch of
its folder only as long as the file is in the inode cache, which shrinks when memory is short; a watch on the file
keeps it there (kernfs_notify_workfn; tried: after the caches were dropped, the folder's watch stayed silent).

A file notifies at most once in 10 ms (CGROUP_FILE_NOTIFY_MIN_INTV): the first change at once, the next ones together.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from agentcgroup.errors import HostError
from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.closing import Closing
from agentcgroup.kernel.counters import parse_keyed
from agentcgroup.kernel.refusal import refusal

#: What a call is watched for. The client reads the rest at its end; ``wait_event`` is for a freeze. Of a cgroup above
#: calls, watch ``memory.events.local``: ``memory.events`` counts what happened below it as well.
CALL_FILES = ("memory.events",)

_GONE = (errno.ENOENT, errno.ENODEV)  # ENODEV: removed between open and read
_IN_MODIFY = 0x2
_IN_Q_OVERFLOW = 0x4000
_IN_IGNORED = 0x8000
_EVENT = struct.Struct("iIII")  # wd, mask, cookie, length of the name: struct inotify_event
_BATCH = 512 * _EVENT.size  # of one look: what is left keeps the descriptor readable, and others have their turn


@dataclass(frozen=True, slots=True)
class Change:
    """One file moved. ``by`` has the keys that changed: now less before; a counter only grows, ``frozen`` goes back.

    ``gone``: the cgroup is not there any more, and this was the last word about it; it is not watched any longer.
    """

    cgroup: Cgroup
    file: str
    by: dict[str, int]
    gone: bool = False


@dataclass(slots=True)
class _Watched:
    cgroup: Cgroup
    file: str
    path: str
    values: dict[str, int] = field(default_factory=dict)


class EventWatch(Closing):
    """Watches event files; ``fileno`` is readable (``loop.add_reader``) when ``changes`` has something to tell."""

    def __init__(self) -> None:
        """HostError when this user has too many inotify instances."""
        libc = ctypes.CDLL(None, use_errno=True)
        self._add_watch, self._remove_watch = libc.inotify_add_watch, libc.inotify_rm_watch
        self._descriptor: int = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._descriptor < 0:
            raise _refused("inotify_init1", ctypes.get_errno())
        self._watched: dict[int, _Watched] = {}
        self._numbers: dict[str, list[int]] = {}  # of each cgroup, by its path

    def __len__(self) -> int:
        """How many files are watched."""
        return len(self._watched)

    def fileno(self) -> int:
        """The one descriptor; -1 when closed."""
        return self._descriptor

    def add(self, cgroup: Cgroup, files: Sequence[str] = CALL_FILES, *, fresh: bool = False) -> tuple[str, ...]:
        """Watch these files of ``cgroup``, from now on; what is watched already stays as it is.

        ``fresh``: it has just been made and nothing was in it, so that all counters are 0 and need not be read. Returns
        the files that are watched: those that the kernel offers here, none when the cgroup is gone. Raises HostError
        when this user has too many watches, CgroupFileError when a file may not be read.
        """
        folder = str(cgroup.path)
        numbers = self._numbers.setdefault(folder, [])
        there = []
        try:
            for file in files:
                path = f"{folder}/{file}"
                number = self._number_of(cgroup, file, path)
                if number is None:
                    continue
                there.append(file)
                if number not in self._watched:
                    numbers.append(number)
                    watched = self._watched[number] = _Watched(cgroup, file, path)
                    # Read after watching: a change between the two is known twice, not lost.
                    watched.values = {} if fresh else _values(watched) or {}
        finally:
            if not numbers:
                del self._numbers[folder]
        return tuple(there)

    def remove(self, cgroup: Cgroup) -> None:
        """Stop watching all files of ``cgroup``; best before it is removed. Harmless when it was not watched."""
        for number in self._numbers.pop(str(cgroup.path), ()):
            del self._watched[number]
            self._remove_watch(self._descriptor, number)  # EINVAL: the kernel has dropped it with the file

    def values(self, cgroup: Cgroup, file: str) -> dict[str, int]:
        """What this file said when it was last read; empty when it is not watched or was fresh and has not moved."""
        for number in self._numbers.get(str(cgroup.path), ()):
            if self._watched[number].file == file:
                return dict(self._watched[number].values)
        return {}

    def changes(self) -> list[Change]:
        """What moved since the last time, each file once; waits for nothing. At most 512 notices are taken at once."""
        try:
            notices = os.read(self._descriptor, _BATCH)
        except BlockingIOError:
            return []
        found = []
        for number, dropped in self._moved(notices).items():
            watched = self._watched.get(number)
            change = self._look(watched, dropped) if watched is not None else None
            if change is not None:
                found.append(change)
        return found

    def close(self) -> None:
        """Stop watching everything. Harmless when closed already."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._watched.clear()
            self._numbers.clear()

    def _number_of(self, cgroup: Cgroup, file: str, path: str) -> int | None:
        """The watch descriptor of a file; None when there is no such file."""
        number: int = self._add_watch(self._descriptor, os.fsencode(path), _IN_MODIFY)
        if number >= 0:
            return number
        error = ctypes.get_errno()
        if error in _GONE:
            return None
        if error in (errno.ENOSPC, errno.ENOMEM):
            raise _refused(f"inotify_add_watch on {path}", error)
        raise refusal(cgroup.path, file, "watch", OSError(error, os.strerror(error)))

    def _moved(self, notices: bytes) -> dict[int, bool]:
        """The watch descriptors of these notices, and whether the kernel has dropped them with their file.

        All watch descriptors when there were more notices than the kernel keeps (fs.inotify.max_queued_events).
        """
        moved: dict[int, bool] = {}
        at = 0
        while at < len(notices):
            number, mask, _, length = _EVENT.unpack_from(notices, at)
            at += _EVENT.size + length
            if mask & _IN_Q_OVERFLOW:
                return dict.fromkeys(self._watched, False) | moved
            moved[number] = moved.get(number, False) or bool(mask & _IN_IGNORED)
        return moved

    def _look(self, watched: _Watched, dropped: bool) -> Change | None:
        """The change of one file; None when nothing did, since a notice may be about what was read already."""
        values = None if dropped else _values(watched)
        if values is None:
            self.remove(watched.cgroup)
            return Change(watched.cgroup, watched.file, {}, gone=True)
        before, watched.values = watched.values, values
        by = {key: value - before.get(key, 0) for key, value in values.items() if value != before.get(key, 0)}
        return Change(watched.cgroup, watched.file, by) if by else None


def _values(watched: _Watched) -> dict[str, int] | None:
    """The numbers in a file now; None when it is gone. Cgroup.read does the same with a Path, in twice the time."""
    try:
        descriptor = os.open(watched.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return parse_keyed(os.read(descriptor, 4096).decode())
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise refusal(watched.cgroup.path, watched.file, "read", error) from None


def _refused(what: str, number: int) -> HostError:
    fixes = {
        errno.EMFILE: "as root: sysctl fs.inotify.max_user_instances=1024 (or ulimit -n is too low)",
        errno.ENFILE: "as root: sysctl fs.file-max=1000000",
        errno.ENOSPC: "as root: sysctl fs.inotify.max_user_watches=524288; editors of the same user take from it too",
    }
    return HostError(f"{what}: {os.strerror(number)}", fixes.get(number, "free some memory"))
