"""Plays scripts on a modelled machine against a policy, in virtual time: discrete events, no randomness of its own.

    agents -> requests -> policy -> calls -> memory (`kernel`) -> counters and PSI -> signals -> policy -> actions

What the model assumes is written down in `memory`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agentcgroup.domain.budget import MIN_CALL_BYTES, MIN_SESSION_BYTES, Budget, calls_limits
from agentcgroup.errors import UsageError
from agentcgroup.policy.world import (
    Action,
    Admit,
    Asked,
    Began,
    CallId,
    Ended,
    Freeze,
    Kill,
    Limit,
    Policy,
    Reclaim,
    Refuse,
    Request,
    SessionState,
    Signal,
    Thaw,
    Tripwire,
    Woken,
    World,
)
from agentcgroup.replay.call import Call
from agentcgroup.replay.kernel import Group, Kernel
from agentcgroup.replay.machine import Clock, Pool
from agentcgroup.replay.memory import Host
from agentcgroup.replay.result import CallResult, Ending, Result, SessionResult
from agentcgroup.replay.script import Script, Task
from agentcgroup.units import format_size

_MOST_EVENTS_A_CALL = 100_000  # a policy that never lets go would run for ever


@dataclass(slots=True, eq=False)
class _Session:
    script: Script
    group: Group
    turn: int = -1  # before it arrives
    left: int = 0  # calls of this turn that are not over
    alive: bool = True
    ended_s: float | None = None
    results: list[CallResult] = field(default_factory=list)
    idle: SessionState | None = None  # as it was last shown without a call: most sessions are idle most of the time

    @property
    def present(self) -> bool:
        return self.turn >= 0 and self.ended_s is None


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    session: _Session
    task: Task
    request: Request


def simulate(scripts: Sequence[Script], policy: Policy, host: Host, until_s: float | None = None) -> Result:
    """Play ``scripts`` together on ``host``, to their end or until ``until_s``.

    Where that comes first, sessions end there, and calls that still run are not in the result.

    UsageError when two have one name, when a budget leaves calls no room, or when the policy comes to no end.
    """
    return Simulation(scripts, policy, host).run(until_s=until_s)


class Simulation:
    """One run, with its parts in view for those who check it; `simulate` is enough for all others."""

    def __init__(self, scripts: Sequence[Script], policy: Policy, host: Host) -> None:
        if len({script.name for script in scripts}) < len(scripts):
            raise UsageError("two sessions have the same name", "name them apart")
        self.clock = Clock()
        self.kernel = Kernel(self.clock, host, self)
        self.actions: list[tuple[float, Action]] = []
        self.waiting: dict[CallId, _Waiting] = {}
        self._host = host
        self._sessions: dict[str, _Session] = {}
        self._policy = policy
        self._wakes = 0
        self._decisions = 0
        for script in scripts:
            group = self.kernel.groups[script.name] = Group(script.name, Pool(_calls_bytes(script)))
            self._sessions[script.name] = _Session(script, group)

    def run(self, after_event: Callable[[], None] | None = None, until_s: float | None = None) -> Result:
        """Play to the end, or until ``until_s``; ``after_event`` is called after every event."""
        sessions = self._sessions.values()
        for session in sessions:
            self.clock.at(session.script.arrives_s, self._arrive, session)
        most = _MOST_EVENTS_A_CALL * (1 + sum(session.script.calls for session in sessions))
        while any(session.ended_s is None for session in sessions) and self.clock.step():
            if after_event is not None:
                after_event()
            if until_s is not None and self.clock.now_s >= until_s:
                break
            if self.clock.events > most:
                raise UsageError(
                    f"the policy {self._policy.name} comes to no end in {self.clock.now_s:.0f} s of virtual time",
                    "check that it lets go of what it holds, and when it asks to be woken",
                )
        return self._result()

    # Agents

    def _arrive(self, session: _Session) -> None:
        self.kernel.agent(session.script.name, session.script.agent_bytes)
        self._next_turn(session)

    def _next_turn(self, session: _Session) -> None:
        """The agent thinks, then starts the calls of its next turn."""
        if not session.alive:
            return
        session.turn += 1
        if session.turn == len(session.script.turns):
            self._leave(session)
            return
        turn = session.script.turns[session.turn]
        if turn.agent_bytes is not None:
            self.kernel.agent(session.script.name, turn.agent_bytes)
            if not session.alive:  # that was more than there is
                return
        session.left = len(turn.tasks)
        began_s = self.clock.now_s + turn.think_s
        for task in turn.tasks:
            self.clock.at(began_s + task.offset_s, self._ask, session, task)
        if not turn.tasks:
            self.clock.at(began_s, self._next_turn, session)

    def _leave(self, session: _Session) -> None:
        session.ended_s = self.clock.now_s
        self.kernel.agent(session.script.name, 0)

    def _ask(self, session: _Session, task: Task) -> None:
        if not session.alive:
            return
        now_s = self.clock.now_s
        id_ = CallId(session.script.name, f"{session.turn}.{task.name}")
        self.waiting[id_] = _Waiting(session, task, Request(id_, task.priority, now_s, task.expected_bytes))
        if self._host.tool_timeout_s is not None:
            self.clock.at(now_s + self._host.tool_timeout_s, self._give_up, id_)
        self._decide(Asked(id_))

    def _give_up(self, id_: CallId) -> None:
        why = "the agent gave it up"
        if id_ in self.waiting:
            self._drop(id_, Ending.TIMED_OUT, why)
            self.signal(Ended(id_))
        else:
            self.kernel.end(id_, Ending.TIMED_OUT, why)

    # Calls

    def _begin(self, id_: CallId) -> None:
        waiting = self.waiting.pop(id_)
        session = waiting.session
        self.kernel.begin(Call(id_, waiting.task, waiting.request.asked_s, self.clock.now_s, session.group.pool))
        began = Began(id_, waiting.task.expected_high_bytes, waiting.task.expected_by)
        self.clock.at(self.clock.now_s, self._decide, began)

    def _drop(self, id_: CallId, ending: Ending, why: str) -> None:
        """A request that never becomes a call."""
        waiting, now_s = self.waiting.pop(id_), self.clock.now_s
        asked_s, work_s = waiting.request.asked_s, waiting.task.work_s
        self._over(waiting.session, CallResult(id_, ending, asked_s, now_s, now_s, work_s, why=why))

    def _over(self, session: _Session, result: CallResult) -> None:
        session.results.append(result)
        session.left -= 1
        if session.left == 0 and session.alive:
            self._next_turn(session)

    # What the kernel tells (kernel.Events)

    def signal(self, signal: Signal) -> None:
        """See kernel.Events."""
        self.clock.at(self.clock.now_s + self._host.react_s, self._decide, signal)

    def ended(self, call: Call, ending: Ending, why: str, rule: str) -> None:
        """See kernel.Events."""
        result = CallResult(
            id=call.id,
            ending=ending,
            requested_s=call.requested_s,
            began_s=call.began_s,
            ended_s=self.clock.now_s,
            alone_s=call.task.work_s,
            work_s=min(call.work_s, call.task.work_s),
            peak_bytes=int(call.peak),
            frozen_s=call.frozen_s,
            throttled_s=call.throttled_s,
            rule=rule,
            why=why,
        )
        self._over(self._sessions[call.id.session], result)
        self.signal(Ended(call.id))

    def agent_died(self, session: str) -> None:
        """See kernel.Events. What it had started ends with it."""
        found = self._sessions[session]
        found.alive = False
        for id_ in list(found.group.calls):
            self.kernel.end(id_, Ending.SESSION_ENDED, "its agent died")
        for id_ in [id_ for id_, waiting in self.waiting.items() if waiting.session is found]:
            self._drop(id_, Ending.SESSION_ENDED, "its agent died")
        self._leave(found)

    # Decisions

    def world(self) -> World:
        """What a policy is shown now."""
        now_s = self.clock.now_s
        spare_swap = self._host.swap_bytes - self.kernel.swap_used
        used = 0.0
        states = []
        for session in self._sessions.values():
            if not session.present:
                continue
            script, group = session.script, session.group
            if not group.calls and session.idle is not None and session.idle.agent_bytes == group.agent_bytes:
                used += group.agent_bytes
                states.append(session.idle)
                continue
            calls = tuple([call.state(now_s, spare_swap) for call in group.calls.values()])
            memory = sum([call.memory_bytes for call in calls]) + group.agent_bytes
            used += memory - sum([call.cache for call in group.calls.values() if call.task.cache_share])
            limit = None if group.pool.max_bytes is None else int(group.pool.max_bytes)
            states.append(
                SessionState(script.name, script.priority, memory, script.budget_bytes, limit, group.agent_bytes, calls)
            )
            session.idle = session.idle if calls else states[-1]
        available = max(0, self._host.memory_bytes - int(used))
        requests = tuple([waiting.request for waiting in self.waiting.values()])
        return World(now_s, self._host.memory_bytes, available, tuple(states), requests)

    def _decide(self, signal: Signal) -> None:
        self._decisions += 1
        decision = self._policy.decide(self.world(), signal)
        self._policy = decision.policy
        self._wakes += 1
        if decision.wake_s is not None:
            self.clock.at(decision.wake_s, self._woken, self._wakes)
        for action in decision.actions:
            self.actions.append((self.clock.now_s, action))
            self._carry_out(action)

    def _woken(self, wake: int) -> None:
        if wake == self._wakes:  # else it has been asked since, and has said anew when it wants to be
            self._decide(Woken())

    def _carry_out(self, action: Action) -> None:
        match action:
            case Admit(id=id_) if id_ in self.waiting:
                self._begin(id_)
            case Refuse(id=id_, reason=reason) if id_ in self.waiting:
                self._drop(id_, Ending.REFUSED, reason)
            case Tripwire(session=name, high_bytes=high):
                self.kernel.tripwire(name, high)
            case Limit(id=id_, high_bytes=high, max_bytes=most):
                self.kernel.limit(id_, high, most)
            case Reclaim(id=id_, bytes=size):
                self.kernel.reclaim(id_, size)
            case Freeze(id=id_):
                self.kernel.freeze(id_)
            case Thaw(id=id_):
                self.kernel.thaw(id_)
            case Kill(id=id_, rule=rule, reason=reason):
                self.kernel.end(id_, Ending.KILLED, reason, rule)

    def _ended_s(self, session: _Session) -> float:
        return self.clock.now_s if session.ended_s is None else session.ended_s

    def _result(self) -> Result:
        return Result(
            policy=self._policy.name,
            host_bytes=self._host.memory_bytes,
            peak_bytes=int(self.kernel.pool.peak_bytes),
            makespan_s=max((self._ended_s(session) for session in self._sessions.values()), default=0.0),
            decisions=self._decisions,
            events=self.clock.events,
            sessions=tuple(
                SessionResult(
                    name=session.script.name,
                    priority=session.script.priority,
                    agent_alive=session.alive,
                    seconds=self._ended_s(session) - session.script.arrives_s,
                    alone_s=session.script.alone_s,
                    planned_calls=session.script.calls,
                    peak_bytes=int(session.group.pool.peak_bytes) + session.script.agent_bytes,
                    calls=tuple(session.results),
                )
                for session in self._sessions.values()
            ),
        )


def _calls_bytes(script: Script) -> float | None:
    """memory.max of calls/, as live: below the budget of the session."""
    if script.budget_bytes is None:
        return None
    least = max(MIN_SESSION_BYTES, script.agent_bytes + MIN_CALL_BYTES)
    if script.budget_bytes < least:
        size = format_size(script.budget_bytes)
        raise UsageError(
            f"a budget of {size} is too small: session {script.name} needs {format_size(least)} before its first call",
            f"give at least {-(-2 * least // (1 << 20))}m",
        )
    limit = calls_limits(Budget(memory_bytes=script.budget_bytes), script.agent_bytes).memory_max_bytes
    return None if limit is None else float(limit)
