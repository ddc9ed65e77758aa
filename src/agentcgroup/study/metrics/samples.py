"""What the metrics of resources start from: samples of whole sessions, the steps between them, and what lies in calls.

Nothing here is a metric. All frames have one row per sample or step, by session and instant.
"""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from agentcgroup.study.load import Study
from agentcgroup.study.number import Table
from agentcgroup.study.statistics import Estimate, mean, median, plain

WHOLE = "session"  # the domain of samples of everything that a session runs
STARTING_S = 2.0  # a container's first samples, before the agent is there


def whole(study: Study, *columns: str) -> pl.DataFrame:
    """``session``, ``t_s`` and ``columns`` of the samples of whole sessions."""
    wanted = study.samples.filter(pl.col("domain") == WHOLE).select("session", "t_s", *columns)
    samples = wanted.collect()
    # As they are loaded they are in order, and to see that costs a tenth of sorting them again.
    session, step = pl.col("session").cast(pl.Int64).diff(), pl.col("t_s").diff()
    in_order = samples.select(((session > 0) | ((session == 0) & (step >= 0))).all()).item()
    return samples if in_order else samples.sort("session", "t_s", maintain_order=True)


def steps(samples: pl.DataFrame) -> pl.DataFrame:
    """The same rows but for each first, with ``before_s``: the instant of the sample before; some time lies between."""
    before = pl.col("t_s").shift(1).over("session")
    return samples.with_columns(before_s=before).filter(pl.col("t_s") > pl.col("before_s"))


def in_calls(rows: pl.DataFrame, calls: pl.DataFrame, **since: str) -> pl.DataFrame:
    """``rows`` (by ``session``, ``t_s``) with flags: one of ``calls`` runs at some time from ``since`` to ``t_s``.

    ``since`` is a column for each flag, ``t_s`` itself for an instant. Calls without an end do not count. Instants on
    the edge of a call lie in it.
    """
    spans = calls.select("session", "start_s", "end_s").drop_nulls().sort("session", "start_s")
    # Of all calls that began before, the one that lasts longest decides.
    spans = spans.with_columns(busy_until=pl.col("end_s").cum_max().over("session")).drop("end_s")
    # check_sortedness cannot look into the groups and would only warn; both sides are sorted within sessions.
    found = rows.join_asof(
        spans, left_on="t_s", right_on="start_s", by="session", strategy="backward", check_sortedness=False
    )
    flags = {name: (pl.col("busy_until") >= pl.col(from_)).fill_null(value=False) for name, from_ in since.items()}
    return found.with_columns(**flags).drop("busy_until", "start_s")


def labelled(study: Study, frame: pl.DataFrame) -> pl.DataFrame:
    """``frame`` with the ``set`` of each session."""
    return frame.join(study.sessions.select("session", "set"), on="session", maintain_order="left")


def about(estimate: Estimate, n: int) -> Estimate:
    """The same estimate, saying how many values it is about."""
    return replace(estimate, n=n)


def summarize(table: Table, item: str, unit: str, values: pl.Series, *, extremes: bool = True) -> None:
    """Median and mean of one value per session, least and greatest; nothing when no session has one."""
    sound = values.drop_nulls()
    if sound.is_empty():
        return
    table.add(item, "median", unit, median(sound))
    table.add(item, "mean", unit, mean(sound))
    if extremes:
        ordered = sound.cast(pl.Float64).sort()
        table.add(item, "least", unit, plain(ordered[0], len(ordered)))
        table.add(item, "greatest", unit, plain(ordered[-1], len(ordered)))
