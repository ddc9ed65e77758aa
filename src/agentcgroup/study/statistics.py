"""Estimates with 95 % intervals, by a seeded bootstrap over sessions.

Calls of one session are not independent of each other, so it is sessions that are drawn again, whole. Everything here
reduces to numbers per session, and costs the same for ten calls in each as for ten thousand. One session, or values
that are all of one session, give no interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import polars as pl

SEED = 5_2026
RESAMPLES = 2000
_NORMAL = 1.959964
_ALMOST_ONE = 1 - 1e-12
_LOW, _HIGH = 0.025, 0.975
_MOST_DRAWS = 1_000_000  # of one estimate: 8 MB, a tenth of a second; more than 500 sessions need fewer resamples
_FEWEST_RESAMPLES = 200
FEWEST_PAIRS = 10  # of a correlation with an interval: drawn again, fewer than that are too often all alike


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


def variation(values: pl.Series) -> Estimate:
    """The coefficient of variation (standard deviation of the sample over its mean) of one value per session."""
    sound = values.cast(pl.Float64).drop_nulls()
    n = len(sound)
    middle, width = sound.mean(), sound.std()
    if n < 2 or not isinstance(middle, float) or not isinstance(width, float) or not middle:
        return Estimate(None, None, None, n, n)
    matrix = _resampled(sound)
    drawn = pl.DataFrame({"width": matrix.arr.std(), "middle": matrix.arr.mean()})
    found = drawn.filter(pl.col("middle") != 0).select(pl.col("width") / pl.col("middle")).to_series()
    return Estimate(width / middle, *_interval(found), n, n)


def pearson(xs: pl.Series, ys: pl.Series) -> Estimate:
    """Pearson's r of one pair of values per session; pairs with a null or NaN are not counted.

    None where one side does not vary. Percentile bootstrap of the pairs, from `FEWEST_PAIRS` on: one far point moves r
    a lot, and then the interval says so.
    """
    pairs = _pairs(xs, ys)
    value = _correlation(pairs)
    if value is None or pairs.height < FEWEST_PAIRS:
        return Estimate(value, None, None, pairs.height, pairs.height)
    # Centred first: sums of squares of bytes would leave no digits for their differences.
    x, y = (pairs[name] - pairs[name].mean() for name in ("x", "y"))
    shape = (-1, pairs.height)
    drawn_x, drawn_y = _resampled(x).explode(), _resampled(y).explode()
    sums = {"x": drawn_x, "y": drawn_y, "xx": drawn_x**2, "yy": drawn_y**2, "xy": drawn_x * drawn_y}
    means = pl.DataFrame({name: one.reshape(shape).arr.mean() for name, one in sums.items()})
    width = (pl.col("xx") - pl.col("x") ** 2) * (pl.col("yy") - pl.col("y") ** 2)
    r = (pl.col("xy") - pl.col("x") * pl.col("y")) / width.sqrt()
    drawn = means.filter(width > 0).select(r.clip(-1.0, 1.0)).to_series()
    return Estimate(value, *_interval(drawn.drop_nans()), pairs.height, pairs.height)


def spearman(xs: pl.Series, ys: pl.Series) -> Estimate:
    """Spearman's rho: `pearson` of the ranks (ties share theirs), with n and filters as there.

    The interval is Bonett and Wright's (2000): normal in atanh(rho), with variance (1 + rho^2 / 2) / (n - 3).
    """
    pairs = _pairs(xs, ys).select(pl.all().rank())
    value, n = _correlation(pairs), pairs.height
    if value is None or n < FEWEST_PAIRS:
        return Estimate(value, None, None, n, n)
    middle = math.atanh(max(min(value, _ALMOST_ONE), -_ALMOST_ONE))
    half = _NORMAL * math.sqrt((1 + value**2 / 2) / (n - 3))
    return Estimate(value, math.tanh(middle - half), math.tanh(middle + half), n, n)


def simulated(drawn: pl.Series, n: int, sessions: int) -> Estimate:
    """The mean of a Monte Carlo statistic, and the interval that holds 95 % of its replicates.

    Each replicate must have drawn its sessions anew, so that the interval holds the chance of having met these sessions
    as well as that of the simulation; ``n`` is the number of replicates' rounds together.
    """
    value = drawn.cast(pl.Float64).mean()
    if not isinstance(value, float):
        return NOTHING
    return Estimate(value, *(_interval(drawn) if sessions > 1 else (None, None)), n, sessions)


def _pairs(xs: pl.Series, ys: pl.Series) -> pl.DataFrame:
    return pl.DataFrame({"x": xs.cast(pl.Float64), "y": ys.cast(pl.Float64)}).drop_nulls().drop_nans()


def _correlation(pairs: pl.DataFrame) -> float | None:
    """Pearson's r; None where a side does not vary, or hardly more than numbers are exact."""
    if pairs["x"].n_unique() < 2 or pairs["y"].n_unique() < 2:
        return None
    value = pairs.select(pl.corr("x", "y")).item()
    return max(min(float(value), 1.0), -1.0) if value is not None and math.isfinite(value) else None


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
