"""CPU time out of the running average that podman stats prints.

``cpu_percent`` is the average since the container started, so at age ``t`` the container had used ``a * t`` seconds.
The age at the first sample is not recorded: it is the largest ``off`` with which CPU time never falls by more than
rounding explains. The difference of two samples then is the load between them.

**Error.** The average is rounded to 0.01 % of a core, so each product may be off by half of that times the age:
+-0.00005 * t seconds, and a difference over ``dt`` by the sum of two, over ``dt``. At t = 700 s and one sample a second
that is +-0.07 cores. Only the first seconds depend on ``off``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

HALF_STEP = 0.00005  # cores: half of 0.01 %
MOST_OFFSET_S = 2.0  # the first sample comes after 0.1 to 0.4 s; the average of a busy start may never fall


@dataclass(frozen=True, slots=True)
class Recovered:
    """CPU time (s) and load (cores; None for the first sample) at each sample, with the error of the load."""

    offset_s: float
    time_s: list[float]
    cores: list[float | None]
    error_cores: list[float | None]


def recover(epochs: Sequence[float], averages: Sequence[float]) -> Recovered:
    """CPU time and load from ascending instants (s) and averages since the start (cores)."""
    if not epochs:
        return Recovered(0.0, [], [], [])
    ages = [epoch - epochs[0] for epoch in epochs]
    offset = _offset(ages, averages)
    time: list[float] = []
    for age, average in zip(ages, averages, strict=True):
        # Within rounding the product may fall; time does not. The running maximum keeps the sum of the loads true.
        time.append(max(average * (age + offset), time[-1] if time else 0.0))
    cores: list[float | None] = [None]
    errors: list[float | None] = [None]
    for number, (before, after) in enumerate(pairwise(ages)):
        step = after - before
        cores.append((time[number + 1] - time[number]) / step if step > 0 else None)
        errors.append(HALF_STEP * (before + after + 2 * offset) / step if step > 0 else None)
    return Recovered(offset, time, cores, errors)


def _offset(ages: Sequence[float], averages: Sequence[float]) -> float:
    """The largest age at the first sample that the falling averages allow, at most `MOST_OFFSET_S`."""
    most = MOST_OFFSET_S
    for number in range(1, len(ages)):
        fall = averages[number - 1] - averages[number] - 2 * HALF_STEP
        if fall > 0:
            gained = averages[number] * ages[number] - averages[number - 1] * ages[number - 1]
            slack = HALF_STEP * (ages[number] + ages[number - 1])
            most = min(most, (gained + slack) / fall)
    return max(most, 0.0)
