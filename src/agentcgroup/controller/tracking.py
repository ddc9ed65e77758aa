"""The exec tracker of one session (kernel.tracking), joined to its controller.

    kernel -> events -> calls past the clients are caught, programs of each call are noted, who leaves is told

Loaded after COMMAND has started and beside the loop, where this host allows it; everything else works without.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from agentcgroup.client.rules import RuleTable
from agentcgroup.controller.calls import Call
from agentcgroup.controller.catching import Catcher
from agentcgroup.controller.clients import Clients
from agentcgroup.controller.moving import Mover
from agentcgroup.controller.sampler import file_ids
from agentcgroup.controller.suspects import Inspector
from agentcgroup.domain.leaf import CgroupLeaf
from agentcgroup.domain.rundir import RunDir
from agentcgroup.domain.tree import SessionTree
from agentcgroup.errors import HostError
from agentcgroup.kernel.hierarchy import own_cgroup
from agentcgroup.kernel.libbpf import BpfError
from agentcgroup.kernel.tracking import Tracker, stream
from agentcgroup.kernel.tracking_events import Event, Executed, Exited, Forked, Left, Lost, Moved
from agentcgroup.trace.writer import TraceWriter

_MOST_PROGRAMS = 32  # of one call
_MOST_LEAVES = 1024  # whose programs are kept: a call that runs so many others meanwhile is told of without its first
_MOST_LEFT = 200  # records of processes that left, in one session


class Programs:
    """The programs that were executed in each cgroup, by its id: basenames, each once, in order."""

    def __init__(self) -> None:
        self._of: dict[int, dict[str, None]] = {}

    def note(self, cgroup: int, path: str) -> None:
        """One more was executed."""
        names = self._of.get(cgroup)
        if names is None:
            if len(self._of) >= _MOST_LEAVES:
                del self._of[next(iter(self._of))]
            names = self._of[cgroup] = {}
        if len(names) < _MOST_PROGRAMS:
            names[path.rpartition("/")[2]] = None

    def note_earlier(self, cgroup: int, paths: Sequence[str]) -> None:
        """These were executed before those that are noted."""
        earlier = dict.fromkeys(path.rpartition("/")[2] for path in paths)
        self._of[cgroup] = dict.fromkeys([*earlier, *self._of.get(cgroup, ())][:_MOST_PROGRAMS])

    def take(self, cgroup: int) -> tuple[str, ...]:
        """Those of a cgroup, which is of no interest from now on."""
        return tuple(self._of.pop(cgroup, ()))


class Tracking:
    """Follows the session of ``tree``; ``begin`` when COMMAND runs, ``close`` when its calls have ended.

    ``stand_ins`` are the files of the clients. ``say`` tells the user that a process has left the session and, with
    ``forced``, why there is no tracker.
    """

    def __init__(
        self,
        tree: SessionTree,
        clients: Clients,
        inspector: Inspector,
        mover: Mover,
        *,
        stand_ins: Sequence[Path],
        say: Callable[[str], None],
        forced: bool = False,
    ) -> None:
        self._tree, self._clients, self._inspector = tree, clients, inspector
        self._trace: TraceWriter = clients.calls.trace
        self._stand_ins = stand_ins
        self._say, self._forced = say, forced
        self._programs = Programs()
        self._catcher = Catcher(tree, clients, inspector, mover, self.read, self._programs.note_earlier)
        self._agent = tree.agent.path.stat().st_ino
        self._tracker: Tracker | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiting: deque[Event] = deque()
        self._working = False
        self._left = 0

    def begin(self) -> None:
        """Load it, beside the loop."""
        self._task = asyncio.get_running_loop().create_task(self._follow())

    def read(self) -> None:
        """Take in what the kernel has to tell by now; within the handling of an event, for when that is done."""
        if self._tracker is not None:
            self._take(self._tracker.read())

    def programs(self, call: Call) -> tuple[str, ...]:
        """What a call that ends now has executed."""
        if self._tracker is None or not isinstance(call.leaf, CgroupLeaf):
            return ()
        self.read()
        try:
            programs = self._programs.take(call.leaf.cgroup.path.stat().st_ino)
        except OSError:  # somebody has removed it
            return ()
        if programs and self._clients.control is not None:
            self._clients.control.cases.ran(call.start.call, programs)
        return programs

    async def settle(self, patience_s: float) -> None:
        """COMMAND has ended: hear the rest, and let what is being caught arrive."""
        self.read()
        await self._catcher.settle(patience_s)

    def close(self) -> None:
        """Detach it."""
        self._tracker = None
        if self._task is not None:
            self._task.cancel()  # which closes it

    async def _follow(self) -> None:
        loading = asyncio.get_running_loop().run_in_executor(None, Tracker, self._tree.session.path)
        try:
            tracker = await asyncio.shield(loading)
        except BpfError as error:
            if self._forced:
                self._say(f"what runs past our stand-ins for the shells is only counted, not caught: {error}")
            return
        except asyncio.CancelledError:
            loading.add_done_callback(partial(_discard))
            raise
        with tracker:
            self._inspector.tells_clients = tracker.know(self._stand_ins)
            tracker.watch(self._tree.agent.path, (Executed,))
            self._tracker = tracker
            self._catcher.present()
            self._trace.action(None, "track", "the kernel tells what the session executes")
            async for events in stream(tracker):
                self._take(events)

    def _take(self, events: Sequence[Event]) -> None:
        """Handle events in order. Programs are noted first, since a call that ends within is asked for them."""
        for event in events:
            if type(event) is Executed:
                self._programs.note(event.cgroup, event.path)
        self._waiting.extend(events)
        if self._working:
            return
        self._working = True
        try:
            while self._waiting:
                self._handle(self._waiting.popleft())
        finally:
            self._working = False

    def _handle(self, event: Event) -> None:
        match event:
            case Executed(cgroup=self._agent):
                self._catcher.executed(event)
            case Forked(cgroup=self._agent):
                self._catcher.forked(event)
            case Exited():
                self._catcher.exited(event)
            case Moved():
                self._catcher.moved(event)
            case Left():
                self._note_left(event)
            case Lost():
                self._catcher.lost()
                self._trace.signal(None, "events-lost", event.events + event.skipped)

    def _note_left(self, event: Left) -> None:
        """A process is in none of the session's cgroups any more: nothing there limits or ends it."""
        self._left += 1
        if self._left > _MOST_LEFT:
            return
        try:
            where = own_cgroup(event.process.pid)
        except HostError:  # it has ended
            where = "another cgroup"
        who = f"{event.name} (pid {event.process.pid})"
        self._trace.action(self._call_of(event.from_cgroup), "left", f"{who} is in {where} now")
        if self._left == 1:
            self._say(f"{who} has left the session for {where}: nothing limits it there (told once; the trace has all)")

    def _call_of(self, cgroup: int) -> str | None:
        """The running call whose leaf has this id; None for the agent's."""
        for name, call in self._clients.calls.running.items():
            try:
                if isinstance(call.leaf, CgroupLeaf) and call.leaf.cgroup.path.stat().st_ino == cgroup:
                    return name
            except OSError:
                continue
        return None


def follow(
    tree: SessionTree,
    clients: Clients,
    mover: Mover,
    *,
    run: RunDir,
    rules: str,
    root_pid: int,
    say: Callable[[str], None],
    forced: bool,
) -> Tracking:
    """The tracking of a session that has begun. ``rules``: the client's table; ``run``: where its stand-ins are."""
    stand_ins = sorted(run.stand_ins.iterdir())
    inspector = Inspector(RuleTable(rules), file_ids(stand_ins), run.path, root_pid)
    tracking = Tracking(tree, clients, inspector, mover, stand_ins=stand_ins, say=say, forced=forced)
    tracking.begin()
    return tracking


def _discard(loading: asyncio.Future[Tracker]) -> None:
    """The session was over before it was loaded."""
    if not loading.cancelled() and loading.exception() is None:
        loading.result().close()
