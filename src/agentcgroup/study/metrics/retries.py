"""Retry loops: runs of shell commands that follow each other, by three definitions, and the memory kept over them."""

from __future__ import annotations

import polars as pl

from agentcgroup.study.load import Study
from agentcgroup.study.metrics.samples import about, labelled, whole
from agentcgroup.study.number import Number, Table, each_set
from agentcgroup.study.statistics import mean, plain, quantile, ratio

FEWEST = 3  # commands in a loop, as published

_LOOPS = {
    "shell": "consecutive shell calls (published)",
    "test": "consecutive test commands",
    "same": "consecutive identical commands",
}


def retry_loops(study: Study) -> list[Number]:
    """Definition: loops of three or more commands that follow each other, by three definitions.

    Consecutive shell calls: no call of another tool between them, whatever they run; as published, where it is called a
    retry of the same test command. Consecutive test commands: of the shell commands of a session, in order of their
    starts, those in a row that run tests (our kind); edits and reads may come between, as they do in a repair.
    Consecutive identical commands: the same, with the same text. Calls of sub-agents are taken in for the published
    definition; for the two others they form a row of their own. Time: the plain sum of the durations of the calls in
    loops, as a part of the whole session. Memory kept: the first sample after a loop less the last before it. Unit:
    loops, share, commands, B. Source: calls and samples. Filters: selected sessions whose calls are known. Statistics:
    sessions with a loop, loops per session and per session that has any, the longest, time, median memory kept; with
    intervals by sessions drawn again.
    """
    loops = loops_frame(study)

    def fill(table: Table, part: Study) -> None:
        known = part.sessions.filter(pl.col("call_count").is_not_null())
        for column, item in _LOOPS.items():
            own = loops.filter((pl.col("set") == table.set) & (pl.col("loop") == column))
            each = own.group_by("session").agg(loops=pl.len(), time_s=pl.col("sum_s").sum())
            every = known.select("session", "wall_s").join(each, on="session", how="left", maintain_order="left")
            every = every.with_columns(pl.col("loops").fill_null(0), pl.col("time_s").fill_null(0.0))
            table.add(item, "sessions with a loop", "share", mean((every["loops"] > 0).cast(pl.Float64)))
            with_loop = every.filter(pl.col("loops") > 0)
            table.add(item, "sessions with a loop, count", "", plain(float(with_loop.height), every.height))
            table.add(item, "per session", "", mean(every["loops"]))
            table.add(item, "per session with any", "", mean(with_loop["loops"]))
            table.add(item, "part of the time, mean", "share", mean(every["time_s"] / every["wall_s"]))
            table.add(item, "part of all time", "share", ratio(every["time_s"], every["wall_s"]))
            if own.is_empty():
                continue
            table.add(item, "longest", "", plain(float(own["commands"].sort()[-1]), own.height), "loops")
            kept = own.drop_nulls("kept_bytes")
            table.add(item, "memory kept, median", "B", quantile(kept["kept_bytes"], kept["session"]), "loops")
            grown = kept.group_by("session", maintain_order=True).agg(pl.col("kept_bytes").sum(), loops=pl.len())
            average = about(ratio(grown["kept_bytes"], grown["loops"]), kept.height)
            table.add(item, "memory kept, mean", "B", average, "loops")

    return each_set("retry_loops", study, fill)


def loops_frame(study: Study) -> pl.DataFrame:
    """One row per loop: ``session``, ``set``, ``loop`` (shell, test, same), ``commands``, ``sum_s``, ``kept_bytes``…"""
    calls = study.calls.sort("session", "position").with_columns(
        side=pl.col("sidechain").fill_null(value=False), test=(pl.col("kind") == "test").fill_null(value=False)
    )
    shell = calls.filter(pl.col("shell")).sort("session", "side", "position")
    together = pl.concat(
        [
            _runs(calls.with_columns(side=pl.lit(value=False)), "shell", "shell", None),
            _runs(shell, "test", "test", None),
            _runs(shell.filter(pl.col("command").is_not_null()), "same", None, "command"),
        ]
    )
    return labelled(study, _kept(together, whole(study, "memory_bytes").drop_nulls()))


def _runs(calls: pl.DataFrame, loop: str, flag: str | None, same: str | None) -> pl.DataFrame:
    """Runs of at least `FEWEST` rows with ``flag``, or with the same value of ``same``, within session and side."""
    run = pl.struct("session", "side", same or flag or "side").rle_id()
    rows = calls.with_columns(run=run)
    return (
        (rows.filter(pl.col(flag)) if flag else rows)
        .group_by("session", "run", maintain_order=True)
        .agg(
            loop=pl.lit(loop),
            commands=pl.len(),
            sum_s=pl.col("duration_s").sum(),
            start_s=pl.col("start_s").min(),
            end_s=pl.col("end_s").max(),
        )
        .filter(pl.col("commands") >= FEWEST)
        .drop("run")
    )


def _kept(loops: pl.DataFrame, samples: pl.DataFrame) -> pl.DataFrame:
    """``loops`` with ``kept_bytes``: first sample after less last before; null where one of them is missing."""
    # The asof joins cannot check that both sides are sorted within sessions; they are, here.
    before = loops.sort("session", "start_s").join_asof(
        samples.rename({"memory_bytes": "before"}),
        left_on="start_s",
        right_on="t_s",
        by="session",
        strategy="backward",
        check_sortedness=False,
    )
    after = (
        before.drop("t_s")
        .filter(pl.col("end_s").is_not_null())
        .sort("session", "end_s")
        .join_asof(
            samples.rename({"memory_bytes": "after"}),
            left_on="end_s",
            right_on="t_s",
            by="session",
            strategy="forward",
            check_sortedness=False,
        )
    )
    kept = (pl.col("after") - pl.col("before")).cast(pl.Float64)
    return after.with_columns(kept_bytes=kept).drop("after", "before", "t_s").sort("session", "start_s", "loop")
