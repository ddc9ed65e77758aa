"""Pools of memory in the simulation: the calls of one session, and the host. Each is a sum that moves in a line."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

NEVER = float("inf")
_DUST_BYTES = 1.0  # sums of floats are not exact; a byte is no difference


@dataclass(slots=True)
class Pool:
    """Memory that calls share: ``bytes`` at ``at_s``, growing by ``rate`` bytes a second."""

    max_bytes: float | None
    high_bytes: float | None = None
    bytes: float = 0.0
    rate: float = 0.0
    at_s: float = 0.0
    peak_bytes: float = 0.0
    stalled: int = 0  # calls in it that stand still or are braked for want of memory
    stalled_s: float = NEVER  # since when
    due_s: float = NEVER  # when the next look at its limits is due

    def advance(self, now_s: float) -> None:
        """Bring ``bytes`` up to now."""
        self.bytes += self.rate * (now_s - self.at_s)
        self.at_s = now_s
        self.peak_bytes = max(self.peak_bytes, self.bytes)

    def change(self, now_s: float, more_bytes: float, more_rate: float) -> None:
        """A part of it changed by so much, and changes by so much faster."""
        self.advance(now_s)
        self.bytes += more_bytes
        self.rate += more_rate
        self.peak_bytes = max(self.peak_bytes, self.bytes)

    @property
    def full(self) -> bool:
        """Whether it is at its limit and wants more."""
        return self.max_bytes is not None and self.bytes >= self.max_bytes - _DUST_BYTES and self.rate > 0

    @property
    def over(self) -> float:
        """Bytes over its limit."""
        return 0.0 if self.max_bytes is None else max(0.0, self.bytes - self.max_bytes)

    def meets_s(self) -> float:
        """When it meets its next limit at this rate; NEVER if it does not."""
        if self.rate <= 0:
            return self.at_s if self.over > _DUST_BYTES else NEVER
        ahead = [
            limit
            for limit in (self.max_bytes, self.high_bytes)
            if limit is not None and limit - _DUST_BYTES > self.bytes
        ]
        if self.full:
            return self.at_s
        return self.at_s + (min(ahead) - self.bytes) / self.rate if ahead else NEVER


@dataclass(slots=True)
class Clock:
    """Virtual time: callbacks in order of their instant, and of being set where that is the same."""

    now_s: float = 0.0
    events: int = 0
    _heap: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = field(default_factory=list)
    _count: int = 0

    def at(self, at_s: float, call: Callable[..., None], *arguments: object) -> None:
        """Have ``call(*arguments)`` happen at ``at_s``, or now if that is past."""
        self._count += 1
        heapq.heappush(self._heap, (max(at_s, self.now_s), self._count, call, arguments))

    def step(self) -> bool:
        """Let the next thing happen; False when there is none."""
        if not self._heap:
            return False
        self.now_s, _, call, arguments = heapq.heappop(self._heap)
        self.events += 1
        call(*arguments)
        return True
