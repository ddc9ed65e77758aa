"""One session from its first cgroup to its last record: the controller that `run` hosts.

settings -> tree, run-time folder, stand-ins -> COMMAND -> clients' messages -> calls -> records
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentcgroup.controller.calls import Call, Calls
from agentcgroup.controller.clients import Clients
from agentcgroup.controller.command import Command
from agentcgroup.controller.decider import Decider
from agentcgroup.controller.host import Ground
from agentcgroup.controller.launch import fork
from agentcgroup.controller.opening import budget_variables, client_config, session_start
from agentcgroup.controller.pool import LeafPool
from agentcgroup.controller.sampler import Sampler, UncaughtWatch, file_ids
from agentcgroup.controller.server import Server
from agentcgroup.controller.settings import Settings
from agentcgroup.controller.usage import session_usage
from agentcgroup.domain.leaf import Leaf, ProcessLeaf, process_table
from agentcgroup.errors import CgroupError, HostError
from agentcgroup.kernel import process
from agentcgroup.model import Limits, Usage
from agentcgroup.trace.records import SessionEnd
from agentcgroup.trace.samples import SampleSpool
from agentcgroup.trace.writer import TraceWriter

if TYPE_CHECKING:
    from agentcgroup.controller.control import Control
    from agentcgroup.controller.onlooker import Onlooker
    from agentcgroup.controller.scheduling import Scheduling

_CLIENTS_LEAVE_WITHIN_S = 2.0  # at the end, for clients to report the calls that were stopped
_TRACK_EVERY_S = 0.1
_SILENT_CALLS_EVERY_S = 0.5
_LOAD_AHEAD_S = 0.03  # a command that is over by then needs nothing of it
_TURNS_OF_A_CLIENT = 6  # accept, REQUEST, START, END, end of file, and one to spare
_OOM_SCORE_BELOW = 300  # of 1000: on a full host the agent and its controller shall be among the last to go


@dataclass(frozen=True, slots=True)
class Result:
    """How COMMAND ended: exit status (128 + signal when killed) and the killing signal or 0."""

    status: int
    signal: int
    reason: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The process that a session is in. ``stdio``: descriptors for the standard streams of COMMAND, None: inherited."""

    shared: bool = False  # with others: its signals and its place among the kernel's victims are not the session's
    stdio: tuple[int | None, int | None, int | None] = (None, None, None)


class Session:
    """Controls one session on prepared ``ground``. ``await run()`` once.

    ``shown``: the decider wants to know of the session even where nothing can be decided over it.
    """

    def __init__(
        self,
        settings: Settings,
        ground: Ground,
        trace: TraceWriter,
        decider: Decider,
        *,
        shown: bool = False,
        surroundings: Surroundings | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._say = say
        self._scheduling: Scheduling | None = None
        self._shown = shown
        self._surroundings = surroundings or Surroundings()
        self._settings = settings
        self._decider = decider
        self._ground = ground
        self._trace = trace
        self._spool = SampleSpool(trace.folder)
        self._loop = asyncio.get_running_loop()
        self._removals: list[Leaf] = []
        self._journal_read = 0
        self._control: Control | None = None
        self._onlooker: Onlooker | None = None
        self._baseline: Usage | None = None

    async def run(self) -> Result:
        """Start COMMAND, control its calls until it ends, clean up. Raises UsageError or HostError before the start."""
        settings, ground, shared = self._settings, self._ground, self._surroundings.shared
        if shared and ground.tree is None:
            raise HostError("sessions that share a process need cgroups", "`agentcgroup doctor` says how to get them")
        environment = {**os.environ, **settings.environment, "AGENTCGROUP_SESSION": settings.session}
        environment.update(budget_variables(settings, ground))
        environment.update(ground.stand_ins.environment(environment))
        oom_score = process.oom_score_adj()
        if oom_score is not None and not shared:
            process.set_oom_score_adj(oom_score - _OOM_SCORE_BELOW)
        if ground.tree is None:
            process.become_subreaper()
        if settings.scheduler != "default" and ground.tree is not None:
            from agentcgroup.controller.scheduling import attach

            self._scheduling = attach(ground.tree, self._loop, self._note_scheduler, self._say)
        child = fork(settings.argv, environment, self._steps())
        self._command = Command(child, self._loop, orphans=ground.tree is None)
        try:
            ground.stand_ins.prepare(client_config(settings, ground, child.pid, oom_score))
            self._assemble()
        except BaseException:
            child.abandon()
            self._command.close()
            if self._scheduling is not None:
                self._scheduling.close()
            raise
        started = False
        try:
            child.release()
            self._trace.session_start(
                session_start(settings, ground, child.pid)
            )  # no client is heard before the loop runs
            started = True
            if self._scheduling is not None:
                self._scheduling.start()
            if not shared:
                self._command.forward_signals()
            self._govern()  # after the release: COMMAND starts while this loads
            if (governed := self._control or self._onlooker) is not None:
                self._decider.start(governed)
            self._track()
            self._look_for_silent_calls()
            self._sample()
            self._loop.call_later(_LOAD_AHEAD_S, _load_ahead)
            wait_status = await self._until_ended()
        finally:
            if not started:
                self._disassemble()
        await self._finish()
        return self._conclude(wait_status)

    async def _until_ended(self) -> int:
        """The wait status of COMMAND. Cancelled, it is killed first, and the trace ends as it should."""
        try:
            return await asyncio.shield(self._command.ended)
        except asyncio.CancelledError:
            self._command.kill()
            wait_status = await self._command.ended
            await self._finish()
            self._conclude(wait_status)
            raise

    def _steps(self) -> list[Callable[[], None]]:
        tree = self._ground.tree
        join = [] if tree is None else [lambda: tree.agent.attach(0)]
        if self._scheduling is not None:
            from agentcgroup.kernel.scx import join as join_scheduler  # not in the child, which must not import

            join.append(lambda: join_scheduler(0))
        return [*join, self._redirect, self._ground.stand_ins.enter]

    def _note_scheduler(self, what: str) -> None:
        self._trace.action(None, "scheduler", what)

    def _redirect(self) -> None:
        """In the child: its standard streams."""
        for place, descriptor in enumerate(self._surroundings.stdio):
            if descriptor is not None:
                os.dup2(descriptor, place)

    def _assemble(self) -> None:
        """Everything that clients talk to."""
        settings, ground = self._settings, self._ground
        limits = Limits() if ground.tree is None else ground.tree.limits_of_a_call
        self._calls = Calls(
            trace=self._trace,
            finished=self._take_away,
            timeout_s=settings.call_timeout_s,
            keep_background_s=settings.keep_background_s,
        )
        self._pool = LeafPool(ground.run.pool, self._make_leaf, self._loop)
        self._watch = UncaughtWatch(
            shells=file_ids(shell.path for shell in ground.stand_ins.shells),
            stand_ins=file_ids(ground.run.stand_ins.iterdir()),
            root_pid=self._command.pid,
        )
        self._clients = Clients(ground.tree, self._pool, self._calls, self._watch, limits)
        self._server = Server(ground.run.socket, self._clients, self._loop)
        self._sampler = Sampler(
            self._spool, ground.tree, lambda: self._calls.running.values(), self._agent_pids, ground.counts_memory
        )
        self._pool.prime()

    def _govern(self) -> None:
        """With the memory controller: let a policy decide over the calls."""
        tree, settings = self._ground.tree, self._settings
        if tree is None or not self._ground.counts_memory:
            if self._shown:
                from agentcgroup.controller.onlooker import Onlooker  # only for a daemon

                self._onlooker = Onlooker(
                    settings.session, tree, self._calls, self._trace, settings.priority, self._terminate
                )
            return
        from agentcgroup.controller.control import Control  # and with it all that policies are made of
        from agentcgroup.policy.hints import VARIABLE

        self._control = Control(
            name=settings.session,
            tree=tree,
            calls=self._calls,
            pool=self._pool,
            trace=self._trace,
            decider=self._decider,
            priority=settings.priority,
            call_bytes=settings.budget.call_memory_bytes,
            agent_hint=os.environ.get(VARIABLE, ""),
            give=self._clients.give,
            terminate=self._terminate,
        )
        self._calls.observer = self._clients.control = self._control
        self._calls.budget_bytes = tree.calls.read_max("memory.max")

    def _make_leaf(self, name: str) -> bool:
        if self._ground.tree is None:
            return True
        try:
            self._ground.tree.create_leaf(name)
        except CgroupError:
            return False
        return True

    def _take_away(self, call: Call) -> None:
        """Remove the domain of a call that has ended; the kernel may need a moment after the last exit."""
        try:
            call.leaf.remove()
        except CgroupError:
            self._loop.call_later(0.01, self._retry_removals)
            self._removals.append(call.leaf)

    def _retry_removals(self) -> None:
        pending, self._removals = self._removals, []
        for leaf in pending:
            try:
                leaf.remove()
            except CgroupError:
                self._removals.append(leaf)
        if self._removals:
            self._loop.call_later(0.05, self._retry_removals)

    def _terminate(self, reason: str) -> None:
        """An operator ends the session."""
        self._command.end()

    def _track(self) -> None:
        """Without cgroups a call is what was seen below its client: look often, whether or not samples are wanted."""
        if self._command.ended.done():
            return
        leaves = [call.leaf for call in self._calls.running.values() if isinstance(call.leaf, ProcessLeaf)]
        if leaves:
            table = process_table()
            for leaf in leaves:
                leaf.look(table)
        self._loop.call_later(_TRACK_EVERY_S * (1 if self._ground.tree is None else 10), self._track)

    def _look_for_silent_calls(self) -> None:
        if not self._command.ended.done():
            self._read_journal()
            self._clients.look_for_silent_calls()
            self._loop.call_later(_SILENT_CALLS_EVERY_S, self._look_for_silent_calls)

    def _sample(self) -> None:
        """One sample of everything, then again at the next multiple of the period."""
        if not self._settings.sample_hz or self._command.ended.done():
            return
        self._loop.call_later(1 / self._settings.sample_hz, self._sample_now)

    def _sample_now(self) -> None:
        self._sampler.tick()
        self._look_for_uncaught()
        self._sample()

    def _agent_pids(self) -> set[int]:
        """What runs in the session and in no call."""
        tree = self._ground.tree
        if tree is not None:
            return set(tree.agent.procs())
        pids = {self._command.pid, *process.descendants(self._command.pid)}
        return pids.difference(*(call.leaf.pids() for call in self._calls.running.values()))

    def _look_for_uncaught(self) -> None:
        for command in self._watch.look(sorted(self._agent_pids())):
            self._trace.uncaught(command)

    def _read_journal(self) -> None:
        """Calls that clients could not tell us of in time, from the journal; read whole again when it has grown."""
        try:
            size = self._ground.run.journal.stat().st_size
        except FileNotFoundError:
            return
        if size > self._journal_read:
            self._journal_read = size
            self._clients.read_journal(self._ground.run.journal.read_bytes())

    async def _finish(self) -> None:
        """COMMAND has ended: end the calls, the agent's own leftovers, and everything that serves them."""
        await self._hear_out()
        await self._calls.end_all(_CLIENTS_LEAVE_WITHIN_S)
        self._look_for_uncaught()
        self._read_journal()
        self._clients.close_journal()
        await self._calls.end_all(0.1)
        if self._ground.tree is None:
            self._command.ignore_children()
            process.kill_descendants(os.getpid())
            self._command.reap()
        self._usage, self._agent_usage = session_usage(self._ground.tree, self._sampler, self._ground.counts_memory)
        self._disassemble()

    async def _hear_out(self) -> None:
        """Read what clients said before they left: calls that have ended must not count as stopped by us.

        Each turn of the loop accepts all who wait and takes one packet of each connection.
        """
        for _ in range(_TURNS_OF_A_CLIENT):
            await asyncio.sleep(0)

    def _disassemble(self) -> None:
        if self._scheduling is not None:
            self._scheduling.close()
        if self._control is not None:
            self._control.close()
        if self._onlooker is not None:
            self._onlooker.close()
        self._server.close()
        self._pool.close()
        self._spool.close()
        self._command.close()

    def _conclude(self, wait_status: int) -> Result:
        number = os.WTERMSIG(wait_status) if os.WIFSIGNALED(wait_status) else 0
        status = 128 + number if number else os.WEXITSTATUS(wait_status)
        reason = ""
        if number and self._agent_usage.oom_kill_events:
            reason = "the agent itself ran out of the session's memory; raise --memory"
        end = SessionEnd(
            status=status,
            signal=number,
            reason=reason,
            calls=self._calls.count,
            usage=self._usage,
            agent_usage=self._agent_usage,
            uncaught=self._watch.count,
            unmanaged=self._clients.unmanaged,
        )
        self._trace.session_end(end)
        return Result(status, number, reason)


def _load_ahead() -> None:
    """Load what the end of the first call needs, while the agent still starts."""
    import agentcgroup.feedback.text  # noqa: F401
