"""Calls in a shell that stays: a hook of the agent opens one before a command is typed into it, and closes it after.

For that time the shell itself is in the leaf of the call. So what it starts is born there, by the kernel and without
any delay; it needs neither the exec tracker nor privileges beyond the session's own.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agentcgroup.client import wire
from agentcgroup.controller.calls import Call, Unattended
from agentcgroup.controller.moving import Mover
from agentcgroup.controller.sampler import FileId, file_ids
from agentcgroup.controller.server import Connection
from agentcgroup.controller.suspects import Process, is_shell
from agentcgroup.domain.leaf import ShellLeaf
from agentcgroup.domain.tree import SessionTree
from agentcgroup.errors import CgroupError, HostError
from agentcgroup.kernel import process
from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.hierarchy import locate, own_cgroup
from agentcgroup.model import HOOK, CallStart
from agentcgroup.trace.text import argv_length

if TYPE_CHECKING:
    from agentcgroup.controller.clients import Clients

_DEPTH = 64
_LOOK_EVERY_S = 0.1
_KILLED = 9  # as waitpid(2) gives it


class Refused(Exception):
    """Why a call is not opened or closed, in words with the way out."""


@dataclass(slots=True)
class _Opened:
    """A call in a shell that stays, and where that was before."""

    call: Call
    leaf: ShellLeaf
    shell: int
    home: Cgroup
    pidfd: int


@dataclass(slots=True)
class Shells:
    """Opens and closes calls for hooks. ``cgroup``: of the session, as /proc shows it; ``agent``: who that is."""

    tree: SessionTree
    clients: Clients
    mover: Mover
    cgroup: str
    agent: str
    root_pid: int
    stand_ins: frozenset[FileId]
    _open: dict[str, _Opened] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # one opens or closes at a time
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def asked(self, connection: Connection, message: wire.Open | wire.Close) -> None:
        """A hook asks; it gets its answer when it is done."""
        work = self._begin(connection, message) if isinstance(message, wire.Open) else self._end(connection, message)
        task = asyncio.get_running_loop().create_task(self._answer(connection, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def release(self) -> None:
        """The session is over: from now on a shell ends with the call in it."""
        for opened in self._open.values():
            opened.leaf.release_shell()

    def close(self) -> None:
        """Forget them all."""
        for task in self._tasks:
            task.cancel()
        for name in list(self._open):
            self._forget(name)

    async def _answer(self, connection: Connection, work: Coroutine[None, None, None]) -> None:
        async with self._turn:
            try:
                await work
            except Refused as reason:
                connection.send(wire.Refuse(f"{reason}\n"))

    async def _begin(self, connection: Connection, message: wire.Open) -> None:
        self._check(connection.pid, message.version)
        shell = self._shell(message.pid)
        for earlier in [opened for opened in self._open.values() if opened.shell == shell]:
            self.clients.calls.trace.action(earlier.call.start.call, "close", "another call was opened in its shell")
            await self._finish(earlier, 0, shell, None)
        home = self._cgroup_of(shell)
        name = self.clients.pool.take()
        if home is None or not name:
            if name:
                self.clients.pool.give_back(name)
            raise Refused("no leaf can be had for this call: the command runs where its shell is")
        leaf = ShellLeaf(self.tree.calls.child(name), shell)
        argv = ("bash", "-c", message.command)  # as if it had a shell of its own: so commands are read everywhere
        asked_ns = time.monotonic_ns()
        try:
            pidfd = os.pidfd_open(shell)
        except OSError:
            self.clients.pool.give_back(name)
            raise Refused(f"process {shell} has ended") from None
        if not await self.mover.move(shell, leaf.cgroup):
            os.close(pidfd)
            self.clients.pool.give_back(name)
            raise Refused(f"the kernel does not let us move process {shell}")
        with suppress(CgroupError):  # no memory controller
            leaf.cgroup.write("memory.oom.group", 0)  # else the kernel would take the shell with its command
        who, placed_ns = Process(shell, 0, argv), time.monotonic_ns()
        begun = CallStart(
            call=name,
            argv=argv,
            argv_bytes=argv_length(argv) + 1,
            cwd=who.cwd,
            requested_ns=asked_ns,
            started_ns=placed_ns,
            agent=self.agent,
            tool_call_id=message.tool_call_id,
            pid=shell,
            limits=replace(self.clients.limits_of(name), memory_oom_group=False),
            caught=HOOK,
            placed_ns=placed_ns,
        )
        by = Unattended(who.stat.sid if who.stat is not None else 0, keeps_jobs=True)
        call = self.clients.unattended(begun, leaf, message.hint, by)
        if not self._open:
            asyncio.get_running_loop().call_later(_LOOK_EVERY_S, self._look)
        self._open[name] = _Opened(call, leaf, shell, Cgroup(home), pidfd)
        asyncio.get_running_loop().add_reader(pidfd, self._shell_ended, name)
        connection.send(wire.Opened(name))

    async def _end(self, connection: Connection, message: wire.Close) -> None:
        self._check(connection.pid, message.version)
        opened = self._open.get(message.call)
        if opened is None:
            raise Refused(f"no call {message.call} is open in a shell that stays; its shell may have ended")
        await self._finish(opened, message.status, connection.pid, connection)

    async def _finish(self, opened: _Opened, status: int, peer: int, connection: Connection | None) -> None:
        """Bring the shell back to where it was, and whoever asks with it if it is one of its children; then judge."""
        ended_ns = time.monotonic_ns()
        for pid in (opened.shell, *self._between(peer, opened)):
            if not await self.mover.move(pid, opened.home):
                await self.mover.move(pid, self.tree.agent)  # its home was a call that is over
        self._forget(opened.call.start.call)
        opened.call.connection = connection
        end = wire.End(
            (status & 0xFF) << 8, opened.leaf.populated(), ended_ns, utime_us=0, stime_us=0, maxrss_bytes=0, waits=True
        )
        self.clients.calls.end(opened.call, end)

    def _between(self, pid: int, opened: _Opened) -> list[int]:
        """``pid`` and its ancestors below the shell, those that are in the leaf."""
        inside, found = set(opened.leaf.pids()), []
        for _ in range(_DEPTH):
            stat = process.stat(pid)
            if stat is None or pid == opened.shell:
                break
            if pid in inside:
                found.append(pid)
            pid = stat.ppid
        return found

    def _look(self) -> None:
        """A shell goes on with the rest of a command whose processes were killed: what that starts is killed too."""
        for opened in self._open.values():
            if opened.call.ended_by is not None and opened.leaf.pids() != [opened.shell]:
                opened.leaf.kill()
        if self._open:
            asyncio.get_running_loop().call_later(_LOOK_EVERY_S, self._look)

    def _shell_ended(self, name: str) -> None:
        opened = self._open.get(name)
        if opened is None:
            return
        self._forget(name)
        if opened.call.ended_by is None:
            self.clients.calls.lost(opened.call, "the shell that it was opened in has ended")
            return
        end = wire.End(
            _KILLED, opened.leaf.populated(), time.monotonic_ns(), utime_us=0, stime_us=0, maxrss_bytes=0, waits=False
        )
        self.clients.calls.end(opened.call, end)

    def _forget(self, name: str) -> None:
        opened = self._open.pop(name)
        asyncio.get_running_loop().remove_reader(opened.pidfd)
        with suppress(OSError):
            os.close(opened.pidfd)

    def _check(self, peer: int, version: int) -> None:
        """Only what runs in the session may ask. (The server lets nobody in but our own user.)"""
        if version != wire.CALLS_VERSION:
            raise Refused(f"version {version} of these messages is not known; use one version of agentcgroup")
        if not peer or not self._is_inside(peer):
            raise Refused("only a process of the session may open and close its calls: call it from the agent's hooks")

    def _shell(self, pid: int) -> int:
        """The shell that ``pid`` means: itself, or what the client that stands in for it has started."""
        if file_ids((Path(f"/proc/{pid}/exe"),)) & self.stand_ins:
            for call in self.clients.calls.running.values():
                if call.start.client_pid == pid:
                    pid = call.start.pid
        exe = process.exe(pid)
        if exe is None:
            raise Refused(f"there is no process {pid}, or it is not ours")
        argv = tuple(process.cmdline(pid) or ())
        if pid == self.root_pid or not self._is_inside(pid) or not is_shell(exe, argv):
            raise Refused(f"process {pid} ({exe}) is no shell of the agent; name the one that stays with --pid")
        return pid

    def _cgroup_of(self, pid: int) -> Path | None:
        try:
            return locate(own_cgroup(pid))
        except HostError:
            return None

    def _is_inside(self, pid: int) -> bool:
        try:
            return own_cgroup(pid).startswith(f"{self.cgroup}/")
        except HostError:  # it has ended
            return False
