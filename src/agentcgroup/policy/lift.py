"""A call meets the memory.high that somebody's expectation set, not the ladder: taken off where there is room.

A hint or the history of a command may be too small by far, and memory.high without swap can stall a call for ever. So
an expectation is a tripwire: met with room, it goes; met without, it is a throttle like any, with its deadline.
"""

from __future__ import annotations

from dataclasses import replace

from agentcgroup.policy.draft import Draft
from agentcgroup.policy.world import Limit, Moved, Signal


def lift(draft: Draft, signal: Signal) -> None:
    """Answer a call that has met its own memory.high (memory.events of a leaf counts nobody else's)."""
    if not isinstance(signal, Moved) or signal.id is None or not signal.high:
        return
    hold = draft.hold(signal.id)
    placed = next((placed for placed in draft.calls(signal.session) if placed.id == signal.id), None)
    if placed is None or hold.active or placed.call.high_bytes is None:
        return
    scope = None if draft.pressed(None) else signal.session
    if draft.pressed(scope):
        draft.holds[signal.id] = replace(hold, scope=scope, throttled_s=draft.now_s, high_bytes=None)
        draft.wake(draft.now_s + draft.settings.throttle_s)
    else:
        reason = "it needs more than was expected, and there is room"
        draft.actions.append(Limit(signal.id, None, placed.call.max_bytes, reason))
