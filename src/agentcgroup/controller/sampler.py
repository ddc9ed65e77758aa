"""Samples of the session, the agent and the running calls, for the record only: nothing is decided by them.

Also the one place where commands are noticed that ran past the client (``uncaught``): shells, and children of shells,
seen in the agent leaf.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from agentcgroup.controller.calls import Call
from agentcgroup.domain.leaf import CgroupLeaf
from agentcgroup.domain.tree import SessionTree
from agentcgroup.kernel import process
from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.psi import parse_pressure
from agentcgroup.trace.records import Uncaught
from agentcgroup.trace.samples import Sample, SampleSpool

_PSS_EVERY_NS = 500_000_000  # reading smaps_rollup walks page tables: not at every sample


@dataclass(slots=True)
class Sampler:
    """Takes one sample of everything at each ``tick``."""

    spool: SampleSpool
    tree: SessionTree | None
    calls: Callable[[], Iterable[Call]]
    agent_pids: Callable[[], Iterable[int]]  # what runs in the session and in no call
    own_memory: bool  # memory.current is there; else PSS sums
    agent_peak_bytes: int | None = None  # the largest PSS sums seen; None with own_memory
    session_peak_bytes: int | None = None
    _pss_at_ns: int = 0

    def tick(self) -> None:
        """One sample per domain, appended in one write."""
        now = time.monotonic_ns()
        pss = not self.own_memory and now - self._pss_at_ns >= _PSS_EVERY_NS
        if pss:
            self._pss_at_ns = now
        total = agent = process.pss_sum_bytes(self.agent_pids()) if pss else None
        samples = []
        for call in self.calls():
            memory = process.pss_sum_bytes(call.leaf.pids()) if pss else None
            if memory is not None:
                total = memory + (total or 0)
                call.sampled_peak_bytes = max(memory, call.sampled_peak_bytes or 0)
            if isinstance(call.leaf, CgroupLeaf):
                samples.append(self._cgroup(now, call.start.call, call.leaf.cgroup, memory))
            elif memory is not None:
                samples.append(Sample(now, call.start.call, memory_bytes=memory, pids=len(call.leaf.pids())))
        self.agent_peak_bytes = _larger(self.agent_peak_bytes, agent)
        self.session_peak_bytes = _larger(self.session_peak_bytes, total)
        self.spool.append([*self._of_session(now, total, agent), *samples])

    def _of_session(self, now: int, total: int | None, agent: int | None) -> list[Sample]:
        if self.tree is not None:
            return [
                self._cgroup(now, "session", self.tree.session, total),
                self._cgroup(now, "agent", self.tree.agent, agent),
            ]
        both = (("session", total), ("agent", agent))
        return [Sample(now, domain, memory_bytes=memory) for domain, memory in both if memory is not None]

    def _cgroup(self, now: int, domain: str, cgroup: Cgroup, memory: int | None) -> Sample:
        if self.own_memory:
            memory = cgroup.read_int("memory.current")
        stall = parse_pressure(cgroup.read("memory.pressure") or "")
        cpu = parse_pressure(cgroup.read("cpu.pressure") or "")
        return Sample(
            now,
            domain,
            memory_bytes=memory,
            cpu_time_us=cgroup.read_keyed("cpu.stat").get("usage_usec"),
            pids=cgroup.read_int("pids.current"),
            memory_some_us=stall.some.total_us if stall.some else None,
            memory_full_us=stall.full.total_us if stall.full else None,
            cpu_some_us=cpu.some.total_us if cpu.some else None,
        )


FileId = tuple[int, int]  # st_dev, st_ino: what /proc/PID/exe is, whatever mount namespace names it


@dataclass(slots=True)
class UncaughtWatch:
    """Notices commands in the agent leaf that no client placed.

    ``shells`` are the real shells, ``stand_ins`` the clients. ``noted`` are pids that said what they are (NOTE).
    A command is reported one look after it was first seen, since its NOTE may still be on the way.
    """

    shells: frozenset[FileId]
    stand_ins: frozenset[FileId]
    root_pid: int
    noted: set[int] = field(default_factory=set)
    count: int = 0
    _seen: dict[int, int] = field(default_factory=dict)  # pid -> start time
    _past: set[int] = field(default_factory=set)  # uncaught commands
    _pending: list[_Suspect] = field(default_factory=list)

    def look(self, pids: Iterable[int]) -> list[Uncaught]:
        """The uncaught commands that an earlier look saw, each once; looks at ``pids`` for the next time."""
        found = []
        for suspect in self._pending:
            known = suspect.origin == self.root_pid or suspect.origin in self.noted
            if not known and (suspect.is_shell or suspect.ppid in self._past):
                self._past.add(suspect.pid)
                found.append(suspect.command)
        self.count += len(found)
        self._pending = []
        suspected: set[int] = set()
        for pid in pids:
            fresh = self._inspect(pid, suspected)
            if fresh is not None:
                suspected.add(pid)
                self._pending.append(fresh)
        return found

    def _inspect(self, pid: int, suspected: set[int]) -> _Suspect | None:
        stat = process.stat(pid)
        if stat is None or self._seen.get(pid) == stat.start_ticks or pid == self.root_pid or pid in self.noted:
            return None
        identity = _file_id(Path(f"/proc/{pid}/exe"))
        if identity is None or identity in self.stand_ins:  # a client is about to become something else
            return None
        self._seen[pid] = stat.start_ticks
        is_shell = identity in self.shells
        if not is_shell and stat.ppid not in self._past and stat.ppid not in suspected:
            return None
        parent = process.cmdline(stat.ppid) or ()
        command = Uncaught(pid, process.exe(pid) or "", tuple(process.cmdline(pid) or ()), " ".join(parent[:2]))
        return _Suspect(command, stat.ppid, is_shell, _origin(stat))


@dataclass(frozen=True, slots=True)
class _Suspect:
    """A command that counts as uncaught unless it, or for a shell's child its parent, turns out to be noted."""

    command: Uncaught
    ppid: int
    is_shell: bool
    origin: int  # the process that executed the program: itself, or for a subshell the one it was forked from

    @property
    def pid(self) -> int:
        return self.command.pid


def _origin(stat: process.ProcessStat) -> int:
    """The process that executed what ``stat`` runs: itself, or the nearest ancestor that is no mere fork."""
    while stat.forked_only and (parent := process.stat(stat.ppid)) is not None:
        stat = parent
    return stat.pid


def _larger(one: int | None, other: int | None) -> int | None:
    return max((value for value in (one, other) if value is not None), default=None)


def file_ids(paths: Iterable[Path]) -> frozenset[FileId]:
    """The identities of files, those that exist."""
    return frozenset(identity for path in paths if (identity := _file_id(path)) is not None)


def _file_id(path: Path) -> FileId | None:
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_dev, info.st_ino
