"""The values published with the AgentCgroup paper, next to what the same runs say: by its definition, and by ours.

`PUBLISHED` (the table is in `published_table`) names the numbers that answer each published value, in the sets
``haiku``, ``glm`` and ``haiku18`` of the published runs, which must be labelled so; `compare` looks them up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agentcgroup.study.number import Number


@dataclass(frozen=True, slots=True)
class Ref:
    """Names one number of a metric. ``attempts``: of all runs that began, not of the last attempts alone."""

    metric: str
    set: str
    item: str
    statistic: str
    attempts: bool = False


@dataclass(frozen=True, slots=True)
class Published:
    """One published value, and the numbers to hold against it."""

    item: str
    value: str  # as it was published
    where: str  # the part of the characterization that it belongs to
    by_definition: tuple[Ref, ...]  # the published definition on the same runs; empty: no metric follows it
    ours: tuple[Ref, ...]  # by our definitions
    verdict: str  # which to believe and why; written from the published runs, and true of no others


@dataclass(frozen=True, slots=True)
class Comparison:
    """A published value with the numbers found for it; what was not computed is left out."""

    published: Published
    by_definition: tuple[Number, ...]
    ours: tuple[Number, ...]


def compare(table: Iterable[Published], numbers: Iterable[Number], attempts: Iterable[Number] = ()) -> list[Comparison]:
    """Each value of ``table`` with what ``numbers`` hold of it.

    ``attempts`` are numbers of the same metrics over every run that began (``--all``): some values are about repeated
    runs of one task, and only their references look there.
    """
    selected, every = _by_ref(numbers, attempts=False), _by_ref(attempts, attempts=True)

    def look_up(refs: tuple[Ref, ...]) -> tuple[Number, ...]:
        hits = ((every if ref.attempts else selected).get(ref) for ref in refs)
        return tuple(hit for hit in hits if hit is not None)

    return [Comparison(one, look_up(one.by_definition), look_up(one.ours)) for one in table]


def _by_ref(numbers: Iterable[Number], *, attempts: bool) -> dict[Ref, Number]:
    return {Ref(one.metric, one.set, one.item, one.statistic, attempts): one for one in numbers}
