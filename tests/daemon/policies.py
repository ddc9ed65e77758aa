"""Policies that make things happen, for daemons under test."""

from __future__ import annotations

from dataclasses import dataclass

from agentcgroup.policy.none import admit_all
from agentcgroup.policy.world import (
    Action,
    Began,
    CallId,
    Decision,
    Freeze,
    Kill,
    Limit,
    Signal,
    Thaw,
    Tripwire,
    Woken,
    World,
)


@dataclass(frozen=True, slots=True)
class Braking:
    """Brakes every call that it sees, freezes every other one, and swaps them every ``every_s``."""

    every_s: float = 0.01
    turn: int = 0

    @property
    def name(self) -> str:
        """Of the policy."""
        return "braking"

    def decide(self, world: World, signal: Signal) -> Decision:
        """See policy.world.Policy."""
        turn = self.turn + isinstance(signal, Woken)
        actions: list[Action] = [*admit_all(world)]
        for session in world.sessions:
            actions.append(Tripwire(session.name, 1 << 30, "a test"))
            for number, call in enumerate(session.calls):
                freeze = (number + turn) % 2 == 0
                if call.high_bytes is None:
                    actions.append(Limit(call.id, 1 << 30, None, "a test"))
                if freeze != call.frozen:
                    actions.append((Freeze if freeze else Thaw)(call.id, "a test"))
        return Decision(Braking(self.every_s, turn), tuple(actions), world.now_s + self.every_s)


@dataclass(frozen=True, slots=True)
class Trespasser:
    """Asks for actions on calls that do not exist, and of sessions that are not there."""

    @property
    def name(self) -> str:
        """Of the policy."""
        return "trespasser"

    def decide(self, world: World, signal: Signal) -> Decision:
        """See policy.world.Policy."""
        return Decision(self, (Kill(CallId("nobody", "c1"), "test", "a test"), *admit_all(world)))


@dataclass(frozen=True, slots=True)
class Failing:
    """Freezes what it sees first, and then fails for ever."""

    seen: bool = False

    @property
    def name(self) -> str:
        """Of the policy."""
        return "failing"

    def decide(self, world: World, signal: Signal) -> Decision:
        """See policy.world.Policy."""
        calls = [call for session in world.sessions for call in session.calls]
        if self.seen:
            raise ZeroDivisionError("a test")
        return Decision(Failing(bool(calls)), tuple(Freeze(call.id, "a test") for call in calls))


@dataclass(frozen=True, slots=True)
class Expecting:
    """Gives each call that begins the memory.high that is expected to do, and never takes it off."""

    @property
    def name(self) -> str:
        """Of the policy."""
        return "expecting"

    def decide(self, world: World, signal: Signal) -> Decision:
        """See policy.world.Policy."""
        actions: list[Action] = [*admit_all(world)]
        if isinstance(signal, Began) and signal.high_bytes is not None:
            actions.append(Limit(signal.id, signal.high_bytes, None, "a test"))
        return Decision(self, tuple(actions))


@dataclass(frozen=True, slots=True)
class Pausing:
    """Freezes each call from its second to its fourth second."""

    @property
    def name(self) -> str:
        """Of the policy."""
        return "pausing"

    def decide(self, world: World, signal: Signal) -> Decision:
        """See policy.world.Policy."""
        actions: list[Action] = [*admit_all(world)]
        for call in [call for session in world.sessions for call in session.calls]:
            freeze = 1.0 <= world.now_s - call.started_s < 3.0
            if freeze != call.frozen:
                actions.append((Freeze if freeze else Thaw)(call.id, "a test"))
        return Decision(self, tuple(actions), world.now_s + 0.05)


@dataclass(frozen=True, slots=True)
class Stiffening:
    """Freezes each call from its second to its ninth second, until the seventh one softly."""

    soft: frozenset[CallId] = frozenset()
    hard: frozenset[CallId] = frozenset()

    @property
    def name(self) -> str:
        """Of the policy."""
        return "stiffening"

    def decide(self, world: World, signal: Signal) -> Decision:
        """See policy.world.Policy."""
        actions: list[Action] = [*admit_all(world)]
        soft, hard = set(self.soft), set(self.hard)
        for call in [call for session in world.sessions for call in session.calls]:
            ran_s = world.now_s - call.started_s
            if ran_s >= 8.0 and call.id in soft | hard:
                actions.append(Thaw(call.id, "a test"))
                soft.discard(call.id)
                hard.discard(call.id)
            elif 1.0 <= ran_s < 6.0 and call.id not in soft:
                actions.append(Freeze(call.id, "a test", soft=True))
                soft.add(call.id)
            elif 6.0 <= ran_s < 8.0 and call.id not in hard:
                actions.append(Freeze(call.id, "a test"))
                hard.add(call.id)
        return Decision(Stiffening(frozenset(soft), frozenset(hard)), tuple(actions), world.now_s + 0.05)
