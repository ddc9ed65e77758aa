"""Time that intervals take: plain sum, union, and how many overlap. Frames in, one row per session out."""

from __future__ import annotations

import polars as pl


def sums(spans: pl.DataFrame, start: str = "start_s", end: str = "end_s") -> pl.DataFrame:
    """``session``, ``sum_s`` (plain sum of the durations) and ``union_s`` (time covered by at least one of them).

    Rows with a null or with ``end`` before ``start`` are not counted. Sessions without rows are not in the result.
    """
    sound = _sound(spans, start, end)
    before = pl.col("end").cum_max().shift(1).over("session")
    fresh = pl.col("end") - pl.max_horizontal("start", before)
    return (
        sound.with_columns(fresh=fresh.clip(lower_bound=0.0))
        .group_by("session", maintain_order=True)
        .agg(sum_s=(pl.col("end") - pl.col("start")).sum(), union_s=pl.col("fresh").sum())
    )


def overlaps(spans: pl.DataFrame) -> pl.DataFrame:
    """One row per session: how much its intervals (``start_s``, ``end_s``) lie over each other.

    ``most`` at once; ``several_s``: time in which two or more run; ``any_s``: in which at least one does; ``calls``,
    and ``touched``: those that share some time with another one. Intervals that only meet do not overlap.
    """
    sound = _sound(spans, "start_s", "end_s").filter(pl.col("end") > pl.col("start"))
    edges = pl.concat(
        [
            sound.select("session", t="start", step=pl.lit(1, pl.Int32)),
            sound.select("session", t="end", step=pl.lit(-1, pl.Int32)),
        ]
    ).sort("session", "t", "step")
    depth = edges.with_columns(
        depth=pl.col("step").cum_sum().over("session"),
        until=(pl.col("t").shift(-1).over("session") - pl.col("t")).fill_null(0.0),
    )
    time = depth.group_by("session", maintain_order=True).agg(
        most=pl.col("depth").max(),
        several_s=pl.col("until").filter(pl.col("depth") >= 2).sum(),
        any_s=pl.col("until").filter(pl.col("depth") >= 1).sum(),
    )
    # In order of the starts, an interval overlaps another one if one before it lasts into it, or the next begins in it.
    touched = sound.with_columns(
        into=(pl.col("end").cum_max().shift(1).over("session") > pl.col("start")).fill_null(value=False),
        over=(pl.col("start").shift(-1).over("session") < pl.col("end")).fill_null(value=False),
    )
    counts = touched.group_by("session", maintain_order=True).agg(
        calls=pl.len().cast(pl.Int64), touched=(pl.col("into") | pl.col("over")).sum().cast(pl.Int64)
    )
    return time.join(counts, on="session", maintain_order="left")


def _sound(spans: pl.DataFrame, start: str, end: str) -> pl.DataFrame:
    return (
        spans.select("session", start=pl.col(start), end=pl.col(end))
        .drop_nulls()
        .filter(pl.col("end") >= pl.col("start"))
        .sort("session", "start", "end")
    )
