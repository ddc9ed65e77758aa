"""The memory.high that an expectation sets when a call begins, and what happens when the call meets it.

A hint or the history of a command may be too small by far, and memory.high without swap can stall a call for ever. So
an expectation is a tripwire: met with room, it goes; met without, it is a throttle like any, with its deadline. It is
set here and nowhere else, because only this policy takes it off again.
"""

from __future__ import annotations

from dataclasses import replace

from agentcgroup.policy.draft import Draft
from agentcgroup.policy.victims import Placed
from agentcgroup.policy.world import Began, CallId, Limit, Moved, Signal


def first_limit(draft: Draft, signal: Signal) -> None:
    """Give a call that has just begun the memory.high that is wide enough for what is expected of it."""
    if not isinstance(signal, Began) or signal.high_bytes is None:
        return
    placed = _find(draft, signal.id)
    if placed is not None and placed.call.high_bytes is None:
        reason = f"expected by its {signal.source}"
        draft.actions.append(Limit(signal.id, signal.high_bytes, placed.call.max_bytes, reason))


def lift(draft: Draft, signal: Signal) -> None:
    """Answer a call that has met its own memory.high (memory.events of a leaf counts nobody else's)."""
    if not isinstance(signal, Moved) or signal.id is None or not signal.high:
        return
    hold = draft.hold(signal.id)
    placed = _find(draft, signal.id)
    if placed is None or hold.active or placed.call.high_bytes is None:
        return
    scope = None if draft.pressed(None) else signal.session
    if draft.pressed(scope):
        draft.holds[signal.id] = replace(hold, scope=scope, throttled_s=draft.now_s, high_bytes=None)
        draft.wake(draft.now_s + draft.settings.throttle_s)
    else:
        reason = "it needs more than was expected, and there is room"
        draft.actions.append(Limit(signal.id, None, placed.call.max_bytes, reason))


def _find(draft: Draft, id_: CallId) -> Placed | None:
    return next((placed for placed in draft.calls(id_.session) if placed.id == id_), None)
