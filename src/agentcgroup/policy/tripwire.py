"""memory.high of calls/ as a tripwire: calls that grow together are noticed and braked before they meet the limit.

No counter moves while calls grow below the limit that they share, and at it the kernel kills. So memory.high of calls/
lies where it gets tight: crossing it is a signal within milliseconds, and the kernel brakes whoever goes on growing
until the policy has answered. The answer moves the wire: to where there is no room left once all calls but one are
held, and away when one call alone, or page cache, is what fills the room, for then nobody has to give way.
"""

from __future__ import annotations

from collections.abc import Iterable

from agentcgroup.policy import victims
from agentcgroup.policy.climb import can_throttle
from agentcgroup.policy.draft import Draft
from agentcgroup.policy.room import Level, Room
from agentcgroup.policy.world import SessionState, Tripwire

_FEWEST = 2  # calls; one alone meets its own limit, and nobody else


def stretch(draft: Draft, sessions: Iterable[str], wires: dict[str, int | None]) -> None:
    """Move the tripwires of ``sessions`` to where they belong now; ``wires`` is where they are, by session."""
    for name in [name for name in wires if name not in draft.sessions]:
        del wires[name]
    for name in sessions:
        room = draft.room(name)
        if room is None:
            continue
        high = _place(draft, draft.sessions[name], room)
        if name not in wires or wires[name] != high:  # at first always: whoever ruled before may have left one
            wires[name] = high
            draft.actions.append(Tripwire(name, high, _why(high, room)))


def _place(draft: Draft, session: SessionState, room: Room) -> int | None:
    if len(session.calls) < _FEWEST:
        return None
    if room.pressed:
        weighty = draft.weighty(draft.calls(session.name))
        pressure = draft.pressures.get(session.name)
        free = [placed for placed in weighty if can_throttle(draft, placed)]
        growing = victims.growers(free, pressure.marks if pressure is not None else {})
        if room.level is Level.TIGHT and len(growing) >= _FEWEST:
            return room.tight_bytes  # the kernel brakes them meanwhile
        return room.gone_bytes if len(weighty) >= _FEWEST else None
    used = sum(call.memory_bytes for call in session.calls)
    if used < room.tight_bytes:
        return room.tight_bytes
    return room.gone_bytes if used < room.gone_bytes else None


def _why(high: int | None, room: Room) -> str:
    if high is None:
        return "no call would have to give way to another"
    return "to be told when it gets tight" if high == room.tight_bytes else "to be told when there is no room left"
