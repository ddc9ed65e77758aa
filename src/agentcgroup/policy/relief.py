"""Down the ladder: when the pressure is over, whoever was held is let go, one at a time.

Highest priority first, within it whoever has been held longest. And, pressure or not: never are all calls stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agentcgroup.policy import victims
from agentcgroup.policy.climb import thaw_braked
from agentcgroup.policy.draft import Draft
from agentcgroup.policy.held import Pressure
from agentcgroup.policy.room import Level, Scope
from agentcgroup.policy.victims import Placed


def relieve(draft: Draft) -> None:
    """Let one call go in every scope that has room again, and forget the pressures that are over."""
    held = _held_by_scope(draft)
    for scope in {*held, *draft.pressures}:
        if draft.pressed(scope):
            continue
        if scope not in held:
            draft.pressures.pop(scope, None)
        else:
            _ease(draft, scope, held[scope])


def keep_one_running(draft: Draft) -> None:
    """Thaw at once where nobody of the highest priority runs any more, because those who did have ended."""
    frozen = [(hold.scope, call) for call, hold in draft.holds.items() if hold.frozen_s is not None]
    if not frozen:
        return
    # The host may stop a whole session of low priority: within the bounds, and `relieve` lets its calls go in turn.
    scopes: set[Scope] = {None} | {scope for scope, _ in frozen if scope is not None}
    for scope in sorted(scopes, key=str):
        calls = draft.calls(scope)
        _keep_one(draft, scope, victims.top_group(calls))
        group = victims.top_group(draft.weighty(calls))
        if group and not draft.outranked(group[0], scope):
            _keep_one(draft, scope, group)


def _keep_one(draft: Draft, scope: Scope, group: Sequence[Placed]) -> None:
    if not group or not all(draft.frozen(placed.id) for placed in group):
        return
    placed = min(group, key=lambda placed: _begun(draft, placed))
    reason = "no other call of its priority runs"
    if draft.pressed(scope) and len(draft.calls(scope)) > 1:
        thaw_braked(draft, placed, scope, reason)
    else:
        draft.thaw(placed, reason)


def _ease(draft: Draft, scope: Scope, held: list[Placed]) -> None:
    if scope is not None and draft.pressed(None):
        return  # it would be frozen again at once, for the sake of the host; its bounds hold meanwhile
    free = [placed for placed in held if not draft.pressed(placed.id.session)]
    if not free:
        return
    settings, now_s = draft.settings, draft.now_s
    room = draft.room(scope)
    calm = room is None or room.level is Level.CALM
    interval = settings.thaw_every_s if calm else settings.thaw_near_s
    pressure = draft.pressures.get(scope) or Pressure(Level.CALM if room is None else room.level, {})
    last = max(pressure.acted_s, pressure.eased_s)
    if now_s - last < interval:
        draft.wake(last + interval)
        return
    placed = min(free, key=lambda placed: (-placed.rank[0], -placed.rank[1], *_begun(draft, placed)))
    if draft.frozen(placed.id):
        draft.thaw(placed, "there is room again")
    else:
        draft.release(placed, "there is room again")
    draft.pressures[scope] = replace(pressure, eased_s=now_s, gone_s=None)
    draft.wake(now_s + interval)


def _begun(draft: Draft, placed: Placed) -> tuple[float, str, str]:
    """For whoever has been held longest to come first."""
    hold = draft.hold(placed.id)
    since = hold.frozen_s if hold.frozen_s is not None else hold.throttled_s
    return (draft.now_s if since is None else since), placed.id.session, placed.id.call


def _held_by_scope(draft: Draft) -> dict[Scope, list[Placed]]:
    found: dict[Scope, list[Placed]] = {}
    for scope, placed in draft.held():
        found.setdefault(scope, []).append(placed)
    return found
