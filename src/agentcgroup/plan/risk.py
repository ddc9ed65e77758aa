"""Rates of rare events: how many in so many hours, and what that allows to say. Exact Poisson bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass

_SURE = 0.95  # one-sided


@dataclass(frozen=True, slots=True)
class Rate:
    """``events`` in ``hours``, both of them counts of the simulation (hours as far as they stand for all rounds)."""

    events: int
    hours: float

    @property
    def value(self) -> float:
        """Events an hour; 0 where there were no hours."""
        return self.events / self.hours if self.hours > 0 else 0.0

    @property
    def most(self) -> float:
        """With 95 % confidence it is not above this; without an event that is the rule of three, 3 / hours."""
        return upper(self.events) / self.hours if self.hours > 0 else math.inf

    def resolves(self, risk: float) -> bool:
        """Whether so many hours can tell a rate of ``risk`` from a lower one: 3 / hours is not above it."""
        return self.hours > 0 and upper(0) / self.hours <= risk * (1 + 1e-9)


def upper(events: int, sure: float = _SURE) -> float:
    """The greatest mean of a Poisson variable under which ``events`` or fewer are not too unlikely (1 - ``sure``)."""
    low, high = 0.0, 10.0 + 3.0 * events
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(events, middle) > 1 - sure else (low, middle)
    return high


def _at_most(events: int, mean: float) -> float:
    term = total = math.exp(-mean)
    for count in range(1, events + 1):
        term *= mean / count
        total += term
    return total
