"""One session from its first cgroup to its last record: the controller that `run` hosts.

settings -> tree, run-time folder, stand-ins -> COMMAND -> clients' messages -> calls -> records
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from agentcgroup.controller.calls import Calls
from agentcgroup.controller.clients import Clients
from agentcgroup.controller.command import Command
from agentcgroup.controller.decider import Decider
from agentcgroup.controller.host import Ground
from agentcgroup.controller.launch import fork
from agentcgroup.controller.looks import Looks
from agentcgroup.controller.moving import Mover
from agentcgroup.controller.opening import budget_variables, client_config, session_start
from agentcgroup.controller.pool import LeafPool
from agentcgroup.controller.removals import Removals
from agentcgroup.controller.sampler import Sampler, UncaughtWatch, file_ids
from agentcgroup.controller.sentry import Sentry
from agentcgroup.controller.server import Server
from agentcgroup.controller.settings import Settings
from agentcgroup.controller.usage import session_usage
from agentcgroup.errors import CgroupError, HostError
from agentcgroup.kernel import process
from agentcgroup.model import Limits, Usage
from agentcgroup.trace.records import SessionEnd
from agentcgroup.trace.samples import SampleSpool
from agentcgroup.trace.writer import TraceWriter

if TYPE_CHECKING:
    from agentcgroup.controller.control import Control
    from agentcgroup.controller.detection import Detection
    from agentcgroup.controller.onlooker import Onlooker
    from agentcgroup.controller.scheduling import Scheduling
    from agentcgroup.controller.shells import Shells
    from agentcgroup.controller.tracking import Tracking

_CLIENTS_LEAVE_WITHIN_S = 2.0  # at the end, for clients to report the calls that were stopped
_FOLLOW_AFTER_S = 0.05
_CAUGHT_WITHIN_S = 0.5  # at the end, for what came past the clients just then
_DETECT_AFTER_S = 0.3
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

    ``shown``: the decider wants to know of the session even where nothing can be decided over it. ``elsewhere`` says
    whether a daemon decides now, which looks for stalls by itself, ``scheduler`` which CPU scheduler it holds for the
    session (empty: none).
    """

    def __init__(
        self,
        settings: Settings,
        ground: Ground,
        trace: TraceWriter,
        decider: Decider,
        *,
        shown: bool = False,
        elsewhere: Callable[[], bool] = lambda: False,
        scheduler: Callable[[], str] = str,
        surroundings: Surroundings | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._say = say
        self._scheduling: Scheduling | None = None
        self._shown = shown
        self._elsewhere = elsewhere
        self._scheduler = scheduler
        self._detection: Detection | None = None
        self._surroundings = surroundings or Surroundings()
        self._settings = settings
        self._decider = decider
        self._ground = ground
        self._trace = trace
        self._spool = SampleSpool(trace.folder)
        self._loop = asyncio.get_running_loop()
        self._control: Control | None = None
        self._onlooker: Onlooker | None = None
        self._tracking: Tracking | None = None
        self._mover = Mover()
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
            from agentcgroup.controller.scheduling import Scheduling, attach

            if self._scheduler() == settings.scheduler:
                self._scheduling = Scheduling(None, self._loop, self._note_scheduler, self._say)
            else:
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
            self._loop.call_later(_FOLLOW_AFTER_S, self._load_tracking)
            self._looks.start()
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
        removals = Removals()
        self._calls = Calls(
            trace=self._trace,
            finished=lambda call: removals.take(call.leaf),
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
        if ground.tree is not None:
            self._clients.sentry = Sentry(ground.tree.calls.path)
            self._clients.made_shells = self._shells
        self._server = Server(ground.run.socket, self._clients, self._loop)
        self._sampler = Sampler(
            self._spool, ground.tree, lambda: self._calls.running.values(), self._agent_pids, ground.counts_memory
        )
        self._looks = Looks(
            ground,
            self._calls,
            self._clients,
            self._sampler,
            self._watch,
            self._trace,
            sample_hz=settings.sample_hz,
            over=self._command.ended.done,
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
            brake=self._scheduling.brake if self._scheduling and settings.enforcer == "scx" else None,
        )
        self._calls.observer = self._clients.control = self._control
        self._calls.budget_bytes = tree.calls.read_max("memory.max")
        self._loop.call_later(_DETECT_AFTER_S, self._load_detection)

    def _load_detection(self) -> None:
        """Not at once: a session that is over by now has no need of it. In a thread: nobody shall have to wait."""
        if not self._command.ended.done():
            name = "agentcgroup.controller.detection"
            self._loop.run_in_executor(None, import_module, name).add_done_callback(lambda loaded: self._detect())

    def _detect(self) -> None:
        """Have the kernel tell of stalls."""
        if (control := self._control) is None or self._command.ended.done():
            return
        from agentcgroup.controller.detection import Detection, available, opened

        wanted, scheduled = self._settings.enforcer, bool(self._scheduling and self._scheduling.brake)
        self._detection = Detection(
            control.name,
            wanted,
            lambda: opened(wanted, available(wanted, scheduled), (control.tree.session.path, control.priority)),
            elsewhere=self._elsewhere,
            submit=self._decider.submit,
            note=lambda what: self._trace.action(None, "enforcer", what),
            say=self._say,
        )
        self._detection.start()

    def _shells(self) -> Shells | None:
        """For calls that hooks of the agent open; most agents have none."""
        if self._ground.tree is None:
            return None
        from agentcgroup.controller.shells import Shells

        return Shells(
            tree=self._ground.tree,
            clients=self._clients,
            mover=self._mover,
            cgroup=self._ground.cgroup_path,
            agent=self._settings.agent,
            root_pid=self._command.pid,
            stand_ins=self._watch.stand_ins,
        )

    def _load_tracking(self) -> None:
        """As for the detection: not at once, and in a thread."""
        if self._ground.tree is not None and self._settings.track != "off" and not self._command.ended.done():
            name = "agentcgroup.controller.tracking"
            self._loop.run_in_executor(None, import_module, name).add_done_callback(lambda loaded: self._follow())

    def _follow(self) -> None:
        """Where it can be had: hear from the kernel what the session executes, and what runs past the clients."""
        tree, run, settings = self._ground.tree, self._ground.run, self._settings
        if tree is None or self._command.ended.done():
            return
        from agentcgroup.controller.tracking import follow

        self._tracking = follow(
            tree,
            self._clients,
            self._mover,
            run=run,
            rules=settings.rules,
            root_pid=self._command.pid,
            say=self._say,
            forced=settings.track == "on",
        )
        self._calls.programs = self._tracking.programs

    def _make_leaf(self, name: str) -> bool:
        if self._ground.tree is None:
            return True
        try:
            self._ground.tree.create_leaf(name)
        except CgroupError:
            return False
        return True

    def _terminate(self, reason: str) -> None:
        """An operator ends the session."""
        self._command.end()

    def _agent_pids(self) -> set[int]:
        """What runs in the session and in no call."""
        tree = self._ground.tree
        if tree is not None:
            return set(tree.agent.procs())
        pids = {self._command.pid, *process.descendants(self._command.pid)}
        return pids.difference(*(call.leaf.pids() for call in self._calls.running.values()))

    async def _finish(self) -> None:
        """COMMAND has ended: end the calls, the agent's own leftovers, and everything that serves them."""
        await self._hear_out()
        if self._tracking is not None:
            await self._tracking.settle(_CAUGHT_WITHIN_S)
        if self._clients.shells is not None:
            self._clients.shells.release()
        await self._calls.end_all(_CLIENTS_LEAVE_WITHIN_S)
        self._looks.last()
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
        if self._detection is not None:
            self._detection.close()
        if self._control is not None:
            self._control.close()
        if self._onlooker is not None:
            self._onlooker.close()
        if self._tracking is not None:
            self._tracking.close()
        if self._clients.shells is not None:
            self._clients.shells.close()
        if self._clients.sentry is not None:
            self._clients.sentry.close()
        self._mover.close()
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
