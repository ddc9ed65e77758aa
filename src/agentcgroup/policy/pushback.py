"""Pushing back: when a task of higher priority stalls for want of room, those of lower priority stop at once.

The kernel says so the moment it happens (`world.Short`), which saves the wait for PSI. It is believed where the room is
short of what cannot be given back; where cache fills it, a task that takes some back harms nobody. Whoever was stopped
goes on with a brake when nobody of higher priority has stalled for ``push_s``, or like everybody else when there is
room again. All bounds of the ladder hold: of one freeze, of all together, and that somebody of the highest priority
runs. Calls within the share that their session is promised are left alone.
"""

from __future__ import annotations

from dataclasses import replace

from agentcgroup.model import Priority
from agentcgroup.policy import victims
from agentcgroup.policy.climb import can_freeze, thaw_braked
from agentcgroup.policy.draft import Draft
from agentcgroup.policy.held import NEVER, Pressure
from agentcgroup.policy.room import Level, Room, Scope
from agentcgroup.policy.victims import Placed, Rank
from agentcgroup.policy.world import Short, Signal


def push_back(draft: Draft, signal: Signal) -> None:
    """Stop everybody who has to give way to the task that stalls."""
    if not isinstance(signal, Short):
        return
    rank, room = _rank(draft, signal), draft.room(signal.scope)
    if rank is None or room is None or not room.pressed:
        return
    draft.shorts[room.scope, rank] = draft.now_s
    lower = [placed for placed in draft.weighty(draft.calls(room.scope)) if placed.rank < rank]
    pressure = draft.pressures.get(room.scope) or _begun(draft, room)
    stopped = 0
    for placed in victims.order(lower, pressure.marks, draft.now_s):
        if can_freeze(draft, placed, room.scope) and not _promised(draft, placed, room.scope):
            draft.freeze(placed, room.scope, _why(room.scope), pushed=True)
            stopped += 1
    if stopped:
        draft.stepped(room.scope, pressure)


def let_up(draft: Draft) -> None:
    """Let those go on for whom nobody stalls any more: one at a time, and only while there is some room."""
    if not any(hold.pushed for hold in draft.holds.values()):
        return
    pushed: dict[Scope, list[Placed]] = {}
    for scope, placed in draft.held():
        if draft.hold(placed.id).pushed:
            pushed.setdefault(scope, []).append(placed)
    for scope, calls in pushed.items():
        room, pressure = draft.room(scope), draft.pressures.get(scope)
        # With plenty of room `relieve` is quicker; and with none a freeze is a freeze.
        if room is not None and pressure is not None and Level.CALM < room.level < Level.GONE:
            _let_one_up(draft, scope, calls, pressure)


def _let_one_up(draft: Draft, scope: Scope, calls: list[Placed], pressure: Pressure) -> None:
    settings, now_s = draft.settings, draft.now_s
    waits = [(max(0.0, _last_short_s(draft, scope, placed.rank) + settings.push_s - now_s), placed) for placed in calls]
    wait_s = max(min(wait_s for wait_s, _ in waits), pressure.eased_s + settings.thaw_every_s - now_s)
    if wait_s > 0:
        draft.wake(now_s + wait_s)
        return
    ready = [placed for wait_s, placed in waits if wait_s == 0]
    placed = min(ready, key=lambda placed: (-placed.rank[0], -placed.rank[1], _since_s(draft, placed), placed.id.call))
    reason = "nobody of higher priority stalls any more"
    thaw_braked(draft, placed, scope, reason) if draft.pressed(scope) else draft.thaw(placed, reason)
    draft.pressures[scope] = replace(pressure, eased_s=now_s)
    if len(calls) > 1:
        draft.wake(now_s + settings.thaw_every_s)


def _rank(draft: Draft, signal: Short) -> Rank | None:
    """The priority of the task that stalls; an agent's goes with the highest of its session. None: it is gone."""
    session = draft.sessions.get(signal.session)
    if session is None:
        return None
    if signal.id is None:
        return session.priority, Priority.HIGH
    return next((placed.rank for placed in draft.calls(session.name) if placed.id == signal.id), None)


def _last_short_s(draft: Draft, scope: Scope, rank: Rank) -> float:
    """When somebody above ``rank`` last stalled in ``scope``."""
    return max((at_s for (where, of), at_s in draft.shorts.items() if where == scope and of > rank), default=NEVER)


def _promised(draft: Draft, placed: Placed, scope: Scope) -> bool:
    """Whether the host has promised the session all that it uses (memory.low); within a session nobody is promised."""
    low, _ = draft.memory.protections.get(placed.session.name, (0, 0))
    return scope is None and placed.session.memory_bytes <= low


def _begun(draft: Draft, room: Room) -> Pressure:
    return Pressure(room.level, victims.marks(draft.calls(room.scope), draft.now_s))


def _since_s(draft: Draft, placed: Placed) -> float:
    frozen_s = draft.hold(placed.id).frozen_s
    return draft.now_s if frozen_s is None else frozen_s


def _why(scope: Scope) -> str:
    where = "the host" if scope is None else "the calls of the session"
    return f"somebody of higher priority stalls for memory, and there is no room for {where}"
