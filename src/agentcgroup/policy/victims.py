"""Who gives way first, and who must go on.

Order: lowest priority of the session, lowest priority of the call, those that are not about to end by their own word,
the call that grew most since the pressure began, the youngest. The agent is no call, so it is never among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from agentcgroup.model import Priority
from agentcgroup.policy.world import CallId, CallState, SessionState

_RECENT_S = 5.0  # growth before the pressure was seen is estimated over so long


Rank: TypeAlias = tuple[Priority, Priority]  # of the session, of the call in it


class Placed(NamedTuple):
    """A call and the session it runs in."""

    session: SessionState
    call: CallState

    @property
    def id(self) -> CallId:
        """Of the call."""
        return self.call.id

    @property
    def rank(self) -> Rank:
        """Its priority group, comparable over all sessions."""
        return self.session.priority, self.call.priority


def marks(calls: Iterable[Placed], now_s: float) -> dict[CallId, int]:
    """What each call used when the pressure began.

    It is noticed a little late; so each call is credited with what it grew of late, taking its growth over its life as
    even. A fresh runaway then stands out in the very first look, and a big call that has been there for long does not.
    """
    return {
        placed.id: placed.call.memory_bytes - _recent_growth(placed.call, now_s - placed.call.started_s)
        for placed in calls
    }


def order(calls: Iterable[Placed], began: Mapping[CallId, int], now_s: float) -> list[Placed]:
    """``calls``, the first victim first; ``began`` is what `marks` gave (a call that came later began with nothing)."""
    return sorted(
        calls,
        key=lambda placed: _turn(placed.session.priority, placed.call, began, now_s),
    )


def about_to_end(call: CallState, now_s: float) -> bool:
    """Whether it is in the second half of the time that it declared: it will give its memory back by itself.

    Only so long: one that is not over when it said so has no advantage any more.
    """
    return call.ends_s is not None and (call.started_s + call.ends_s) / 2 <= now_s <= call.ends_s


def growers(calls: Iterable[Placed], began: Mapping[CallId, int]) -> list[Placed]:
    """Those of ``calls`` that grew at least a quarter as much as the one that grew most, in the order of ``calls``."""
    grown = [(placed, placed.call.memory_bytes - began.get(placed.id, 0)) for placed in calls]
    least = max((size for _, size in grown), default=0) / 4
    return [placed for placed, size in grown if size >= least]


def _turn(priority: Priority, call: CallState, began: Mapping[CallId, int], now_s: float) -> tuple[float | str, ...]:
    id_ = call.id
    grown = call.memory_bytes - began.get(id_, 0)
    return priority, call.priority, about_to_end(call, now_s), -grown, -call.started_s, id_.session, id_.call


def top_group(calls: Sequence[Placed]) -> list[Placed]:
    """The calls of the highest priority; those that an agent waits for, if there are any among ``calls``."""
    awaited = [placed for placed in calls if not placed.call.background] or calls
    highest = max((placed.rank for placed in awaited), default=None)
    return [placed for placed in awaited if placed.rank == highest]


class Runners:
    """Those of the highest priority group among ``calls`` that run. Kept up to date, for asking is frequent."""

    def __init__(self, calls: Sequence[Placed], stopped: Callable[[CallId], bool]) -> None:
        group = top_group(calls)
        self.rank = group[0].rank if group else None
        self._group = {placed.id for placed in group}
        self._running = {call for call in self._group if not stopped(call)}

    def may_stop(self, victim: CallId) -> bool:
        """Whether one of them still runs when ``victim`` is stopped too."""
        return len(self._running) > (victim in self._running)

    def stop(self, call: CallId) -> None:
        """``call`` runs no longer."""
        self._running.discard(call)

    def go(self, call: CallId) -> None:
        """``call`` runs again."""
        if call in self._group:
            self._running.add(call)


def _recent_growth(call: CallState, age_s: float) -> int:
    return call.memory_bytes if age_s <= _RECENT_S else int(call.memory_bytes * _RECENT_S / age_s)
