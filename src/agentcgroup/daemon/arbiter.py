"""One policy over the sessions of the host.

    reports -> seats and signals -> world -> policy -> actions -> seats

What a session reports is kept as it came, and every signal is an occasion to decide. A seventh of a CPU at most is
spent in the policy, but for one that takes long: what comes while it rests waits, and is merged. Before it is asked for
a reason of its own (a wake, a stall of the host) those sessions that matter most are asked how they are.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from agentcgroup.daemon.braking import Braking
from agentcgroup.daemon.looks import Looks
from agentcgroup.daemon.messages import Hello, Order, Report
from agentcgroup.daemon.pending import Pending
from agentcgroup.daemon.seat import Seat
from agentcgroup.daemon.timer import Timer
from agentcgroup.kernel.meminfo import MemInfo
from agentcgroup.policy.world import (
    Action,
    Admit,
    Began,
    Ended,
    Kill,
    Policy,
    Protect,
    Request,
    Short,
    Signal,
    Stalled,
    Tripwire,
    Woken,
    World,
)

_log = logging.getLogger(__name__)

_REST = 6.0  # times the CPU time that a decision took, before the next one ...
_REST_MOST_S = 0.25  # ... but not so long that control is away
_A_REPORT_S = 0.0002  # what it costs to have a session report
_REPORT_LEAST_S = 5.0  # how often a session reports when nothing happens in it ...
_REPORTS_PER_S = 50  # ... and how many reports of that kind there may be from all


@dataclass(slots=True)
class Counts:
    """What the arbiter has heard and done since it began."""

    joined: int = 0  # sessions, each time that they came
    began: int = 0  # calls, as the sessions have told
    ended: int = 0
    decisions: int = 0
    failures: int = 0  # of the policy
    actions: int = 0
    kills: int = 0
    deciding_s: float = 0.0


class Follower(Protocol):
    """Who does something for each session while it is there."""

    def joined(self, seat: Seat) -> None:
        """A session has come."""

    def left(self, seat: Seat) -> None:
        """It is gone, or its process has connected anew."""


class Arbiter:
    """Runs ``policy``. ``memory`` says what the host has; ``reserve_bytes`` of it are not for sessions."""

    def __init__(self, policy: Policy, memory: Callable[[], MemInfo], reserve_bytes: int = 0) -> None:
        self.reserve_bytes = reserve_bytes
        self.memory = memory
        self.seats: dict[str, Seat] = {}
        self.counts = Counts()
        self.followers: list[Follower] = []
        self.braking: Braking | None = None
        self._policy = policy
        self._pending = Pending()
        self._after_look: set[Signal] = set()  # occasions that a look is for
        self._looks = Looks(self._looked)
        self._decide_timer = Timer(self._decide_all)
        self._look_timer = Timer(self._look_now)
        self._wake_timer = Timer(lambda: self._look(Woken()))
        self._rest_until_s = 0.0  # of decisions
        self._look_again_s = 0.0

    # Sessions

    def join(self, seat: Seat) -> None:
        """A session is there. Its first report says what is in it."""
        self.seats[seat.name] = seat
        self.counts.joined += 1
        for follower in self.followers:
            follower.joined(seat)

    def leave(self, seat: Seat) -> None:
        """A session is gone, and its memory is free or will be."""
        if self.seats.get(seat.name) is seat:
            del self.seats[seat.name]
            for follower in self.followers:
                follower.left(seat)
            self._pending.drop(seat.name)
            self._looks.heard(seat)
            self._occasion(Woken())

    def report(self, seat: Seat, report: Report) -> None:
        """A session says how it is and what has happened."""
        if self.seats.get(seat.name) is not seat:
            return  # its process has connected anew
        for signal in seat.report(report, time.monotonic()):
            self.counts.began += isinstance(signal, Began)
            self.counts.ended += isinstance(signal, Ended)
            if seat.governed:
                self._occasion(signal)
        self._looks.heard(seat)

    def report_every_s(self) -> float:
        """How often a session that joins now reports when nothing happens."""
        return max(_REPORT_LEAST_S, len(self.seats) / _REPORTS_PER_S)

    def seat_of(self, name: str, uid: int) -> Seat | None:
        """The session that ``uid`` calls ``name``."""
        for seat in self.seats.values():
            if seat.uid == uid and seat.hello.name == name:
                return seat
        return None

    def unique(self, hello: Hello, uid: int) -> str:
        """A name for a session that no other has: its own, unless another user's session is called so."""
        return hello.name if hello.name not in self.seats else f"{hello.name}~{uid}"

    # The host, operators

    def stalled(self, signal: Stalled) -> None:
        """PSI of the host."""
        self._look(signal)

    def short(self, signal: Short) -> None:
        """A task of a session stalls: decided at once by what is known, and again when the sessions have been asked."""
        self._occasion(signal)
        self._look(signal)

    def replace_policy(self, policy: Policy) -> None:
        """Another policy decides from now on; what the last one held is let go."""
        self._let_go("another policy decides from now on")
        self._policy = policy
        self._wake_timer.cancel()
        self._occasion(Woken())

    def order(self, seat: Seat, what: str, value: str) -> None:
        """Pass on what an operator wants of a session."""
        if what in ("freeze", "thaw"):
            seat.held = what == "freeze"
        seat.send(Order(what, value))

    def close(self) -> None:
        """Decide nothing any more."""
        self._looks.close()
        for timer in (self._decide_timer, self._look_timer, self._wake_timer):
            timer.cancel()

    @property
    def policy(self) -> Policy:
        """The policy as it is now."""
        return self._policy

    # When to ask the policy

    def _occasion(self, signal: Signal) -> None:
        """Ask the policy as soon as it has rested."""
        self._pending.add(signal)
        self._decide_timer.start_by(self._rest_until_s - time.monotonic())

    def _look(self, signal: Signal) -> None:
        """Ask the sessions that matter most how they are, and then the policy."""
        self._after_look.add(signal)
        if not self._looks.busy:
            self._look_timer.start_by(max(self._look_again_s, self._rest_until_s) - time.monotonic())

    def _look_now(self) -> None:
        asked = self._looks.ask(seat for seat in self.seats.values() if seat.governed)
        self._look_again_s = time.monotonic() + _REST * asked * _A_REPORT_S

    def _looked(self) -> None:
        for signal in self._after_look:
            self._pending.add(signal)
        self._after_look.clear()
        self._decide_all()

    # Asking it

    def _decide_all(self) -> None:
        self._decide_timer.cancel()
        begun = time.thread_time()  # being preempted is no work, and on a busy host it would add up to a long rest
        memory, world = self.memory(), None
        for signal in self._pending.take():
            world = world or self._world(memory)
            if self._decide(world, signal):
                world = None  # not as it was
        cost_s = time.thread_time() - begun
        self.counts.deciding_s += cost_s
        self._rest_until_s = time.monotonic() + min(_REST * cost_s, _REST_MOST_S)

    def _decide(self, world: World, signal: Signal) -> bool:
        """Ask the policy and pass on what it asks for; whether the world has changed by that."""
        self.counts.decisions += 1
        try:
            decision = self._policy.decide(world, signal)
        except Exception:  # a policy may be anybody's code; nobody may stay held by one that fails
            self._failed(signal)
            return True
        self._policy = decision.policy
        if decision.wake_s is None:
            self._wake_timer.cancel()
        else:
            self._wake_timer.start(decision.wake_s - time.monotonic())
        by_session: dict[str, list[Action]] = {}
        for action in decision.actions:
            name = action.session if isinstance(action, Protect | Tripwire) else action.id.session
            by_session.setdefault(name, []).append(action)
        for name, actions in by_session.items():
            if (seat := self.seats.get(name)) is not None:
                self._act(seat, actions)
        return bool(by_session)

    def _act(self, seat: Seat, actions: list[Action]) -> None:
        kills = sum(isinstance(action, Kill) for action in actions)
        seat.kills += kills
        self.counts.kills += kills
        self.counts.actions += len(actions)
        self._send(seat, actions)

    def _send(self, seat: Seat, actions: Sequence[Action]) -> None:
        seat.act(actions if self.braking is None else self.braking.carry_out(seat, actions))

    def _failed(self, signal: Signal) -> None:
        self.counts.failures += 1
        if self.counts.failures == 1:
            _log.exception("the policy %s failed on %r; what it held is let go", self._policy.name, signal)
        self._wake_timer.cancel()
        reason = "the policy of the daemon failed"
        self._let_go(reason)
        for seat in self.seats.values():
            if seat.requests:
                seat.act([Admit(request.id, reason) for request in seat.requests])

    def _let_go(self, reason: str) -> None:
        for seat in self.seats.values():
            if actions := seat.undo.take(reason):
                self._send(seat, actions)

    def _world(self, memory: MemInfo) -> World:
        seats = [seat for seat in self.seats.values() if seat.governed]
        requests: list[Request] = []
        for seat in seats:
            requests.extend(seat.requests)
        requests.sort(key=lambda request: request.asked_s)
        return World(
            now_s=time.monotonic(),
            host_bytes=max(1, memory.total_bytes - self.reserve_bytes),
            available_bytes=max(0, memory.available_bytes - self.reserve_bytes),
            sessions=tuple([seat.state for seat in seats]),
            requests=tuple(requests),
        )
