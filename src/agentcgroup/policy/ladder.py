"""The policy ``ladder``: admission, protection, and graduated control under pressure (docs/reference/policies.md).

Each decision goes the same way: remember what the signal says, end what has reached its bound, climb where there is
pressure, let go where it is over, keep one call running, answer requests, protect. Without pressure and without
requests nothing but the session of the signal is looked at, so a decision costs microseconds however many there are.

No starvation: whatever its priority, a call is queued and frozen for at most ``hold_s`` (90 s) over its whole life,
in pieces of at most ``queue_s`` and ``freeze_s``; a throttle lasts ``throttle_s`` at most, and after one that ran out
it is left in peace as long. What ends a call earlier is a kill, which is recorded; what keeps one from beginning is a
refusal after ``queue_s``, which says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from agentcgroup.policy.admission import admit
from agentcgroup.policy.climb import climb, expire
from agentcgroup.policy.draft import Draft
from agentcgroup.policy.held import Memory
from agentcgroup.policy.lift import first_limit, lift
from agentcgroup.policy.protection import protect
from agentcgroup.policy.pushback import let_up, push_back
from agentcgroup.policy.relief import keep_one_running, relieve
from agentcgroup.policy.room import Scope
from agentcgroup.policy.settings import LadderSettings
from agentcgroup.policy.tripwire import stretch
from agentcgroup.policy.world import Decision, Ended, Moved, Short, Signal, Stalled, Woken, World

_LAG_S = 1.0  # the world may show a call frozen for so long after its thaw


@dataclass(frozen=True, slots=True)
class Ladder:
    """Throttle, reclaim, freeze, thaw; kill last. ``memory`` is empty at first, also after a crash."""

    settings: LadderSettings = field(default_factory=LadderSettings)
    memory: Memory = field(default_factory=Memory)

    @property
    def name(self) -> str:
        """``ladder``."""
        return "ladder"

    def decide(self, world: World, signal: Signal) -> Decision:
        """See `world.Policy`."""
        memory = _note(self.memory, world.now_s, signal, self.settings)
        draft = Draft(world, self.settings, memory)
        sessions = _concerned(draft, signal)
        _forget(draft, sessions)
        _adopt(draft, sessions)
        expire(draft)
        push_back(draft, signal)
        let_up(draft)
        _climb_where_pressed(draft, sessions)
        first_limit(draft, signal)
        lift(draft, signal)
        relieve(draft)
        keep_one_running(draft)
        grants, protections, wires = dict(memory.grants), dict(memory.protections), dict(memory.wires)
        stretch(draft, sessions, wires)
        if isinstance(signal, Ended):  # it may have begun and ended before it was ever seen
            grants.pop(signal.id, None)
        admit(draft, grants)
        protected_s = protect(draft, protections, memory.protected_s, isinstance(signal, Woken))
        after = replace(
            memory,
            holds=draft.holds,
            pressures=draft.pressures,
            shorts=draft.shorts,
            killed=draft.killed,
            seen=draft.seen,
            grants=grants,
            protections=protections,
            wires=wires,
            protected_s=protected_s,
        )
        return Decision(replace(self, memory=after), tuple(draft.actions), draft.wake_s)


def _note(memory: Memory, now_s: float, signal: Signal, settings: LadderSettings) -> Memory:
    """Remember what ``signal`` is evidence of."""
    if isinstance(signal, Stalled) and signal.stall_us >= settings.stall_share * signal.window_us:
        return replace(memory, stalls={**_fresh(memory.stalls, now_s, settings), signal.session: now_s})
    if isinstance(signal, Moved) and (signal.high or signal.max or signal.oom or signal.oom_kill):
        scopes: set[Scope] = {signal.session}
        hold = memory.holds.get(signal.id) if signal.id is not None else None
        if hold is not None and hold.active:
            scopes.add(hold.scope)
        return replace(memory, moves={**_fresh(memory.moves, now_s, settings), **dict.fromkeys(scopes, now_s)})
    return memory


def _fresh(times: Mapping[Scope, float], now_s: float, settings: LadderSettings) -> dict[Scope, float]:
    return {scope: at_s for scope, at_s in times.items() if now_s - at_s <= settings.fresh_s}


def _concerned(draft: Draft, signal: Signal) -> list[str]:
    """The sessions that this decision is about: all when woken, else that of the signal and those near a limit."""
    if isinstance(signal, Woken):
        return list(draft.sessions)
    names = {scope for scope in (*draft.memory.seen, *draft.pressures) if scope is not None}
    named = signal.session if isinstance(signal, Moved | Stalled | Short) else signal.id.session
    if named is not None:
        names.add(named)
    return sorted(names & draft.sessions.keys())


def _forget(draft: Draft, sessions: Iterable[str]) -> None:
    """Drop what is remembered of calls of ``sessions`` that are no more, and of sessions that are no more."""
    names = {call.session for call in draft.holds}.intersection(sessions)
    alive = {call.id for name in names for call in draft.sessions[name].calls}
    for call in list(draft.holds):
        if call.session not in draft.sessions or (call.session in names and call not in alive):
            del draft.holds[call]
    for scope in [scope for scope in draft.pressures if scope is not None and scope not in draft.sessions]:
        del draft.pressures[scope]


def _adopt(draft: Draft, sessions: Iterable[str]) -> None:
    """Take over calls that are frozen without our knowing (a controller died): they get the bounds of any freeze."""
    for name in sessions:
        session = draft.sessions[name]
        for call in session.calls:
            if not call.frozen:
                continue
            hold = draft.hold(call.id)
            if hold.frozen_s is None and draft.now_s - hold.thawed_s >= _LAG_S:
                scope = name if session.calls_bytes is not None else None
                draft.holds[call.id] = replace(hold, scope=scope, frozen_s=draft.now_s)


def _climb_where_pressed(draft: Draft, sessions: Iterable[str]) -> None:
    """Climb on the host and in ``sessions``, and watch what is near its limit: slow growth moves no counter."""
    for scope in (None, *sessions):
        room = draft.room(scope)
        if room is None:
            continue
        if room.pressed:
            climb(draft, room)
        near = room.hard_bytes * draft.settings.tight_share >= room.tight_bytes * draft.settings.watch_share
        if near if scope is not None else any(session.calls for session in draft.world.sessions):
            draft.watch(room)
