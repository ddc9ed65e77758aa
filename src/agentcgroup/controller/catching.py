"""Calls that came past the clients: found by what the kernel tells of the leaf of the agent, and moved to their own.

The shell is not stopped for that. With SIGSTOP all of it would happen in its leaf, but the parent of the shell sees it
stop (shells with jobs and tmux act on that), it would stay stopped if we died meanwhile, and the call would last longer
by the time that a move takes. So it runs on, and what it uses until it has been moved is counted with the agent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace

from agentcgroup.client import wire
from agentcgroup.client.rules import Verdict
from agentcgroup.controller.calls import Call, Unattended, kill_in
from agentcgroup.controller.clients import Clients
from agentcgroup.controller.moving import Mover
from agentcgroup.controller.suspects import Inspector, Process, is_shell
from agentcgroup.controller.voice import Voice
from agentcgroup.domain.leaf import CgroupLeaf, EndedLeaf, ignores_hangup
from agentcgroup.domain.tree import SessionTree
from agentcgroup.kernel import process
from agentcgroup.kernel.tracking_events import Executed, Exited, Forked, Moved
from agentcgroup.model import EXEC_TRACKER, CallStart, Label, Limits
from agentcgroup.trace.records import Shell
from agentcgroup.trace.text import argv_length

_HINT = "AGENT_RESOURCE_HINT"
_TOOL_CALL_ID = "CODEX_TOOL_CALL_ID"
_UNTOLD = "its shell has ended, and the kernel could not tell how"
_ROUNDS = 20  # of moving what was forked meanwhile; each takes in all that the last one left


@dataclass(slots=True)
class _Caught:
    """One call past the clients: ``waiting`` are pids of its processes that are still in the leaf of the agent."""

    shell: Process
    verdict: Verdict
    at_ns: int
    by: Unattended
    paths: list[str]  # of the programs that it executed in the leaf of the agent
    cut: bool = False  # its arguments are not whole; a shell that it becomes (Codex wraps its commands) may have them
    leaf_id: int = 0
    waiting: list[int] = field(default_factory=list)
    moving: int = 0  # how many are at work to move them; its end waits for that
    placed_ns: int = 0  # when the first of its processes was seen to come into its leaf
    ended: tuple[int, int] | None = None  # wait status and instant of the end of the shell
    call: Call | None = None


@dataclass(slots=True)
class Catcher:
    """Follows the leaf of the agent. ``read`` takes in what the kernel has to tell by now."""

    tree: SessionTree
    clients: Clients
    inspector: Inspector
    mover: Mover
    read: Callable[[], None]
    executed_earlier: Callable[[int, Sequence[str]], None]  # id of a leaf, paths of programs
    _through: set[int] = field(default_factory=set)  # pids that a client has become
    _members: dict[int, _Caught] = field(default_factory=dict)  # by pid, those that were seen outside of their leaf
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def executed(self, event: Executed) -> None:
        """A program was executed in the leaf of the agent."""
        pid = event.process.pid
        if event.known or self.inspector.is_ours(event.path):
            self._through.add(pid)
            return
        if (caught := self._members.get(pid)) is not None:
            caught.paths.append(event.path)
            if caught.cut and pid == caught.shell.pid and is_shell(event.path, event.arguments):
                caught.shell, caught.cut = replace(caught.shell, argv=event.arguments), event.arguments_cut
            return
        if pid in self._through or pid == self.inspector.root_pid:
            return
        whole = process.cmdline(pid) if event.arguments_cut else None  # by now perhaps of the command within
        who = Process(pid, event.parent.pid, whole or event.arguments)
        self._look(who, event.path, event.at_ns, cut=event.arguments_cut and not whole)

    def present(self) -> None:
        """The same for what was there before the kernel began to tell."""
        for pid in self.tree.agent.procs():
            stat, exe = process.stat(pid), process.exe(pid)
            if stat is None or exe is None or stat.forked_only or pid == self.inspector.root_pid:
                continue
            if pid not in self.clients.watch.noted:
                who = Process(pid, stat.ppid, tuple(process.cmdline(pid) or ()))
                self._look(who, exe, time.monotonic_ns(), told=False)

    def forked(self, event: Forked) -> None:
        """A process was born in the leaf of the agent."""
        caught = self._members.get(event.parent.pid)
        if caught is not None:
            self._members[event.process.pid] = caught
            self.clients.watch.noted.add(event.process.pid)
            caught.waiting.append(event.process.pid)
            if caught.call is not None and caught.call.start.managed:
                self._spawn(self._gather(caught, caught.call.start.call))

    def moved(self, event: Moved) -> None:
        """A process came into a leaf."""
        caught = self._members.get(event.process.pid)
        if caught is not None and event.cgroup == caught.leaf_id:
            caught.placed_ns = caught.placed_ns or event.at_ns

    def exited(self, event: Exited) -> None:
        """A process of the session has ended."""
        self._through.discard(event.process.pid)
        caught = self._members.pop(event.process.pid, None)
        if caught is not None and caught.shell.pid == event.process.pid:
            caught.ended = (event.status, event.at_ns)
            self._end(caught)

    def lost(self) -> None:
        """Something was not told: what has ended meanwhile may be among it."""
        self._through = {pid for pid in self._through if process.stat(pid) is not None}
        for pid, caught in list(self._members.items()):
            if process.stat(pid) is None:
                del self._members[pid]
                if caught.shell.pid == pid and caught.call is not None:
                    self.clients.calls.lost(caught.call, _UNTOLD)

    async def settle(self, patience_s: float) -> None:
        """Wait for what is being caught now."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience_s)

    def _look(self, who: Process, path: str, at_ns: int, cut: bool = False, told: bool = True) -> None:
        verdict = self.inspector.judge(who, path, told)
        if verdict is None:
            return
        self.clients.watch.noted.add(who.pid)
        if verdict.label is not Label.CALL:
            self.clients.calls.trace.shell(Shell(verdict.label, who.argv, who.pid))
            return
        sid = who.stat.sid if who.stat is not None else who.pid
        by = Unattended(sid, ignores_hangup(who.pid), voice=Voice(who.pid))
        caught = _Caught(who, verdict, at_ns, by, [path], cut, waiting=[who.pid])
        self._members[who.pid] = caught
        self._spawn(self._place(caught))

    async def _place(self, caught: _Caught) -> None:
        """Move a call to a leaf of its own and record it; without one when nothing of it was left to be moved."""
        name = self.clients.pool.take()
        variables, cwd = caught.shell.variables, caught.shell.cwd  # read now: it may not be there afterwards
        if name:
            await self._gather(caught, name)
            if not caught.placed_ns and self.tree.calls.child(name).populated():
                caught.placed_ns = time.monotonic_ns()  # that was not told
        arrived, who = caught.placed_ns > 0, caught.shell
        if name and not arrived:
            self.clients.pool.give_back(name)
        if not arrived and caught.ended is None:  # it lives where it was
            self.clients.watch.noted.discard(who.pid)
            self._members.pop(who.pid, None)
            if caught.by.voice is not None:
                caught.by.voice.close()
            return
        begun = CallStart(
            call=name if arrived else self.clients.unmanaged_name(),
            argv=who.argv,
            argv_bytes=argv_length(who.argv) + 1 + caught.cut,
            cwd=cwd,
            requested_ns=caught.at_ns,
            started_ns=caught.at_ns,
            managed=arrived,
            agent=caught.verdict.agent,
            tool_call_id=variables.get(_TOOL_CALL_ID, ""),
            pid=who.pid,
            limits=self.clients.limits_of(name) if arrived else Limits(),
            caught=EXEC_TRACKER,
            placed_ns=caught.placed_ns,
        )
        leaf = CgroupLeaf(self.tree.calls.child(name)) if arrived else EndedLeaf()
        caught.call = self.clients.unattended(begun, leaf, variables.get(_HINT, ""), caught.by)
        self.executed_earlier(caught.leaf_id, caught.paths)
        if arrived and caught.waiting:
            self._spawn(self._gather(caught, name))
        self._end(caught)
        if caught.ended is None and who.pid not in self._members:  # see `lost`
            self.clients.calls.lost(caught.call, _UNTOLD)

    async def _gather(self, caught: _Caught, name: str) -> None:
        """Move what waits to the leaf, and what it has forked until then."""
        leaf = self.tree.calls.child(name)
        try:
            caught.leaf_id = leaf.path.stat().st_ino
        except FileNotFoundError:  # the call is over: these are what it left behind
            kill_in(CgroupLeaf(self.tree.agent), set(caught.waiting))
            return
        caught.moving += 1
        for _ in range(_ROUNDS):
            self.read()
            if not caught.waiting:
                break
            pids, caught.waiting = caught.waiting, []
            for pid in pids:
                await self.mover.move(pid, leaf)
        self.read()
        caught.moving -= 1
        if caught.waiting and caught.call is not None:
            self._spawn(self._gather(caught, name))
        self._end(caught)

    def _end(self, caught: _Caught) -> None:
        """The shell has ended, and what it has forked is where it belongs: then its call has."""
        if caught.call is None or caught.ended is None or caught.moving or caught.waiting:
            return
        status, at_ns = caught.ended
        end = wire.End(status, caught.call.leaf.populated(), at_ns, utime_us=0, stime_us=0, maxrss_bytes=0)
        self.clients.calls.end(caught.call, end)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
