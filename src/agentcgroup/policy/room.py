"""How much room is left where calls compete for it: below calls/ of their session, and on the host.

Cache is not need: what the kernel can take back without harm does not count, unless PSI says that taking it hurts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from agentcgroup.policy.settings import LadderSettings
from agentcgroup.policy.world import CallState, SessionState, World

Scope: TypeAlias = str | None  # the name of a session, or None for the host


class Level(IntEnum):
    """How a scope is doing, best first."""

    CALM = 0
    NEAR = 1  # neither: nothing new is held here, what is held is let go slowly
    TIGHT = 2
    GONE = 3


@dataclass(frozen=True, slots=True)
class Room:
    """One scope, measured."""

    scope: Scope
    level: Level
    hard_bytes: int  # in use and not to be had back
    calm_bytes: int  # ``hard_bytes`` below which it is calm, and from which it is tight, and gone
    tight_bytes: int
    gone_bytes: int
    end_bytes: int  # where the kernel kills

    @property
    def pressed(self) -> bool:
        """Whether somebody has to give way."""
        return self.level >= Level.TIGHT

    @property
    def excess_bytes(self) -> int:
        """What would have to be given back for it to be calm."""
        return max(0, self.hard_bytes - self.calm_bytes)


def session_room(session: SessionState, settings: LadderSettings, now_s: float, hurts: bool) -> Room | None:
    """The room that the calls of ``session`` share; None where they have no limit in common."""
    limit = session.calls_bytes
    if limit is None:
        return None
    calm, tight, gone = (
        int(limit * share) for share in (settings.calm_share, settings.tight_share, settings.gone_share)
    )
    if 0 < session.memory_bytes < min(calm, tight * settings.watch_share):  # the agent and all: no need to add up
        return Room(session.name, Level.CALM, min(session.memory_bytes, calm), calm, tight, gone, limit)
    used = hard = 0
    for call in session.calls:
        used += call.memory_bytes
        hard += max(0, call.memory_bytes - call.reclaimable_bytes)
    level = _level(hard, calm, tight, gone)
    if level < Level.TIGHT and hurts and used >= tight:
        level = Level.TIGHT  # at the limit with cache, and the kernel's reclaim is felt
    elif level is Level.TIGHT and not hurts and (promised := promised_bytes(session, settings, now_s)) is not None:
        level = Level.NEAR if promised <= gone else level
    return Room(session.name, level, hard, calm, tight, gone, limit)


def host_room(world: World, settings: LadderSettings) -> Room:
    """The room of the host; MemAvailable has the cache taken off already."""
    reserve = settings.host_reserve_bytes(world.host_bytes)
    calm, tight, gone = world.host_bytes - reserve * 3 // 2, world.host_bytes - reserve, world.host_bytes - reserve // 2
    hard = max(0, world.host_bytes - world.available_bytes)
    return Room(None, _level(hard, calm, tight, gone), hard, calm, tight, gone, world.host_bytes)


def hard_bytes(call: CallState) -> int:
    """What ``call`` uses and the kernel cannot take back."""
    return max(0, call.memory_bytes - call.reclaimable_bytes)


def expected_bytes(call: CallState, settings: LadderSettings, now_s: float) -> int:
    """What ``call`` is to be reckoned with: what it uses, or what it is expected still to reach."""
    hard = hard_bytes(call)
    if call.background:  # what stayed has shown what it needs
        return hard
    ran_s = call.ran_s(now_s)
    if call.expected_bytes is None:
        return max(hard, settings.unknown_bytes) if ran_s < settings.unknown_s else hard
    return max(hard, call.expected_bytes) if ran_s < settings.expectation_s or call.frozen else hard


def outstanding_bytes(calls: Iterable[CallState], settings: LadderSettings, now_s: float) -> int:
    """What ``calls`` are expected to take beyond what they use. Calls of old, most of them, are passed over quickly."""
    unknown_since_s, expected_since_s = now_s - settings.unknown_s, now_s - settings.expectation_s
    total = 0
    for call in calls:  # `expected_bytes` less `hard_bytes`, written out: a host has thousands of calls
        expected = call.expected_bytes
        if expected is None:
            if call.started_s + call.stood_s <= unknown_since_s:
                continue
            expected = settings.unknown_bytes
        elif call.started_s + call.stood_s <= expected_since_s and not call.frozen:
            continue
        more = expected - call.memory_bytes
        if call.reclaimable_bytes:
            more = expected - hard_bytes(call)
        if more > 0 and not call.background:
            total += more
    return total


def promised_bytes(session: SessionState, settings: LadderSettings, now_s: float) -> int | None:
    """The sum of what the calls said they need, while every one of them keeps to it; else None.

    A session whose calls have said what they need, and fit, is not short of room: nobody has to be slowed.
    """
    total = 0
    for call in session.calls:
        if call.expected_bytes is None or call.ran_s(now_s) >= settings.expectation_s:
            return None
        if hard_bytes(call) > call.expected_bytes:
            return None
        total += call.expected_bytes
    return total


def _level(hard: int, calm: int, tight: int, gone: int) -> Level:
    return Level.GONE if hard >= gone else Level.TIGHT if hard >= tight else Level.NEAR if hard >= calm else Level.CALM
