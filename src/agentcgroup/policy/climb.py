"""Up the ladder: throttle, reclaim, freeze, kill. One rung at a time, and only while there is too little room.

A step waits for the effect of the last one, and a further one is taken only if the use still grows or it hurts. A
throttled call becomes a frozen one when PSI confirms that it hurts, when there is no room at all, or at its deadline.
A call is killed only when there has been no room for a while, nothing is left to freeze, and a counter or PSI says that
the others cannot go on like that.
"""

from __future__ import annotations

from dataclasses import replace

from agentcgroup.policy import victims
from agentcgroup.policy.draft import NOISE_BYTES, Draft
from agentcgroup.policy.held import NEVER, Pressure
from agentcgroup.policy.room import Level, Room, Scope
from agentcgroup.policy.victims import Placed
from agentcgroup.units import format_duration, format_size


def climb(draft: Draft, room: Room) -> None:
    """Take the next step in a scope that is tight or worse."""
    scope, settings = room.scope, draft.settings
    began = draft.pressures.get(scope)
    marks = victims.marks(draft.calls(scope), draft.now_s) if began is None else began.marks
    order = victims.order(draft.weighty(draft.calls(scope)), marks, draft.now_s)
    stuck = _stuck(draft, order)
    pressure = _pressure(draft, room, began or Pressure(room.level, marks), stuck)
    draft.pressures[scope] = pressure
    _reclaim(draft, room, order)
    if room.level is Level.GONE:
        for placed in order:
            if draft.hold(placed.id).soft:
                draft.harden(placed, _why(room))
    if len(order) < 2 and scope is not None:
        return  # nobody would gain; if it is too much, the call meets its own memory.max
    since_s = draft.now_s - pressure.acted_s
    if since_s == 0:
        return  # somebody was pushed back in this very decision: that was the step
    grew = since_s >= settings.step_s and room.hard_bytes > pressure.acted_bytes + NOISE_BYTES
    hurts = since_s >= settings.confirm_s and draft.hurts(scope)
    due = pressure.acted_s == NEVER or grew or (hurts and room.level is Level.GONE)
    if room.level is Level.GONE:
        acted = due and _freeze_half(draft, room, pressure, order)
        acted |= room.hard_bytes < room.gone_bytes and not stuck  # it is only feared to be gone soon
    else:
        acted = _tighten(draft, room, pressure, order, due) or not stuck
    if not acted:
        _last_resort(draft, room, pressure, order)


def expire(draft: Draft) -> None:
    """End what has reached its bound: no throttle and no freeze is for ever, whatever the pressure."""
    for scope, placed in draft.held():
        hold = draft.hold(placed.id)
        if hold.frozen_s is not None:
            ends = hold.freeze_ends_s(draft.settings)
            if draft.now_s >= ends:
                reason = f"it has been frozen for {format_duration(draft.now_s - hold.frozen_s)}"
                thaw_braked(draft, placed, scope, reason) if draft.pressed(scope) else draft.thaw(placed, reason)
            else:
                draft.wake(ends)
        elif hold.throttled_s is not None:
            ends = hold.throttled_s + draft.settings.throttle_s
            if draft.now_s < ends:
                draft.wake(ends)
            elif _in_vain(draft, scope) and can_freeze(draft, placed, scope) and not _lower_first(draft, placed, scope):
                draft.freeze(placed, scope, f"throttled for {format_duration(draft.settings.throttle_s)} in vain")
            else:
                draft.release(placed, "its throttle has reached its deadline", ran_out=True)


def can_freeze(draft: Draft, placed: Placed, scope: Scope) -> bool:
    """Whether a call may be stopped: within its bounds, and not the last one that gets something done."""
    if draft.frozen(placed.id) or not draft.hold(placed.id).may_freeze(draft.now_s, draft.settings):
        return False
    return draft.may_stop(placed, scope) and draft.may_stop(placed, None)


def thaw_braked(draft: Draft, placed: Placed, scope: Scope, reason: str) -> None:
    """Let a call go on while there is no room for it to grow: at what it uses, with the deadline of any throttle."""
    draft.thaw(placed, reason)
    draft.throttle(placed, scope, f"{reason}, and there is still little room")


def _pressure(draft: Draft, room: Room, before: Pressure, stuck: bool) -> Pressure:
    if room.level is not Level.GONE and not stuck:
        return replace(before, level=room.level, gone_s=None)
    if before.gone_s is not None:
        return replace(before, level=room.level)
    return replace(before, level=room.level, gone_s=draft.now_s, gone_bytes=room.hard_bytes)


def _stuck(draft: Draft, order: list[Placed]) -> bool:
    """Whether everybody who weighs something is held, and somebody frozen: braked calls wait for what never comes."""
    holds = [draft.hold(placed.id) for placed in order]
    return all(hold.active for hold in holds) and any(hold.frozen_s is not None for hold in holds)


def _tighten(draft: Draft, room: Room, pressure: Pressure, order: list[Placed], due: bool) -> bool:
    """Freeze one that is throttled if it hurts, else throttle half of those that grow; the first victim at first."""
    settings, now_s = draft.settings, draft.now_s
    if draft.hurts(room.scope) and now_s - pressure.acted_s >= settings.confirm_s:
        for placed in order:
            throttled_s = draft.hold(placed.id).throttled_s
            if throttled_s is None or now_s - throttled_s < settings.confirm_s:
                continue
            if can_freeze(draft, placed, room.scope) and not _lower_first(draft, placed, room.scope):
                draft.freeze(placed, room.scope, f"{_why(room)}, and tasks stall")
                draft.stepped(room.scope, pressure)
                return True
    if not due:
        return False
    unheld = victims.Runners(order, lambda call: draft.hold(call).active)
    free = victims.growers([placed for placed in order if not draft.hold(placed.id).active], pressure.marks)
    most = 1 if pressure.acted_s == NEVER else (len(free) + 1) // 2  # what grows is known only by the second look
    braked = 0
    for placed in free:
        if braked == most:
            break
        if can_throttle(draft, placed) and (unheld.may_stop(placed.id) or draft.outranked(placed, room.scope)):
            draft.throttle(placed, room.scope, _why(room))
            unheld = victims.Runners(order, lambda call: draft.hold(call).active)
            braked += 1
    if braked:
        draft.stepped(room.scope, pressure)
    return braked > 0


def _freeze_half(draft: Draft, room: Room, pressure: Pressure, order: list[Placed]) -> bool:
    """Stop half of those that run, the first victims first: growth that needs stopping now is found in a few steps."""
    running = [placed for placed in order if not draft.frozen(placed.id)]
    stopped = 0
    for placed in running:
        if stopped * 2 < len(running) and can_freeze(draft, placed, room.scope):
            draft.freeze(placed, room.scope, _why(room))
            stopped += 1
    if stopped:
        draft.stepped(room.scope, pressure)
    return stopped > 0


def _last_resort(draft: Draft, room: Room, pressure: Pressure, order: list[Placed]) -> None:
    """No room and everything tried: brake those that run, then kill the first victim."""
    settings, now_s = draft.settings, draft.now_s
    if any(can_freeze(draft, placed, room.scope) for placed in order):
        return  # in the next step, if it grows until then
    for placed in order:
        if can_throttle(draft, placed) and (len(order) > 1 or draft.outranked(placed, room.scope)):
            draft.throttle(placed, room.scope, f"{_why(room)}, and nothing is left to freeze")
    if any(_will_freeze(draft, placed, room.scope) for placed in order):
        return  # once it has had its time to run
    gone_s = now_s if pressure.gone_s is None else pressure.gone_s
    patience_s = settings.turn_s if pressure.turns else settings.kill_s
    grew = room.hard_bytes > pressure.acted_bytes + NOISE_BYTES
    brim = room.scope is not None and grew and room.hard_bytes * 2 >= room.gone_bytes + room.end_bytes
    if brim:  # what is left would not last for that long, and at the limit the kernel kills whom it likes
        patience_s = settings.confirm_s
    if not order:
        return
    if room.scope is None and not draft.outranked(order[0], None) and _lasts(draft, room, pressure):
        patience_s = settings.throttle_s  # no better call waits, and it may be our own brake that makes them stall
    if now_s - max(gone_s, pressure.acted_s) < patience_s or draft.dying(room.scope):
        return
    if not (draft.hurts(room.scope) or draft.moved(room.scope)):
        return
    if not brim and _another_turn(draft, room, pressure, order):
        return
    victim = order[0]
    where = "host" if room.scope is None else "session"
    draft.kill(
        victim,
        f"{where}-out-of-room",
        f"{_why(room)} for {format_duration(now_s - gone_s)}, and freezing "
        f"others did not help; of the lowest priority it grew most ({format_size(victim.call.memory_bytes)})",
    )
    draft.stepped(room.scope, replace(pressure, gone_s=now_s, gone_bytes=room.hard_bytes))


def _lasts(draft: Draft, room: Room, pressure: Pressure) -> bool:
    """Whether what is left would last for longer than a throttle, at the pace since there was too little."""
    gone_s = draft.now_s if pressure.gone_s is None else pressure.gone_s
    grown = room.hard_bytes - pressure.gone_bytes
    return grown * draft.settings.throttle_s <= (room.end_bytes - room.hard_bytes) * (draft.now_s - gone_s)


def _another_turn(draft: Draft, room: Room, pressure: Pressure, order: list[Placed]) -> bool:
    """Before a kill: let the largest frozen call have its turn, for it may be about to finish and to give most back.

    Not in front of a call of higher priority that runs, and only ``turns`` times in one pressure. Nor on the host: what
    goes wrong in a session costs one of its calls, there anybody.
    """
    if room.scope is None or len(pressure.turns) >= draft.settings.turns:
        return False
    running = [placed.rank for placed in order if not draft.frozen(placed.id)]
    waiting = [
        placed
        for placed in order
        if draft.frozen(placed.id)
        and placed.id not in pressure.turns
        and placed.rank >= max(running, default=placed.rank)
    ]
    if not waiting:
        return False
    placed = max(waiting, key=lambda placed: (placed.rank, placed.call.memory_bytes))
    thaw_braked(draft, placed, room.scope, "nobody else gets on, and it may be about to finish")
    draft.stepped(room.scope, replace(pressure, turns=pressure.turns | {placed.id}))
    return True


def _will_freeze(draft: Draft, placed: Placed, scope: Scope) -> bool:
    hold = draft.hold(placed.id)
    if hold.frozen_s is not None:
        return False
    if not hold.may_freeze(draft.now_s, draft.settings):  # too early, or for good?
        later = hold.may_freeze(draft.now_s + draft.settings.run_s, draft.settings)
        return later and draft.may_stop(placed, scope)
    return can_freeze(draft, placed, scope)


def _lower_first(draft: Draft, placed: Placed, scope: Scope) -> bool:
    """Whether a call of lower priority than ``placed`` could be frozen instead."""
    weighty = draft.weighty(draft.calls(scope))
    return any(other.rank < placed.rank and can_freeze(draft, other, scope) for other in weighty)


def _in_vain(draft: Draft, scope: Scope) -> bool:
    """Whether a throttle was not enough: there is pressure, and somebody suffers from it."""
    room = draft.room(scope)
    if room is None or not room.pressed:
        return False
    return room.level is Level.GONE or draft.hurts(scope) or draft.moved(scope)


def can_throttle(draft: Draft, placed: Placed) -> bool:
    """Whether a call may be slowed: it is not held, and its last throttle did not run out just now."""
    hold = draft.hold(placed.id)
    return not hold.active and draft.now_s - hold.released_s >= draft.settings.throttle_s


def _reclaim(draft: Draft, room: Room, order: list[Placed]) -> None:
    """Take back cache and what swap can hold, from the first victim that has any."""
    settings = draft.settings
    for placed in order:
        spare = placed.call.reclaimable_bytes
        if spare < settings.reclaim_least_bytes:
            continue
        if draft.now_s - draft.hold(placed.id).reclaimed_s >= settings.reclaim_every_s:
            size = min(spare, max(room.excess_bytes, settings.reclaim_least_bytes))
            draft.reclaim(placed, size, f"{_why(room)}; it can give back {format_size(spare)}")
            return


def _why(room: Room) -> str:
    if room.scope is None:
        return "the host is short of memory" if room.level is Level.TIGHT else "the host is out of memory"
    word = "short" if room.level is Level.TIGHT else "out"
    return f"the calls of the session are {word} of room"
