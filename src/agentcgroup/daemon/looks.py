"""Asks sessions how they are just before the policy decides: memory grows without any event."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable

from agentcgroup.daemon.messages import Look
from agentcgroup.daemon.seat import Seat
from agentcgroup.daemon.timer import Timer

_WITHIN_S = 0.02  # the policy does not wait longer for sessions to say how they are
_MOST = 64  # sessions asked at once
_FRESH_S = 0.01  # a state that is no older is fresh enough


class Looks:
    """One look at a time; ``done`` is called when all have answered or have had their time."""

    def __init__(self, done: Callable[[], None]) -> None:
        self._done = done
        self._awaited: set[Seat] = set()
        self._owing: set[Seat] = set()  # have not reported since they were asked, and are not asked again until then
        self._timer = Timer(self._over)

    @property
    def busy(self) -> bool:
        """Whether sessions have been asked and may still answer."""
        return self._timer.running

    def ask(self, seats: Iterable[Seat]) -> int:
        """Ask those that matter most, unless they have just reported or are about to; how many."""
        now_s = time.monotonic()
        stale = [seat for seat in seats if now_s - seat.heard_s > _FRESH_S and seat not in self._owing]
        chosen = stale if len(stale) <= _MOST else heapq.nlargest(_MOST, stale, key=lambda seat: _weight(seat, now_s))
        self._awaited = set(chosen)
        self._owing.update(chosen)
        self._timer.start(_WITHIN_S if chosen else 0.0)
        for seat in chosen:
            seat.send(Look())
        return len(chosen)

    def heard(self, seat: Seat) -> None:
        """``seat`` has reported, or has left."""
        self._owing.discard(seat)
        if seat in self._awaited:
            self._awaited.discard(seat)
            if not self._awaited and self.busy:
                self._timer.cancel()
                self._over()

    def close(self) -> None:
        """Ask nobody any more."""
        self._timer.cancel()

    def _over(self) -> None:
        self._awaited = set()
        self._done()


def _weight(seat: Seat, now_s: float) -> tuple[bool, float]:
    """Who matters: those that are held or want something, then the fullest and the longest not heard."""
    state = seat.state
    full = state.memory_bytes / state.budget_bytes if state.budget_bytes else 0.0
    return bool(seat.requests or len(seat.undo)), full + (now_s - seat.heard_s) / 60
