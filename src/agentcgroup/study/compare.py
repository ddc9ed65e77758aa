"""Two sets (models, versions, policies) against each other: how much they differ, and what of it is noise.

Every difference is B minus A, with the 95 % interval of a percentile bootstrap in which the sessions of either set are
drawn again, independently of each other. An interval that holds 0 is noise: these sessions do not show a difference,
which is not to say that there is none. What the sources of the two sets count differently is not compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

import polars as pl

from agentcgroup.errors import UsageError
from agentcgroup.study.load import Study
from agentcgroup.study.metrics.cpu import load_frame
from agentcgroup.study.metrics.execution import phases_frame
from agentcgroup.study.metrics.sessions import MEASURES, sessions_frame
from agentcgroup.study.statistics import RESAMPLES, SEED

FEWEST = 5  # sessions of either set: drawn again, fewer give intervals that are far too narrow
_MOST_DRAWS = 4_000_000
_MEMORY, _CALLS = "memory_meaning", "call_clock"


class Verdict(StrEnum):
    """What a difference is worth."""

    DIFFERS = "differs"  # the interval does not hold 0
    NOISE = "noise"  # it does
    TOO_FEW = "too few"  # sessions for an interval, or to trust it
    UNLIKE = "not comparable"  # the sources count different things, or only one of them says it


@dataclass(frozen=True, slots=True)
class Measure:
    """A value of each session; ``same`` is a column of sessions in which both sets must agree, "" for none."""

    column: str
    name: str
    unit: str
    same: str = ""


_PHASES = (
    Measure("initialization_s", "initialization", "s"),
    Measure("tools_leaf_s", "tools, union of leaves", "s", _CALLS),
    Measure("work_s", "tools without the permission check", "s", _CALLS),
    Measure("model_leaf_s", "model, tools as union of leaves", "s", _CALLS),
    Measure("tools_part", "tools, share of the active time", "share", _CALLS),
)
_LOADS = (Measure("true", "load", "cores"), Measure("high", "load, 95th percentile", "cores"))
_RESULTS = (Measure("ratio", "peak over average of memory", "", _MEMORY), Measure("failed", "failed calls", "share"))
_SESSIONS = tuple(
    Measure(column, name, unit, _MEMORY if unit == "B" else "") for column, (name, unit) in MEASURES.items()
)
ALL: tuple[Measure, ...] = (*_SESSIONS, *_RESULTS, *_LOADS, *_PHASES)


@dataclass(frozen=True, slots=True)
class Difference:
    """One measure of two sets: a statistic of each, B minus A with its interval, and what to make of it."""

    measure: str
    unit: str
    statistic: str  # median or mean
    a: float | None
    b: float | None
    difference: float | None
    low: float | None
    high: float | None
    n_a: int
    n_b: int
    verdict: Verdict
    why: str  # one sentence


def compare_sets(study: Study, a: str, b: str) -> list[Difference]:
    """The differences of set ``b`` from set ``a`` in all measures, medians and means; sessions that count only.

    UsageError when one of them has no session left.
    """
    chosen = study.selected()
    frame = _values(chosen)
    for name in (a, b):
        if not (chosen.sessions["set"] == name).any():
            raise UsageError(f"no session of set {name!r} is left to compare", "give --all, or more traces")
    found = []
    for measure in ALL:
        values = [frame.filter(pl.col("set") == name)[measure.column].drop_nulls().drop_nans() for name in (a, b)]
        if not len(values[0]) and not len(values[1]):
            continue
        unlike = _unlike(chosen.sessions, measure, a, b)
        found += [_difference(measure, statistic, values[0], values[1], unlike) for statistic in ("median", "mean")]
    return found


def differences_json(a: str, b: str, found: Sequence[Difference]) -> dict[str, object]:
    """For machines: everything of each difference."""
    return {"v": 1, "a": a, "b": b, "differences": [asdict(one) for one in found]}


def by_chance(found: Sequence[Difference]) -> float:
    """How many of the differences would pass as such if there were none, at 95 %."""
    return 0.05 * sum(one.verdict in (Verdict.DIFFERS, Verdict.NOISE) for one in found)


def _values(study: Study) -> pl.DataFrame:
    """A row per session: ``set`` and the columns of `ALL` as floats."""
    phases = phases_frame(study).with_columns(
        tools_part=pl.when(pl.col("active_s") > 0).then(pl.col("tools_leaf_s") / pl.col("active_s"))
    )
    failed = study.calls.group_by("session", maintain_order=True).agg(failed=pl.col("is_error").mean())
    frame = sessions_frame(study).with_columns(
        ratio=pl.when(pl.col("average_bytes") > 0).then(pl.col("peak_bytes") / pl.col("average_bytes"))
    )
    phases = phases.select("session", *(measure.column for measure in _PHASES))
    loads = load_frame(study).select("session", *(measure.column for measure in _LOADS))
    for more in (failed, loads, phases):
        frame = frame.join(more, on="session", how="left", maintain_order="left")
    return frame.select("set", *(pl.col(measure.column).cast(pl.Float64) for measure in ALL))


def _unlike(sessions: pl.DataFrame, measure: Measure, a: str, b: str) -> str:
    """Why the sources of the sets cannot be compared in this measure; empty if they can."""
    if not measure.same:
        return ""
    told = [
        ", ".join(sessions.filter(pl.col("set") == name)[measure.same].drop_nulls().unique().sort()) for name in (a, b)
    ]
    return f"the sources count different things ({told[0]}; {told[1]})" if told[0] != told[1] else ""


def _difference(measure: Measure, statistic: str, a: pl.Series, b: pl.Series, unlike: str) -> Difference:
    of_a, of_b = _reduced(a, statistic), _reduced(b, statistic)
    if of_a is None or of_b is None:
        unlike = "only one of the sets says it"
    gap = low = high = None
    if of_a is not None and of_b is not None and not unlike:
        gap = of_b - of_a
    if gap is not None and min(len(a), len(b)) > 1:
        drawn = _drawn(b, statistic, SEED + 1) - _drawn(a, statistic, SEED)
        low, high = drawn.quantile(0.025, "linear"), drawn.quantile(0.975, "linear")
    verdict, why = _judge(low, high, len(a), len(b), unlike)
    return Difference(measure.name, measure.unit, statistic, of_a, of_b, gap, low, high, len(a), len(b), verdict, why)


def _judge(low: float | None, high: float | None, n_a: int, n_b: int, unlike: str) -> tuple[Verdict, str]:
    if unlike:
        return Verdict.UNLIKE, f"{unlike[0].upper()}{unlike[1:]}."
    if low is None or high is None:
        return Verdict.TOO_FEW, "One session gives no interval."
    if min(n_a, n_b) < FEWEST:
        return Verdict.TOO_FEW, f"Below {FEWEST} sessions the interval is too narrow to be trusted."
    if low <= 0 <= high:
        return Verdict.NOISE, "The interval holds 0: these sessions show no difference."
    return Verdict.DIFFERS, f"The interval does not hold 0: B is {'higher' if low > 0 else 'lower'}."


def _reduced(values: pl.Series, statistic: str) -> float | None:
    found = values.median() if statistic == "median" else values.mean()
    return found if isinstance(found, float) else None


def _drawn(values: pl.Series, statistic: str, seed: int) -> pl.Series:
    """The statistic of each resample; the seeds of the two sets differ, so that they are drawn independently."""
    n = len(values)
    resamples = max(min(RESAMPLES, _MOST_DRAWS // n), 200)
    rows = pl.Series("row", range(n), dtype=pl.UInt32).sample(n * resamples, with_replacement=True, seed=seed)
    matrix = values.rechunk().gather(rows).reshape((resamples, n))
    return matrix.arr.median() if statistic == "median" else matrix.arr.mean()
