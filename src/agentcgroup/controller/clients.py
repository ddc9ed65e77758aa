"""What clients say, and what follows from it: grants, calls that begin and end, shells that are no calls."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from agentcgroup.client import wire
from agentcgroup.controller.calls import Call, Calls, Unattended
from agentcgroup.controller.pool import LeafPool
from agentcgroup.controller.sampler import UncaughtWatch
from agentcgroup.controller.sentry import Sentry
from agentcgroup.controller.server import Connection
from agentcgroup.domain.leaf import CgroupLeaf, Leaf, ProcessLeaf
from agentcgroup.domain.tree import SessionTree
from agentcgroup.kernel import process
from agentcgroup.model import CallStart, Limits
from agentcgroup.trace.records import Shell

if TYPE_CHECKING:
    from agentcgroup.controller.control import Control
    from agentcgroup.controller.shells import Shells

_ORPHAN_CHECK_S = 0.05
_REMEMBERED = 4096


@dataclass(slots=True)
class Clients:
    """The handler of the socket of one session; ``tree`` is None on a host without cgroups."""

    tree: SessionTree | None
    pool: LeafPool
    calls: Calls
    watch: UncaughtWatch
    limits: Limits
    control: Control | None = None
    shells: Shells | None = None  # calls in shells that stay, from the first on
    made_shells: Callable[[], Shells | None] = lambda: None
    sentry: Sentry | None = None  # of calls that have no client
    unmanaged: int = 0
    _granted: dict[Connection, str] = field(default_factory=dict)  # asked for, not yet started
    _silent: set[Connection] = field(default_factory=set)  # connected, have not said START
    # Calls we know of already: a client that had to wait too long for DONE leaves them in the journal as well.
    _known: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    _unended: list[wire.Start] = field(default_factory=list)
    _suspected: frozenset[str] = frozenset()  # leaves that were taken in silence at the last look

    def on_open(self, connection: Connection) -> None:
        """A client has connected; it may have taken a leaf from the FIFO already."""
        self._silent.add(connection)

    def on_message(self, connection: Connection, message: wire.Message) -> None:
        """Dispatch one message."""
        if isinstance(message, wire.Start):
            self._silent.discard(connection)
            if message.key not in self._known:  # else the journal, read before this packet, had it
                self.start(connection, message)
        elif isinstance(message, wire.End):
            if call := self.calls.running.get(connection.call):
                self.calls.end(call, message)
        elif isinstance(message, wire.Request):
            if self.control is None:
                self.give(connection, self.pool.take())
            else:
                self.control.asked(connection, message)
        elif isinstance(message, wire.Note):
            self._silent.discard(connection)
            self.watch.noted.add(connection.pid or message.pid)
            self.calls.trace.shell(Shell(message.label, message.argv, connection.pid or message.pid))
        elif isinstance(message, wire.Open | wire.Close):
            self._silent.discard(connection)
            self.shells = self.shells or self.made_shells()
            if self.shells is None:
                connection.send(wire.Refuse("no cgroups here: commands in a shell that stays cannot be told apart\n"))
            else:
                self.shells.asked(connection, message)

    def on_close(self, connection: Connection) -> None:
        """A client is gone: after its END, or killed."""
        silent = connection in self._silent
        self._silent.discard(connection)
        granted = self._granted.pop(connection, "")
        if self.control is not None:
            self.control.left(connection, granted)
        if call := self.calls.running.get(connection.call):
            self.calls.lost(call)
        elif silent:
            asyncio.get_running_loop().call_later(_ORPHAN_CHECK_S, self.adopt_orphans)

    def give(self, connection: Connection, name: str) -> None:
        """Grant a leaf (empty: none can be had)."""
        self._granted[connection] = name
        connection.send(wire.Grant(name))

    def start(self, connection: Connection | None, start: wire.Start) -> CallStart:
        """Record a call that began; it is unmanaged unless it is in a leaf that was its to take."""
        self._known.append(start.key)
        running = len(self.calls.running)
        managed = bool(start.leaf) and (
            self.pool.claimed(start.leaf, running) or self._was_granted(connection, start.leaf)
        )
        pid = connection.pid if connection is not None and connection.pid else start.client_pid
        begun = CallStart(
            call=start.leaf if managed else self.unmanaged_name(),
            argv=start.argv,
            argv_bytes=start.argv_bytes,
            cwd=start.cwd,
            requested_ns=start.requested_ns,
            started_ns=start.started_ns,
            managed=managed,
            agent=start.agent,
            tool_call_id=start.tool_call_id,
            pid=start.pid,
            client_pid=pid,
            limits=self.limits_of(start.leaf) if managed else Limits(),
        )
        call = self.calls.begin(begun, self._leaf(begun), connection)
        if self.control is not None and managed:
            self.control.began(call, start.hint)
        return begun

    def unmanaged_name(self) -> str:
        """The id of one more call without a leaf."""
        self.unmanaged += 1
        return f"u{self.unmanaged:06d}"

    def unattended(self, begun: CallStart, leaf: Leaf, hint: str, by: Unattended) -> Call:
        """Record a call that has no client: the kernel told of its shell, or a hook of the agent opened it."""
        call = self.calls.begin(begun, leaf, None)
        call.unattended = by
        if self.sentry is not None and begun.managed:
            self.sentry.stand()
        if self.control is not None and begun.managed:
            self.control.began(call, hint)
        return call

    def read_journal(self, data: bytes) -> None:
        """Record the calls of a journal that we do not know of yet; those without an END wait for ``close_journal``."""
        self._unended = []
        for start, end in wire.read_journal(data):
            if start.key in self._known:
                continue
            if end is None:
                self._unended.append(start)
            else:
                self.calls.end(self.calls.running[self.start(None, start).call], end)

    def close_journal(self) -> None:
        """The session is over: record the journal's calls whose client never reported an END."""
        for start in self._unended:
            self.start(None, start)

    def adopt_orphans(self) -> None:
        """Processes in a leaf whose client died between taking it and saying START: record the call and end it."""
        if self._silent:  # one of these may be its client
            asyncio.get_running_loop().call_later(_ORPHAN_CHECK_S, self.adopt_orphans)
            return
        for name, leaf in self._taken_in_silence().items():
            self._adopt(name, leaf)

    def look_for_silent_calls(self) -> None:
        """The same for a client that died before it had even connected: its leaf is populated at two looks."""
        taken = self._taken_in_silence()
        if not self._silent:
            for name in taken.keys() & self._suspected:
                self._adopt(name, taken[name])
        self._suspected = frozenset(taken)

    def _taken_in_silence(self) -> dict[str, CgroupLeaf]:
        """The leaves that somebody is in and nobody has told us of."""
        if self.tree is None or not self.pool.unclaimed:
            return {}
        leaves = {name: CgroupLeaf(self.tree.calls.child(name)) for name in self.pool.free}
        return {name: leaf for name, leaf in leaves.items() if leaf.populated()}

    def _adopt(self, name: str, leaf: CgroupLeaf) -> None:
        self.pool.claimed(name, len(self.calls.running))
        pids = leaf.pids()
        argv = tuple(process.cmdline(pids[0]) or ()) if pids else ()
        now = time.monotonic_ns()
        begun = CallStart(name, argv, sum(len(word) + 1 for word in argv), "", now, now, limits=self.limits)
        self.calls.lost(self.calls.begin(replace(begun, pid=pids[0] if pids else 0), leaf, None))

    def _was_granted(self, connection: Connection | None, leaf: str) -> bool:
        """Whether ``leaf`` was the answer to a REQUEST: of this client, or of any when the journal tells it."""
        if connection is not None:
            return self._granted.pop(connection, "") == leaf
        for other, name in self._granted.items():
            if name == leaf:
                del self._granted[other]
                return True
        return False

    def limits_of(self, leaf: str) -> Limits:
        """The limits of a leaf as they are now."""
        if self.tree is None:
            return Limits()
        return self.limits if self.control is None else self.control.limits_of(leaf)

    def _leaf(self, start: CallStart) -> Leaf:
        if start.managed and self.tree is not None:
            return CgroupLeaf(self.tree.calls.child(start.call))
        return ProcessLeaf(start.client_pid, start.started_ns)
