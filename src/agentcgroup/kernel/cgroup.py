"""One cgroup v2 directory: create, fill, limit, meter, freeze, kill and remove it.

Every method is a few file operations on the interface files of
Documentation/admin-guide/cgroup-v2.rst; nothing is cached, so two of these objects for one path
never disagree. Refused operations raise ``CgroupFileError`` with the reason and the fix.
"""

from __future__ import annotations

import errno
import os
import re
import select
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agentcgroup.errors import CgroupError
from agentcgroup.kernel.counters import USAGE_FILES, parse_int, parse_keyed, usage_from_text
from agentcgroup.kernel.refusal import CgroupFileError, refusal
from agentcgroup.model import Limits, Usage

__all__ = ["Cgroup", "CgroupFileError", "check_name", "usage_from_text"]

# Core and controller prefixes of interface files: a child of such a name could clash with one, now or after
# an upgrade of the kernel.
_RESERVED = re.compile(r"(cgroup|cpu|cpuset|memory|io|pids|hugetlb|rdma|misc|dmem|perf_event|irq|debug)\.")
_GONE = (errno.ENOENT, errno.ENODEV)  # ENODEV: removed between our open and our read or write
_KILL_ROUNDS = 100  # of the loop for kernels before 5.14; a frozen cgroup needs one or two


def check_name(name: str) -> str:
    """``name`` if it can name a cgroup: one path component that clashes with no interface file.

    Raises CgroupError otherwise. Cgroup names are bytes of 1 to 255 without ``/``, NUL and newline
    (cgroup_mkdir); a leading ``.`` is refused here so that ``.`` and ``..`` never arise.
    """
    try:
        length = len(os.fsencode(name))
    except UnicodeEncodeError:  # a lone surrogate that stands for no byte
        length = 0
    bad = not 0 < length <= 255 or name.startswith(".") or "/" in name or any(ord(c) < 32 for c in name)
    if bad or _RESERVED.match(name):
        raise CgroupError(
            f"{name!r} cannot name a cgroup",
            "use 1 to 255 bytes without '/', control characters, a leading '.' or a prefix such as 'memory.'",
        )
    return name


@dataclass(frozen=True, slots=True)
class Cgroup:
    """A cgroup by the ``path`` of its directory; the directory need not exist."""

    path: Path

    # The tree

    def child(self, name: str) -> Cgroup:
        """The cgroup ``name`` below this one, existing or not; CgroupError for a name that cannot be one."""
        return Cgroup(self.path / check_name(name))

    def create(self, name: str, *, exist_ok: bool = False) -> Cgroup:
        """Make the cgroup ``name`` below this one and return it."""
        made = self.child(name)
        try:
            made.path.mkdir(exist_ok=exist_ok)
        except OSError as error:
            raise refusal(made.path, "", "create cgroup", error) from None
        return made

    @property
    def exists(self) -> bool:
        """Whether this is a cgroup v2 directory now."""
        return (self.path / "cgroup.procs").exists()

    def children(self) -> list[Cgroup]:
        """The cgroups directly below, by name; empty when this one is gone."""
        try:
            with os.scandir(self.path) as entries:
                names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError as error:
            if error.errno in _GONE:
                return []
            raise refusal(self.path, "", "list", error) from None
        return [Cgroup(self.path / name) for name in sorted(names)]

    def subtree(self) -> Iterator[Cgroup]:
        """This cgroup and all below it, children before their parents (the order rmdir needs)."""
        for below in self.children():
            yield from below.subtree()
        yield self

    # Interface files

    def read(self, file: str) -> str | None:
        """The text of an interface file; None when the kernel does not offer it or the cgroup is gone.

        A pressure file that is switched off (cgroup.pressure 0) counts as not offered.
        """
        path = self._file(file)
        try:
            return path.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError as error:
            if error.errno in _GONE or (error.errno == errno.EOPNOTSUPP and file.endswith(".pressure")):
                return None
            raise refusal(self.path, file, "read", error) from None

    def read_int(self, file: str) -> int | None:
        """The number in a single-value file, None when it is not there or not a number."""
        return parse_int(self.read(file))

    def read_max(self, file: str) -> int | None:
        """The limit in a file such as ``memory.max``: a number, or None for ``max`` and for no file."""
        return parse_int(self.read(file))

    def read_keyed(self, file: str) -> dict[str, int]:
        """A flat keyed file (``memory.events``, ``cpu.stat``, ``cgroup.events``); empty when it is not there."""
        return parse_keyed(self.read(file))

    def write(self, file: str, value: str | int) -> None:
        """Write ``value`` to an interface file in one write(2); never creates a file."""
        path = self._file(file)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(descriptor, str(value).encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            raise refusal(self.path, file, f"write {str(value)!r} to", error) from None

    def has(self, file: str) -> bool:
        """Whether the kernel offers this interface file here."""
        return self._file(file).exists()

    def _file(self, file: str) -> Path:
        if "/" in file or "." not in file or file.startswith("."):
            raise CgroupError(f"{file!r} is not the name of a cgroup interface file")
        return self.path / file

    # Processes

    def procs(self) -> list[int]:
        """The processes directly in this cgroup that are visible from our PID namespace (others read as 0)."""
        return [pid for pid in map(int, (self.read("cgroup.procs") or "").split()) if pid]

    def threads(self) -> list[int]:
        """The threads directly in this cgroup."""
        return [tid for tid in map(int, (self.read("cgroup.threads") or "").split()) if tid]

    def attach(self, pid: int) -> None:
        """Move a process with all its threads here; 0 is the caller. CgroupFileError ESRCH when it has ended."""
        self.write("cgroup.procs", pid)

    def populated(self) -> bool:
        """Whether a live process is in this cgroup or below; False when the cgroup is gone."""
        events = self.read_keyed("cgroup.events")
        return bool(events["populated"]) if "populated" in events else bool(self.procs())

    # Controllers and limits

    def controllers(self) -> frozenset[str]:
        """The controllers that can be enabled for children here (cgroup.controllers)."""
        return frozenset((self.read("cgroup.controllers") or "").split())

    def enabled(self) -> frozenset[str]:
        """The controllers that are enabled for children (cgroup.subtree_control)."""
        return frozenset((self.read("cgroup.subtree_control") or "").split())

    def enable(self, controllers: Iterable[str]) -> frozenset[str]:
        """Enable those of ``controllers`` that are available here for children; returns all enabled now.

        A controller that the host lacks is left out without an error. One write each, since the
        kernel takes a write with several controllers as a whole or not at all.
        """
        for controller in sorted((frozenset(controllers) & self.controllers()) - self.enabled()):
            self.write("cgroup.subtree_control", f"+{controller}")
        return self.enabled()

    def apply(self, limits: Limits) -> list[str]:
        """Write the limits; returns the names of the files that are not there (controller not enabled for us).

        memory.oom.group comes first and memory.max last, so that an OOM caused by the new limit
        already takes the whole cgroup.
        """
        wanted: list[tuple[str, int | None]] = [
            ("memory.oom.group", 1 if limits.memory_oom_group else None),
            ("pids.max", limits.pids_max),
            ("cpu.weight", limits.cpu_weight),
            ("memory.swap.max", limits.memory_swap_max_bytes),
            ("memory.high", limits.memory_high_bytes),
            ("memory.max", limits.memory_max_bytes),
        ]
        missing = []
        for file, value in wanted:
            if value is None:
                continue
            if self.has(file):
                self.write(file, value)
            else:
                missing.append(file)
        return missing

    def usage(self) -> Usage:
        """What the kernel counted for this cgroup and all below so far; fields it does not offer are None."""
        texts = {file: text for file in USAGE_FILES if (text := self.read(file)) is not None}
        return usage_from_text(texts)

    # Freeze, kill, remove

    def freeze(self) -> None:
        """Ask for all processes here and below to stop at a safe point (cgroup.freeze, 5.2); see wait_frozen."""
        self.write("cgroup.freeze", 1)

    def thaw(self) -> None:
        """Let the processes run again."""
        self.write("cgroup.freeze", 0)

    def wait_frozen(self, timeout: float) -> bool:
        """Wait until the kernel confirms ``frozen 1``; False when it has not within ``timeout`` seconds."""
        return self._wait_event("frozen", 1, timeout)

    def wait_empty(self, timeout: float) -> bool:
        """Wait until no live process is here or below; False when some are after ``timeout`` seconds."""
        return self._wait_event("populated", 0, timeout)

    def kill(self) -> None:
        """SIGKILL every process here and below, forks included (cgroup.kill, 5.14; before it, a frozen loop)."""
        try:
            self.write("cgroup.kill", 1)
        except CgroupFileError as error:
            if error.errno not in _GONE:
                raise
            self._kill_one_by_one()

    def remove(self) -> None:
        """rmdir; nothing happens when it is gone already. CgroupFileError EBUSY while something is in it."""
        try:
            self.path.rmdir()
        except OSError as error:
            if error.errno not in _GONE:
                raise refusal(self.path, "", "remove", error) from None

    def remove_tree(self, timeout: float = 5.0) -> None:
        """Kill what runs here and below, wait for it to be gone and remove all; at most ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while self.path.exists():
            if self.populated():
                self.kill()
                self.wait_empty(max(0.0, deadline - time.monotonic()))
            try:
                for cgroup in self.subtree():
                    cgroup.remove()
            except CgroupFileError as error:
                # EBUSY lasts for a moment after the last exit: a zombie's css is released asynchronously.
                if error.errno != errno.EBUSY or time.monotonic() >= deadline:
                    raise
                time.sleep(0.002)

    def _wait_event(self, key: str, value: int, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        try:
            with (self.path / "cgroup.events").open("rb", buffering=0) as events:
                poll = select.poll()
                poll.register(events, select.POLLPRI)
                while True:
                    events.seek(0)
                    if parse_keyed(events.read(4096).decode()).get(key) == value:
                        return True
                    left = deadline - time.monotonic()
                    if left <= 0:
                        return False
                    poll.poll(left * 1000)
        except OSError as error:
            if error.errno in _GONE:
                return key == "populated"  # what is gone is empty, and never frozen
            raise refusal(self.path, "cgroup.events", "watch", error) from None

    def _kill_one_by_one(self) -> None:
        if self.exists and not self.has("cgroup.type"):
            raise CgroupError(f"{self.path} is the root of the hierarchy", "kill a cgroup below it")
        frozen = self.has("cgroup.freeze")
        if frozen:
            self.freeze()  # nobody forks away while we read the list; frozen processes do die of SIGKILL
        try:
            for _ in range(_KILL_ROUNDS):
                pids = [pid for cgroup in self.subtree() for pid in cgroup.procs()]
                for pid in pids:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                if not pids or self.wait_empty(0.02):
                    return
        finally:
            if frozen and self.exists:
                self.thaw()
