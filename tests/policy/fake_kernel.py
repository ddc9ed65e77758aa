"""A tiny kernel that does what a policy asks, and checks with every decision what must hold of the ladder."""

from __future__ import annotations

from dataclasses import replace

from agentcgroup.model import Priority
from agentcgroup.policy.ladder import Ladder
from agentcgroup.policy.settings import LadderSettings
from agentcgroup.policy.world import (
    Action,
    Admit,
    Asked,
    Began,
    CallId,
    CallState,
    Ended,
    Freeze,
    Kill,
    Limit,
    Protect,
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

MIB = 1 << 20
GIB = 1 << 30
_SLACK_S = 0.01  # a wake is carried out exactly; more would be a bound that is not kept


class FakeKernel:
    """Sessions and calls whose memory the test moves; time passes only in `pass_time`."""

    def __init__(self, host_bytes: int = 8 * GIB, settings: LadderSettings | None = None) -> None:
        self.settings = settings or LadderSettings()
        self.policy = Ladder(self.settings)
        self.host_bytes = host_bytes
        self.now_s = 0.0
        self.wake_s: float | None = None
        self.sessions: dict[str, SessionState] = {}
        self.calls: dict[CallId, CallState] = {}
        self.requests: dict[CallId, Request] = {}
        self.frozen_s: dict[CallId, float] = {}
        self.high_s: dict[CallId, float] = {}
        self.held_s: dict[CallId, float] = {}
        self.thawed_s: dict[CallId, float] = {}
        self.slow_death = False  # whether what is killed stays, with its memory, until the test ends it
        self.dying: set[CallId] = set()
        self.soft: set[CallId] = set()  # of the frozen ones, those that a trickle of CPU time would have done for
        self.log: list[tuple[float, Action]] = []
        self._last: tuple[Action, ...] = ()

    # What the test does

    def session(self, name: str, priority: Priority = Priority.NORMAL, calls_bytes: int | None = 2 * GIB) -> None:
        budget = None if calls_bytes is None else calls_bytes + 256 * MIB
        self.sessions[name] = SessionState(name, priority, 0, budget, calls_bytes, agent_bytes=100 * MIB)

    def begin(
        self,
        session: str,
        call: str,
        size: int = 0,
        priority: Priority = Priority.NORMAL,
        expected: int | None = None,
        reclaimable: int = 0,
        background: bool = False,
    ) -> tuple[Action, ...]:
        """A call that nobody had to admit begins."""
        id_ = CallId(session, call)
        self.calls[id_] = CallState(
            id_, priority, self.now_s, size, expected, reclaimable_bytes=reclaimable, background=background
        )
        return self.tell(Began(id_))

    def ask(
        self, session: str, call: str, expected: int | None = None, priority: Priority = Priority.NORMAL
    ) -> tuple[Action, ...]:
        id_ = CallId(session, call)
        self.requests[id_] = Request(id_, priority, self.now_s, expected)
        return self.tell(Asked(id_))

    def grow(self, session: str, call: str, size: int) -> None:
        """Set the memory of a call, without a signal. Frozen calls do not grow."""
        id_ = CallId(session, call)
        if id_ in self.calls and id_ not in self.frozen_s:
            cache = min(size, self.calls[id_].reclaimable_bytes)
            self.calls[id_] = replace(self.calls[id_], memory_bytes=size, reclaimable_bytes=cache)

    def end(self, session: str, call: str) -> tuple[Action, ...]:
        id_ = CallId(session, call)
        self._forget(id_)
        return self.tell(Ended(id_))

    def pass_time(self, seconds: float) -> tuple[Action, ...]:
        """Let time pass, waking the policy whenever it asked for it; all that it did."""
        until, done = self.now_s + seconds, len(self.log)
        rounds = 0
        while self.wake_s is not None and self.wake_s <= until:
            self.now_s = self.wake_s
            self.tell(Woken())
            rounds += 1
            assert rounds < 200_000, "it asks to be woken without end"
        self.now_s = until
        self._check_bounds()
        return tuple(action for _, action in self.log[done:])

    def tell(self, signal: Signal) -> tuple[Action, ...]:
        """Give the policy a signal, do what it asks for, check everything."""
        world = self.world()
        decision = self.policy.decide(world, signal)
        assert decision == self.policy.decide(world, signal), "the same question, another answer"
        assert isinstance(decision.policy, Ladder)
        self.policy, self.wake_s = decision.policy, decision.wake_s
        assert self.wake_s is None or self.wake_s > self.now_s
        for action in decision.actions:
            self._check(world, action)
            self._do(action)
            self.log.append((self.now_s, action))
        self._check_someone_runs()
        self._check_bounds()
        if self.frozen_s or self.high_s or self.requests:
            assert self.wake_s is not None, "somebody is held, and it does not ask to be woken"
        return decision.actions

    def world(self) -> World:
        used = sum(call.memory_bytes - call.reclaimable_bytes for call in self.calls.values())
        used += sum(session.agent_bytes for session in self.sessions.values())
        sessions = []
        for session in self.sessions.values():
            calls = tuple(call for id_, call in self.calls.items() if id_.session == session.name)
            memory = sum(call.memory_bytes for call in calls) + session.agent_bytes
            sessions.append(replace(session, calls=calls, memory_bytes=memory))
        available = max(0, self.host_bytes - used)
        return World(self.now_s, self.host_bytes, available, tuple(sessions), tuple(self.requests.values()))

    # What it looks at

    def frozen(self, session: str = "s") -> set[str]:
        return {id_.call for id_ in self.frozen_s if id_.session == session}

    def throttled(self, session: str = "s") -> set[str]:
        return {id_.call for id_ in self.high_s if id_.session == session}

    def actions(self, kind: type) -> list[Action]:
        return [action for _, action in self.log if isinstance(action, kind)]

    # What it does

    def _do(self, action: Action) -> None:
        match action:
            case Freeze(id_, _, soft):
                self.frozen_s.setdefault(id_, self.now_s)
                (self.soft.add if soft else self.soft.discard)(id_)
                self.calls[id_] = replace(self.calls[id_], frozen=True)
            case Thaw(id_, _):
                self.held_s[id_] = self.held_s.get(id_, 0.0) + self.now_s - self.frozen_s.pop(id_, self.now_s)
                self.soft.discard(id_)
                self.calls[id_] = replace(self.calls[id_], frozen=False)
                self.thawed_s[id_] = self.now_s
                if id_ in self.high_s:
                    self.high_s[id_] = self.now_s
            case Limit(id_, high, most, _):
                self.calls[id_] = replace(self.calls[id_], high_bytes=high, max_bytes=most)
                self.high_s.pop(id_, None)
                if high is not None:
                    self.high_s[id_] = self.now_s
            case Reclaim(id_, size, _):
                call = self.calls[id_]
                back = min(size, call.reclaimable_bytes)
                self.calls[id_] = replace(
                    call, memory_bytes=call.memory_bytes - back, reclaimable_bytes=call.reclaimable_bytes - back
                )
            case Kill(id_, _, _) if self.slow_death:
                self.dying.add(id_)
                self.soft.discard(id_)
                self.frozen_s.pop(id_, None)
                self.high_s.pop(id_, None)
            case Kill(id_, _, _):
                self._forget(id_)
            case Admit(id_, _):
                request = self.requests.pop(id_)
                self.held_s[id_] = self.now_s - request.asked_s
                self.calls[id_] = CallState(id_, request.priority, self.now_s, MIB, request.expected_bytes)
            case Refuse(id_, _):
                del self.requests[id_]
            case Protect() | Tripwire():
                pass

    def _forget(self, id_: CallId) -> None:
        for table in (self.calls, self.requests, self.frozen_s, self.high_s, self.held_s, self.thawed_s):
            table.pop(id_, None)
        self.dying.discard(id_)
        self.soft.discard(id_)

    # What must hold

    def _check(self, world: World, action: Action) -> None:
        match action:
            case Protect(session, low, least, _):
                assert session in self.sessions
                assert 0 <= least <= low
            case Tripwire(session, high, _):
                assert session in self.sessions
                assert high is None or 0 < high < (self.sessions[session].calls_bytes or 0)
            case Admit(id_, _) | Refuse(id_, _):
                assert id_ in self.requests
            case _:
                assert action.id in self.calls
                assert action.id not in self.dying
                assert not (isinstance(action, Freeze) and action.id in self.frozen_s.keys() - self.soft)
        if isinstance(action, Kill):
            self._check_kill(world, action)
        if isinstance(action, Freeze) and action.id not in self.frozen_s:
            self._check_turn(action)
        if isinstance(action, Freeze | Kill) or (isinstance(action, Limit) and self._slows(action)):
            assert self.short_of_room(world), f"the host has memory, the sessions are in their budgets: {action}"

    def _slows(self, action: Limit) -> bool:
        """A limit above what the call uses slows nobody yet."""
        return action.high_bytes is not None and action.high_bytes <= self.calls[action.id].memory_bytes

    def _check_kill(self, world: World, action: Kill) -> None:
        assert action.rule in ("session-out-of-room", "host-out-of-room")
        assert action.reason
        wide = action.rule == "host-out-of-room"
        rivals = [
            call
            for session in world.sessions
            for call in session.calls
            if (wide or session.name == action.id.session) and call.memory_bytes >= self.settings.victim_least_bytes
        ]
        ranks = [self._rank(call) for call in rivals if call.id in self.calls.keys() - self.dying]
        assert self._rank(self.calls[action.id]) == min(ranks), f"{action} before {rivals}"

    def _check_turn(self, action: Freeze) -> None:
        """Nobody whom an agent waits for is frozen while a call of lower priority beside it could be."""
        if self.calls[action.id].background:
            return
        rank, settings = self._rank(self.calls[action.id]), self.settings
        for id_, call in self.calls.items():
            if id_.session != action.id.session or id_ in self.frozen_s or self._rank(call) >= rank:
                continue
            spared = (
                call.memory_bytes < settings.victim_least_bytes
                or self.now_s - self.thawed_s.get(id_, float("-inf")) < settings.run_s
                or self.held_s.get(id_, 0.0) > settings.hold_s - settings.step_s
            )
            assert spared, f"{action} while {id_} of lower priority runs"

    def short_of_room(self, world: World) -> bool:
        """Whether the host or any session has too little left (not: whether it is worth an action)."""
        reserve = self.settings.host_reserve_bytes(world.host_bytes)
        if world.available_bytes <= reserve:
            return True
        return any(
            session.calls_bytes is not None
            and sum(call.memory_bytes for call in session.calls) >= session.calls_bytes * self.settings.tight_share
            for session in world.sessions
        ) or bool(self.frozen_s)  # a bounded thaw with a brake may come just when room returns

    def _check_someone_runs(self) -> None:
        alive = [call for id_, call in self.calls.items() if id_ not in self.dying]
        awaited = [call for call in alive if not call.background] or alive
        if not awaited:
            return
        highest = max(map(self._rank, awaited))
        top = [call.id for call in awaited if self._rank(call) == highest]
        assert any(id_ not in self.frozen_s for id_ in top), "all calls of the highest priority are frozen"

    def _check_bounds(self) -> None:
        settings, now_s = self.settings, self.now_s
        for id_, since in self.frozen_s.items():
            assert now_s - since <= settings.freeze_s + _SLACK_S, f"{id_} is frozen for {now_s - since}"
            assert self.held_s.get(id_, 0.0) + now_s - since <= settings.hold_s + _SLACK_S, f"{id_} is starved"
        for id_, since in self.high_s.items():
            if id_ not in self.frozen_s:
                assert now_s - since <= settings.throttle_s + _SLACK_S, f"{id_} is throttled for {now_s - since}"
        for request in self.requests.values():
            assert now_s - request.asked_s <= settings.queue_s + _SLACK_S, f"{request.id} has no answer"

    def _rank(self, call: CallState) -> tuple[Priority, Priority]:
        return self.sessions[call.id.session].priority, call.priority
