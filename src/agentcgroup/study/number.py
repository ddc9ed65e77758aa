"""What a metric gives: rows that say what the number is of, how it was found and how sure it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from agentcgroup.study.load import Study
from agentcgroup.study.statistics import Estimate


@dataclass(frozen=True, slots=True)
class Number:
    """One number of one set; ``low`` to ``high`` is its 95 % interval, None where it estimates nothing or n is 1."""

    metric: str
    set: str
    item: str  # what within the set: a phase, a tool …; empty for the whole
    statistic: str  # median, mean, share of …
    unit: str  # s, share (of 1), cores, B, or empty for a count
    value: float | None
    low: float | None
    high: float | None
    n: int  # values it rests on
    of: str  # what these are: sessions, calls …
    sessions: int  # that hold them: what was drawn again for the interval


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric by name. ``compute`` takes a study (already selected) and gives its numbers, set after set.

    The definition, unit, source and filters stand in the docstring of ``compute``.
    """

    name: str
    title: str
    room: str  # execution, resources, unpredictability, waste
    compute: Callable[[Study], list[Number]]

    @property
    def definition(self) -> str:
        """What it is, in words."""
        return " ".join((self.compute.__doc__ or "").split())


@dataclass(frozen=True, slots=True)
class Table:
    """Collects the numbers of one metric in one set."""

    metric: str
    set: str
    numbers: list[Number]

    def add(self, item: str, statistic: str, unit: str, estimate: Estimate, of: str = "sessions") -> None:
        """One more number."""
        e = estimate
        self.numbers.append(
            Number(self.metric, self.set, item, statistic, unit, e.value, e.low, e.high, e.n, of, e.sessions)
        )


def each_set(metric: str, study: Study, fill: Callable[[Table, Study], None]) -> list[Number]:
    """The numbers of ``metric``: ``fill`` is given one set at a time."""
    numbers: list[Number] = []
    for name in study.sets:
        fill(Table(metric, name, numbers), study.only(pl.col("set") == name))
    return numbers
