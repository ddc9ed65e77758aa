"""Bursts of memory, as levels and as rises, how long they last, and how much of them lies in calls."""

from __future__ import annotations

import polars as pl

from agentcgroup.study.load import Study
from agentcgroup.study.metrics.samples import STARTING_S, about, in_calls, labelled, whole
from agentcgroup.study.number import Number, Table, each_set
from agentcgroup.study.statistics import mean, plain, quantile, ratio

LEVEL_BYTES = 300_000_000  # the published burst: a sample above it
OWN_BYTES = 100_000_000  # above the median of the session's own samples
RISE_BYTES = 50_000_000  # from one sample to the next; the published threshold, there per second

_LEVELS = {"high": "above 300 MB (published)", "own": "100 MB above the session's median"}


def bursts(study: Study) -> list[Number]:
    """Definition: how many samples are in a burst, and what part of these lies in calls, by two levels and as rises.

    Levels: samples above 300 MB, as published (which says nothing of an agent that itself takes more); samples 100 MB
    or more above the median of their own session. Rises: steps from a sample to the next in which memory grows by
    50 MB or more. A sample lies in calls if one runs at that instant, a step if one runs at some time in it; "all
    samples" and "all steps" say how many would by chance. Leaves are calls that do work of their own. Unit: share of
    samples or steps, of sessions, of bursts. Source: samples and calls. Filters: selected sessions with samples whose
    calls are known; rises after the first 2 s, in which the container starts and each session has one; calls with an
    end. Intervals: of a ratio of sums, sessions drawn again.
    """
    each = _bursts_each(study.only(pl.col("call_count").is_not_null()))

    def fill(table: Table, _: Study) -> None:
        own = each.filter(pl.col("set") == table.set)
        if own.is_empty():
            return
        _share_in_calls(table, own, "all samples", "samples", "samples")
        for column, item in _LEVELS.items():
            _add(table, own, item, column, "samples")
        _share_in_calls(table, own, "all steps", "steps", "steps")
        _add(table, own, "rise of 50 MB or more", "rise", "steps")

    return each_set("bursts", study, fill)


def _add(table: Table, each: pl.DataFrame, item: str, hit: str, of: str) -> None:
    share = ratio(each[hit], each[of])
    table.add(item, f"share of {of}", "share", about(share, int(each[of].sum())), of)
    table.add(item, "sessions with any", "share", mean((each[hit] > 0).cast(pl.Float64)))
    _share_in_calls(table, each, item, hit, of)


def _share_in_calls(table: Table, each: pl.DataFrame, item: str, hit: str, of: str) -> None:
    for flag, name in (("in_calls", "of these in calls"), ("in_leaves", "of these in leaves")):
        share = ratio(each[f"{hit} {flag}"], each[hit])
        table.add(item, name, "share", about(share, int(each[hit].sum())), of)


def _bursts_each(study: Study) -> pl.DataFrame:
    """Numbers of samples, steps and bursts of each session, and of those in calls and leaves: ``rise in_calls`` …"""
    samples = _levels(whole(study, "memory_bytes").drop_nulls())
    before = pl.col("t_s").shift(1).over("session")
    started = pl.col("t_s") - pl.col("t_s").first().over("session") > STARTING_S
    rise = pl.col("memory_bytes").diff().over("session") >= RISE_BYTES
    rows = samples.with_columns(before_s=before, steps=(started & (before < pl.col("t_s"))).fill_null(value=False))
    rows = rows.with_columns(rise=(rise & pl.col("steps")).fill_null(value=False)).drop("memory_bytes")
    for name, calls in (("in_calls", study.calls), ("in_leaves", study.calls.filter(pl.col("leaf")))):
        rows = in_calls(rows, calls, **{name: "t_s", f"step {name}": "before_s"})
    flags = ("in_calls", "in_leaves")
    counts = [pl.len().alias("samples"), *(pl.col(flag).sum().alias(f"samples {flag}") for flag in flags)]
    for hit in ("high", "own", "steps", "rise"):
        counts.append(pl.col(hit).sum())
        prefix = "step " if hit in ("steps", "rise") else ""
        counts += [(pl.col(hit) & pl.col(prefix + flag)).sum().alias(f"{hit} {flag}") for flag in flags]
    return labelled(study, rows.group_by("session", maintain_order=True).agg(counts))


def _levels(samples: pl.DataFrame) -> pl.DataFrame:
    """``samples`` with flags ``high`` and ``own``: above the levels of `_LEVELS`."""
    usual = pl.col("memory_bytes").median().over("session")
    return samples.with_columns(
        high=pl.col("memory_bytes") > LEVEL_BYTES, own=pl.col("memory_bytes") >= usual + OWN_BYTES
    )


def excursions(study: Study) -> list[Number]:
    """Definition: how long memory stays above a level, by the two levels of metric bursts.

    An excursion goes from the first sample above the level to the first sample back, or to the last of the session; so
    its length is right to a step of sampling at either end, and those of a single sample may be much shorter. Unit: s,
    excursions per session, share. Source: samples. Filters: selected sessions with samples. Statistics: median and 95th
    percentile of the lengths with intervals by sessions drawn again, the longest; excursions per session (mean); part
    of the excursions that is a single sample.
    """
    frame = excursions_frame(study)

    def fill(table: Table, part: Study) -> None:
        sampled = part.sessions.filter(pl.col("sample_count") > 0).select("session")
        for column, item in _LEVELS.items():
            own = frame.filter((pl.col("set") == table.set) & (pl.col("level") == column))
            each = own.group_by("session").agg(count=pl.len(), single=(pl.col("samples") == 1).sum())
            every = sampled.join(each, on="session", how="left", maintain_order="left").fill_null(0)
            one = pl.Series([1.0] * every.height, dtype=pl.Float64)
            table.add(item, "per session", "", ratio(every["count"], one))
            if own.is_empty():
                continue
            table.add(item, "median", "s", quantile(own["length_s"], own["session"]), "excursions")
            table.add(item, "95th percentile", "s", quantile(own["length_s"], own["session"], 0.95), "excursions")
            longest = own["length_s"].sort()[-1]
            table.add(item, "longest", "s", plain(longest, own.height), "excursions")
            table.add(
                item,
                "a single sample",
                "share",
                about(ratio(every["single"], every["count"]), own.height),
                "excursions",
            )

    return each_set("excursions", study, fill)


def excursions_frame(study: Study) -> pl.DataFrame:
    """``session``, ``set``, ``level`` (high, own), ``start_s``, ``length_s`` and ``samples`` of each excursion."""
    samples = _levels(whole(study, "memory_bytes").drop_nulls())
    following = pl.col("t_s").shift(-1).over("session").fill_null(pl.col("t_s"))
    found = [
        samples.with_columns(until_s=following, run=pl.struct("session", level).rle_id())
        .filter(pl.col(level))
        .group_by("session", "run", maintain_order=True)
        .agg(
            level=pl.lit(level),
            start_s=pl.col("t_s").first(),
            length_s=pl.col("until_s").last() - pl.col("t_s").first(),
            samples=pl.len(),
        )
        .drop("run")
        for level in _LEVELS
    ]
    return labelled(study, pl.concat(found))
