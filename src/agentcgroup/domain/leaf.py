"""The domain of one call, whatever this host offers: a cgroup leaf, or the process tree below its client."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import replace
from typing import ClassVar, Protocol, TypeAlias

from agentcgroup.domain.leftovers import Leftover
from agentcgroup.domain.shells import NAMES as SHELL_NAMES
from agentcgroup.kernel import process
from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.counters import usage_from_text
from agentcgroup.kernel.process import ProcessStat
from agentcgroup.model import Usage, UsageSource

_PRESSURE = ("memory.pressure", "cpu.pressure", "io.pressure")
_KILL_ROUNDS = 20
_FROZEN_WITHIN_S = 0.02  # what forks on after that is hit in the next round

ProcessTable: TypeAlias = dict[int, ProcessStat]


class Leaf(Protocol):
    """What the controller does with the domain of a call.

    ``seen_by_client``: the client itself can tell whether something is left in it.
    """

    seen_by_client: ClassVar[bool]

    def pids(self) -> list[int]:
        """The processes in it now."""

    def populated(self) -> bool:
        """Whether a process is in it."""

    def kill(self) -> None:
        """SIGKILL to all of it."""

    def usage(self, counters: dict[str, str] | None = None) -> Usage:
        """What it used; ``counters`` are texts of files that the client has read already."""

    def remove(self) -> None:
        """Take it away; CgroupError while something is in it."""


class CgroupLeaf:
    """A leaf of the cgroup tree."""

    __slots__ = ("cgroup",)
    seen_by_client: ClassVar[bool] = True

    def __init__(self, cgroup: Cgroup) -> None:
        self.cgroup = cgroup

    def pids(self) -> list[int]:
        """The processes of the leaf (cgroup.procs)."""
        return self.cgroup.procs()

    def populated(self) -> bool:
        """cgroup.events populated."""
        return self.cgroup.populated()

    def kill(self) -> None:
        """cgroup.kill: atomic, forks included."""
        self.cgroup.kill()

    def usage(self, counters: dict[str, str] | None = None) -> Usage:
        """The kernel's counters: those of ``counters`` as they are, the pressure files read now; else all read now."""
        if not counters:
            return self.cgroup.usage()
        pressure = {file: text for file in _PRESSURE if (text := self.cgroup.read(file)) is not None}
        return usage_from_text({**pressure, **counters})

    def remove(self) -> None:
        """rmdir."""
        self.cgroup.remove()


class ShellLeaf(CgroupLeaf):
    """A leaf in which a shell that stays is for the time of one command: the command is killed, not the shell."""

    __slots__ = ("_shell",)

    def __init__(self, cgroup: Cgroup, shell_pid: int) -> None:
        super().__init__(cgroup)
        self._shell = shell_pid

    def release_shell(self) -> None:
        """From now on the shell is killed with the rest."""
        self._shell = 0

    def kill(self) -> None:
        """SIGKILL to all but the shell while it is here, frozen meanwhile so that nothing forks away; else to all."""
        if self._shell not in self.cgroup.procs():
            self.cgroup.kill()
            return
        hit: set[int] = set()
        self.cgroup.freeze()
        try:
            self.cgroup.wait_frozen(_FROZEN_WITHIN_S)
            for _ in range(_KILL_ROUNDS):
                fresh = set(self.cgroup.procs()) - hit - {self._shell}
                for pid in fresh:
                    _send(pid, signal.SIGKILL)
                hit |= fresh
                if not fresh:
                    break
        finally:
            self.cgroup.thaw()


class EndedLeaf:
    """Of a call that was over before it could be placed: nothing is in it, and nobody has counted what it used."""

    __slots__ = ()
    seen_by_client: ClassVar[bool] = True

    def pids(self) -> list[int]:
        """None."""
        return []

    def populated(self) -> bool:
        """No."""
        return False

    def kill(self) -> None:
        """Nothing to kill."""

    def usage(self, counters: dict[str, str] | None = None) -> Usage:
        """Not known."""
        return Usage(source=UsageSource.PROC)

    def remove(self) -> None:
        """Nothing to take away."""


class ProcessLeaf:
    """Without cgroups: the processes below the client, which is a subreaper, and the session that it leads.

    What was found once is remembered, so that it is still found when the client is gone and its orphans belong to
    somebody else. A process that leaves both between two looks is not found; it ends with the agent's session.
    """

    __slots__ = ("_client", "_known", "_sid")
    seen_by_client: ClassVar[bool] = False

    def __init__(self, client_pid: int, started_ns: int) -> None:
        self._client = client_pid
        stat = process.stat(client_pid)
        # A journal is read late: a process that began after the call is another one with the client's old pid.
        ours = stat is not None and _began_before(stat, started_ns)
        self._known: dict[int, int] = {client_pid: stat.start_ticks} if stat is not None and ours else {}
        # Only a session of its own tells the call's processes from the agent's.
        self._sid = client_pid if stat is not None and ours and stat.sid == client_pid else 0

    def look(self, table: ProcessTable) -> list[ProcessStat]:
        """The live processes of the call in ``table``, the client excepted; all of them are remembered."""
        below = {pid for pid, start in self._known.items() if pid in table and table[pid].start_ticks == start}
        below |= {stat.pid for stat in table.values() if self._sid and stat.sid == self._sid}
        children: dict[int, list[int]] = {}
        for stat in table.values():
            children.setdefault(stat.ppid, []).append(stat.pid)
        queue = list(below)
        while queue:
            fresh = [pid for pid in children.get(queue.pop(), ()) if pid not in below]
            below.update(fresh)
            queue += fresh
        self._known = {pid: table[pid].start_ticks for pid in below}
        return [table[pid] for pid in sorted(below) if pid != self._client and table[pid].state not in "ZX"]

    def pids(self) -> list[int]:
        """The live processes of the call, the client excepted."""
        return [stat.pid for stat in self.look(process_table())]

    def populated(self) -> bool:
        """Whether any is left."""
        return bool(self.pids())

    def kill(self) -> None:
        """SIGKILL to each. What could still fork is stopped until no new one appears.

        But the children of the client are not stopped: it would stop alike, and not report their end.
        """
        hit: dict[int, ProcessStat] = {}
        for _ in range(_KILL_ROUNDS):
            fresh = [stat for stat in self.look(process_table()) if stat.pid not in hit]
            if not fresh:
                break
            for stat in fresh:
                _send(stat.pid, signal.SIGKILL if stat.ppid == self._client else signal.SIGSTOP)
                hit[stat.pid] = stat
        for stat in hit.values():
            now = process.stat(stat.pid)
            if now is not None and now.start_ticks == stat.start_ticks:
                _send(stat.pid, signal.SIGKILL)

    def usage(self, counters: dict[str, str] | None = None) -> Usage:
        """Nothing is counted here: the controller fills in getrusage(2) and what it sampled."""
        return Usage(source=UsageSource.PROC)

    def remove(self) -> None:
        """Nothing to take away."""


def process_table() -> ProcessTable:
    """Every visible process by its pid. A snapshot: what forks meanwhile may be missing."""
    return {pid: stat for pid in process.pids() if (stat := process.stat(pid)) is not None}


def _began_before(stat: ProcessStat, instant_ns: int) -> bool:
    """Whether a process is at least as old as an instant of CLOCK_MONOTONIC; its age is on CLOCK_BOOTTIME."""
    asleep_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
    return stat.start_ticks / os.sysconf("SC_CLK_TCK") <= (instant_ns + asleep_ns) / 1e9


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # ended; or of another user, by a setuid program
        os.kill(pid, number)


def leftovers(leaf: Leaf) -> list[Leftover]:
    """The live processes of ``leaf`` with what the rule of leftovers needs to know."""
    found = []
    for pid in leaf.pids():
        stat = process.stat(pid)
        if stat is None or stat.state in "ZX":
            continue
        found.append(Leftover(pid, stat.ppid, stat.sid, ignores_hangup(pid)))
    return found


_STARTERS = frozenset({"nohup", "setsid"})  # for a moment they look like any background process


def is_starting(pid: int) -> bool:
    """Whether a process may be about to become one that was started to stay: a shell's fork that has not executed
    anything yet, or `nohup` or `setsid` itself. Reads nothing that a fork bomb keeps locked."""
    stat = process.stat(pid)
    return stat is not None and (stat.comm in _STARTERS or (stat.forked_only and stat.comm in SHELL_NAMES))


def ignores_hangup(pid: int) -> bool:
    """Whether a process ignores SIGHUP, as `nohup` makes it."""
    masks = process.status_signals(pid)
    return masks is not None and signal.SIGHUP in masks.ignored


def with_rusage(usage: Usage, utime_us: int, stime_us: int, maxrss_bytes: int, sampled_peak: int | None) -> Usage:
    """Fill what the cgroup did not count from wait4(2)'s rusage and the largest PSS sum sampled."""
    memory, source = usage.memory_peak_bytes, usage.source
    if memory is None:
        memory = max(maxrss_bytes, sampled_peak or 0) or None
        source = UsageSource.CGROUP_CPU if usage.cpu_time_us is not None else UsageSource.PROC
    if usage.cpu_time_us is not None:
        return replace(usage, memory_peak_bytes=memory, source=source)
    return replace(
        usage,
        memory_peak_bytes=memory,
        source=source,
        cpu_time_us=utime_us + stime_us,
        cpu_user_us=utime_us,
        cpu_system_us=stime_us,
    )
