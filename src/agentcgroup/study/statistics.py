"""Estimates with 95 % intervals, by a seeded bootstrap over sessions.

Calls of one session are not independent of each other, so it is sessions that are drawn again, whole. Everything here
reduces to numbers per session, and costs the same for ten calls in each as for ten thousand. One session, or values
that are all of one session, give no interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import polars as pl

SEED = 5_2026
RESAMPLES = 2000
_LOW, _HIGH = 0.025, 0.975
_MOST_DRAWS = 4_000_000  # of one estimate: 32 MB; many thousand sessions need fewer resamples
_FEWEST_RESAMPLES = 200


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its 95 % interval (None where there is none to give), from ``n`` values of ``sessions`` sessions."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    sessions: int


NOTHING = Estimate(None, None, None, 0, 0)


def plain(value: float | None, n: int) -> Estimate:
    """A value that estimates nothing (an extreme, a count): no interval."""
    return Estimate(value, None, None, n, n)


def median(values: pl.Series) -> Estimate:
    """The median of one value per session; null is not counted. Percentile bootstrap."""
    return _of_sessions(values, "median")


def mean(values: pl.Series) -> Estimate:
    """The mean of one value per session; null is not counted. Percentile bootstrap."""
    return _of_sessions(values, "mean")


def ratio(parts: pl.Series, wholes: pl.Series) -> Estimate:
    """Sum of ``parts`` over sum of ``wholes``, one row per session; those with a null or without a whole do not count.

    A mean over calls is such a ratio too: of their sum and their number. ``n`` is the number of sessions.
    """
    sound = pl.DataFrame({"part": parts.cast(pl.Float64), "whole": wholes.cast(pl.Float64)}).drop_nulls()
    sound = sound.filter(pl.col("whole") != 0)
    part, whole = sound["part"], sound["whole"]
    total = float(whole.sum())
    if not total:
        return Estimate(None, None, None, sound.height, sound.height)
    value = float(part.sum()) / total
    if sound.height < 2:
        return Estimate(value, None, None, sound.height, sound.height)
    drawn = pl.DataFrame({"part": _resampled(part).arr.sum(), "whole": _resampled(whole).arr.sum()})
    ratios = drawn.filter(pl.col("whole") > 0).select(pl.col("part") / pl.col("whole")).to_series()
    return Estimate(value, *_interval(ratios), sound.height, sound.height)


def quantile(values: pl.Series, sessions: pl.Series, q: float = 0.5) -> Estimate:
    """The ``q`` quantile of values that belong to sessions (durations of calls, say); null is not counted.

    The interval is Woodruff's: how far the share of values up to the estimate varies when sessions are drawn again,
    read back as values. It is wide where few sessions hold most of the values, as it should be.
    """
    sound = pl.DataFrame({"value": values.cast(pl.Float64), "session": sessions}).drop_nulls()
    if sound.is_empty():
        return NOTHING
    column = sound["value"]
    value = column.quantile(q, "linear")
    below = sound.group_by("session", maintain_order=True).agg(
        below=(pl.col("value") <= value).sum().cast(pl.Float64), total=pl.len().cast(pl.Float64)
    )
    if below.height < 2:
        return Estimate(value, None, None, sound.height, below.height)
    share = float(below["below"].sum()) / sound.height
    drawn = _resampled(below["below"]).arr.sum() / _resampled(below["total"]).arr.sum()
    low, high = _interval(drawn)
    if low is None or high is None:
        return Estimate(value, None, None, sound.height, below.height)
    edges = [min(max(q + edge - share, 0.0), 1.0) for edge in (low, high)]
    return Estimate(
        value, column.quantile(edges[0], "linear"), column.quantile(edges[1], "linear"), sound.height, below.height
    )


def _of_sessions(values: pl.Series, statistic: str) -> Estimate:
    sound = values.cast(pl.Float64).drop_nulls()
    n = len(sound)
    if not n:
        return NOTHING
    value = sound.median() if statistic == "median" else sound.mean()
    if n < 2 or not isinstance(value, float):
        return Estimate(value if isinstance(value, float) else None, None, None, n, n)
    matrix = _resampled(sound)
    drawn = matrix.arr.median() if statistic == "median" else matrix.arr.mean()
    return Estimate(value, *_interval(drawn), n, n)


def _interval(drawn: pl.Series) -> tuple[float | None, float | None]:
    return drawn.quantile(_LOW, "linear"), drawn.quantile(_HIGH, "linear")


def _resampled(values: pl.Series) -> pl.Series:
    """One row per resample: an array of as many values, drawn with replacement."""
    n = len(values)
    draws = _draws(n)
    return values.rechunk().gather(draws).reshape((len(draws) // n, n))


@lru_cache(maxsize=32)
def _draws(n: int) -> pl.Series:
    """Row numbers for all resamples of ``n`` rows: the same ones for every estimate, so that differences are fair."""
    resamples = max(min(RESAMPLES, _MOST_DRAWS // n), _FEWEST_RESAMPLES)
    rows = pl.Series("row", range(n), dtype=pl.UInt32)
    return rows.sample(n * resamples, with_replacement=True, seed=SEED)
