"""One decision while it is being made: what is known, what is remembered, what has been decided so far.

It lives inside `Ladder.decide` only; what comes out of it are values. The rules (`climb`, `relief`, `admission`,
`protection`) act through the verbs below, so that what is remembered always agrees with what is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from agentcgroup.policy.held import NEVER, Hold, Memory, Pressure, Seen
from agentcgroup.policy.room import Level, Room, Scope, host_room, session_room
from agentcgroup.policy.settings import LadderSettings
from agentcgroup.policy.victims import Placed, Runners
from agentcgroup.policy.world import Action, CallId, Freeze, Kill, Limit, Reclaim, SessionState, Thaw, World

NOISE_BYTES = 1 << 20  # a change of use below this is none
_PAGE = 4096
_LEAST_S = 0.005  # two looks within less say nothing about growth
_SOON_S = 0.001  # a wake is never now: that would be the same question again
_DYING_S = 5.0  # how long a killed call may take to give its memory back; one that is still there has survived
_NO_HOLD = Hold()


class Draft:
    """See the module. All instants are ``World.now_s``."""

    def __init__(self, world: World, settings: LadderSettings, memory: Memory) -> None:
        self.world = world
        self.settings = settings
        self.now_s = world.now_s
        self.memory = memory
        self.actions: list[Action] = []
        self.holds = dict(memory.holds)
        self.pressures = dict(memory.pressures)
        self.shorts = {key: at_s for key, at_s in memory.shorts.items() if world.now_s - at_s <= settings.fresh_s}
        self.seen: dict[Scope, Seen] = {}  # rebuilt with every decision
        self.sessions: dict[str, SessionState] = {session.name: session for session in world.sessions}
        self.killed = {call: at_s for call, at_s in memory.killed.items() if world.now_s - at_s <= _DYING_S}
        self._released: dict[CallId, int | None] = {}  # memory.high as it will be; the world still shows it lowered
        self._rooms: dict[Scope, Room | None] = {}
        self._calls: dict[Scope, list[Placed]] = {}
        self._runners: dict[Scope, tuple[Runners, Runners]] = {}
        self._wake_s: float | None = None

    # What is known

    def calls(self, scope: Scope) -> list[Placed]:
        """The calls that share the room of ``scope`` and are not dying: those can neither run nor be stopped."""
        if scope not in self._calls:
            sessions = self.world.sessions if scope is None else filter(None, (self.sessions.get(scope),))
            self._calls[scope] = [
                Placed(session, call) for session in sessions for call in session.calls if call.id not in self.killed
            ]
        return self._calls[scope]

    def weighty(self, calls: Iterable[Placed]) -> list[Placed]:
        """Those whose stopping or ending would make a difference."""
        least = self.settings.victim_least_bytes
        return [placed for placed in calls if placed.call.memory_bytes >= least]

    def may_stop(self, placed: Placed, scope: Scope) -> bool:
        """Whether somebody of the highest priority in ``scope`` runs on when this call is stopped.

        Among all calls; and among those that weigh something, unless the call is of lower priority anyway: that a shell
        of its own priority sleeps is no reason to stop the only call that works.
        """
        everybody, weighty = self._runners_of(scope)
        return everybody.may_stop(placed.id) and (weighty.may_stop(placed.id) or self.outranked(placed, scope))

    def outranked(self, placed: Placed, scope: Scope) -> bool:
        """Whether a call of higher priority runs in ``scope``, however small."""
        everybody, _ = self._runners_of(scope)
        return everybody.rank is not None and everybody.rank > placed.rank and everybody.may_stop(placed.id)

    def room(self, scope: Scope) -> Room | None:
        """The room of ``scope`` now; None where there is no limit, or no such session any more."""
        if scope not in self._rooms:
            self._rooms[scope] = self._measure(scope)
        return self._rooms[scope]

    def pressed(self, scope: Scope) -> bool:
        """Whether somebody has to give way in ``scope``."""
        room = self.room(scope)
        return room is not None and room.pressed

    def stalls(self, scope: Scope) -> bool:
        """Whether PSI said of late that tasks stall there."""
        return self.now_s - self.memory.stalls.get(scope, NEVER) <= self.settings.fresh_s

    def hurts(self, scope: Scope) -> bool:
        """Whether PSI, or the kernel itself, said of late that a task stalls for want of room there."""
        return self.stalls(scope) or any(where == scope for where, _ in self.shorts)

    def moved(self, scope: Scope) -> bool:
        """Whether a limit was met there of late."""
        return self.now_s - self.memory.moves.get(scope, NEVER) <= self.settings.fresh_s

    def dying(self, scope: Scope) -> bool:
        """Whether a call that was killed still has memory to give back in ``scope``."""
        names = self.sessions if scope is None else (scope,)
        return any(
            call.id in self.killed and call.memory_bytes >= self.settings.victim_least_bytes
            for name in names
            if name in self.sessions
            for call in self.sessions[name].calls
        )

    def hold(self, call: CallId) -> Hold:
        """What is remembered of ``call``."""
        return self.holds.get(call, _NO_HOLD)

    def frozen(self, call: CallId) -> bool:
        """Whether ``call`` is stopped, as far as the ladder knows."""
        return self.hold(call).frozen_s is not None

    def held(self) -> list[tuple[Scope, Placed]]:
        """The calls that are throttled or frozen, and for whose sake."""
        held = []
        for session in {call.session for call, hold in self.holds.items() if hold.active}:
            calls = self.calls(session)
            held += [(self.hold(placed.id).scope, placed) for placed in calls if self.hold(placed.id).active]
        return sorted(held, key=lambda item: (item[1].id.session, item[1].id.call))

    # What is decided

    def throttle(self, placed: Placed, scope: Scope, reason: str) -> None:
        """Lower memory.high of a call to what it uses."""
        call = placed.call
        before = self._released.get(call.id, call.high_bytes)
        high = max(_PAGE, call.memory_bytes // _PAGE * _PAGE)
        high = high if before is None else min(high, before)
        self.actions.append(Limit(call.id, high, call.max_bytes, reason))
        self.holds[call.id] = replace(self.hold(call.id), scope=scope, throttled_s=self.now_s, high_bytes=before)
        self.wake(self.now_s + self.settings.throttle_s)

    def release(self, placed: Placed, reason: str, ran_out: bool = False) -> None:
        """Restore memory.high of a throttled call; ``ran_out``: its deadline did it."""
        hold = self.hold(placed.id)
        if hold.throttled_s is None:
            return
        self.actions.append(Limit(placed.id, hold.high_bytes, placed.call.max_bytes, reason))
        self._released[placed.id] = hold.high_bytes
        released = self.now_s if ran_out else hold.released_s
        self.holds[placed.id] = replace(hold, throttled_s=None, high_bytes=None, released_s=released)

    def reclaim(self, placed: Placed, size: int, reason: str) -> None:
        """Have the kernel take back up to ``size`` bytes of a call."""
        self.actions.append(Reclaim(placed.id, size, reason))
        self.holds[placed.id] = replace(self.hold(placed.id), reclaimed_s=self.now_s)

    def freeze(self, placed: Placed, scope: Scope, reason: str, pushed: bool = False) -> None:
        """Stop a call; ``pushed``: for somebody of higher priority who stalls, and for no longer.

        While some room is left a trickle of CPU time does, since it may own what somebody waits for; with none it must
        stand.
        """
        room = self.room(scope)
        soft = room is not None and room.level < Level.GONE
        self.actions.append(Freeze(placed.id, reason, soft))
        hold = replace(self.hold(placed.id), scope=scope, frozen_s=self.now_s, soft=soft, pushed=pushed)
        self.holds[placed.id] = hold
        for pair in self._runners.values():
            for runners in pair:
                runners.stop(placed.id)
        self.wake(hold.freeze_ends_s(self.settings))

    def harden(self, placed: Placed, reason: str) -> None:
        """Have a call that was stopped softly stand still from now on."""
        self.actions.append(Freeze(placed.id, reason))
        self.holds[placed.id] = replace(self.hold(placed.id), soft=False)

    def thaw(self, placed: Placed, reason: str) -> None:
        """Let a frozen call go on, and at full speed."""
        self.release(placed, reason)
        hold = self.hold(placed.id)
        self.actions.append(Thaw(placed.id, reason))
        spent = hold.spent_s + (0.0 if hold.frozen_s is None else self.now_s - hold.frozen_s)
        self.holds[placed.id] = replace(
            hold, frozen_s=None, soft=False, pushed=False, spent_s=spent, thawed_s=self.now_s
        )
        for pair in self._runners.values():
            for runners in pair:
                runners.go(placed.id)

    def kill(self, placed: Placed, rule: str, reason: str) -> None:
        """Kill a call, whole. cgroup.kill reaches frozen tasks too."""
        self.actions.append(Kill(placed.id, rule, reason))
        self.holds.pop(placed.id, None)
        self.killed[placed.id] = self.now_s
        self._calls.clear()
        self._runners.clear()

    def watch(self, room: Room) -> None:
        """Look at ``room`` again before it can run short unnoticed, and remember what it was like."""
        seen = self.memory.seen.get(room.scope)
        size, since_s = room.hard_bytes, self.now_s
        if seen is not None and abs(size - seen.bytes) <= NOISE_BYTES:
            size, since_s = seen.bytes, seen.since_s
        rate = self._rate(room)
        if seen is not None and self.now_s - seen.at_s < _LEAST_S:
            seen = replace(seen, bytes=size, since_s=since_s, rate=rate)
        else:
            seen = Seen(size, since_s, self.now_s, room.hard_bytes, rate)
        self.seen[room.scope] = seen
        self.wake(self.now_s + self._look_s(room, self.now_s - seen.since_s))

    def stepped(self, scope: Scope, pressure: Pressure) -> None:
        """Remember that a step was taken, and at what use."""
        room = self.room(scope)
        used = room.hard_bytes if room else 0
        self.pressures[scope] = replace(pressure, acted_s=self.now_s, acted_bytes=used)

    def wake(self, at_s: float) -> None:
        """Ask again at ``at_s`` at the latest."""
        at_s = max(at_s, self.now_s + _SOON_S)
        self._wake_s = at_s if self._wake_s is None else min(self._wake_s, at_s)

    @property
    def wake_s(self) -> float | None:
        """The earliest instant that was asked for."""
        return self._wake_s

    def _runners_of(self, scope: Scope) -> tuple[Runners, Runners]:
        if scope not in self._runners:
            calls = self.calls(scope)
            self._runners[scope] = Runners(calls, self.frozen), Runners(self.weighty(calls), self.frozen)
        return self._runners[scope]

    def _look_s(self, room: Room, quiet_s: float) -> float:
        """Half of what the fastest growth would need to the next level; longer where nothing has changed for long."""
        settings = self.settings
        target = room.gone_bytes if room.pressed else room.tight_bytes
        pace = max(settings.pace_bytes_per_s, self._rate(room))
        ahead = max(0, target - room.hard_bytes) / pace / 2
        quiet = min(quiet_s / 4, settings.look_quiet_s)
        return min(max(ahead, quiet, settings.look_least_s), settings.look_most_s)

    def _rate(self, room: Room) -> float:
        """How fast the use of a watched scope grows: bytes a second since the last look."""
        seen = self.memory.seen.get(room.scope)
        if seen is None:
            return 0.0
        passed_s = self.now_s - seen.at_s
        return seen.rate if passed_s < _LEAST_S else max(0.0, (room.hard_bytes - seen.at_bytes) / passed_s)

    def _measure(self, scope: Scope) -> Room | None:
        session = None if scope is None else self.sessions.get(scope)
        if scope is None:
            room: Room | None = host_room(self.world, self.settings)
        elif session is None:
            return None
        else:
            room = session_room(session, self.settings, self.now_s, self.stalls(scope))
        if room is not None and room.level is Level.TIGHT:
            ahead = self._rate(room) * self.settings.ahead_s
            if room.hard_bytes + ahead >= room.end_bytes:
                room = replace(room, level=Level.GONE)
        return room
