"""How fast memory and load change from one sample to the next."""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

import polars as pl

from agentcgroup.study.load import Study
from agentcgroup.study.metrics.samples import about, steps, whole
from agentcgroup.study.number import Number, Table, each_set
from agentcgroup.study.statistics import plain, quantile, ratio

MEMORY_BYTES = 50_000_000  # the published thresholds: per second, but applied to the step between two samples
CPU_CORES = 0.2
LATE_S = 10.0  # by then the start of the container no longer moves the running average by itself


class Change(NamedTuple):
    """One way to look at the steps between samples."""

    column: str  # of the samples
    item: str
    unit: str
    threshold: float
    change: pl.Expr  # of the columns of `steps_frame`; null: does not count


_MEMORY, _AVERAGE, _LOAD = "memory_bytes", "cpu_average_cores", "cpu_cores"
_STEP, _RATE = pl.col("step"), pl.col("step") / pl.col("length_s")
_SURE = _STEP.sign() * (_STEP.abs() - pl.col("error")).clip(lower_bound=0.0) / pl.col("length_s")
_LATE = pl.when(pl.col("late")).then(_RATE)
CHANGES = (
    Change(_MEMORY, "memory, from sample to sample", "B", MEMORY_BYTES, _STEP),
    Change(_MEMORY, "memory, per second", "B/s", MEMORY_BYTES, _RATE),
    Change(_AVERAGE, "CPU, running average, from sample to sample (published)", "cores", CPU_CORES, _STEP),
    Change(_AVERAGE, "CPU, running average, per second", "cores/s", CPU_CORES, _RATE),
    Change(_AVERAGE, "CPU, running average, per second, after the first 10 s", "cores/s", CPU_CORES, _LATE),
    Change(_LOAD, "CPU, instantaneous, per second", "cores/s", CPU_CORES, _RATE),
    Change(_LOAD, "CPU, instantaneous, per second, beyond the rounding", "cores/s", CPU_CORES, _SURE),
)


def change_rate(study: Study) -> list[Number]:
    """Definition: how much memory and load change between two samples, as it is and per second of the step.

    Load three ways: the running average since the container started, which is what was published and which hardly
    moves in a long session whatever happens, but falls steeply in its first seconds (so also without these); the
    instantaneous load; and this less what the rounding of the source can explain (0 where it explains all of it).
    Beyond 50 MB and 20 % of a core, the published thresholds: part of the steps whose change is larger, up or down.
    Unit: B, B/s, cores, cores/s, share of steps. Source: samples. Filters: selected sessions; steps that took some
    time. Statistics: share beyond the threshold and 99th percentile of the size, with intervals by sessions drawn
    again; greatest rise and greatest fall.
    """
    frames = {column: steps_frame(study, column) for column in (_MEMORY, _AVERAGE, _LOAD)}

    def fill(table: Table, part: Study) -> None:
        for column, ways in groupby(CHANGES, key=lambda one: one.column):
            moves = frames[column].join(part.sessions.select("session"), on="session", how="semi")
            for one in ways:
                _add(table, one, moves.select("session", change=one.change).drop_nulls())

    return each_set("change_rate", study, fill)


def _add(table: Table, one: Change, moves: pl.DataFrame) -> None:
    if moves.is_empty():
        return
    each = moves.group_by("session", maintain_order=True).agg(
        beyond=(pl.col("change").abs() > one.threshold).sum(), steps=pl.len()
    )
    share = about(ratio(each["beyond"], each["steps"]), moves.height)
    size = quantile(moves["change"].abs(), moves["session"], 0.99)
    low, high = moves.select(low=pl.col("change").min(), high=pl.col("change").max()).row(0)
    table.add(one.item, "beyond the threshold", "share", share, "steps")
    table.add(one.item, "99th percentile", one.unit, size, "steps")
    table.add(one.item, "greatest rise", one.unit, plain(high, moves.height), "steps")
    table.add(one.item, "greatest fall", one.unit, plain(low, moves.height), "steps")


def steps_frame(study: Study, column: str) -> pl.DataFrame:
    """One row per step: ``session``, ``t_s``, ``step`` (change of ``column``), ``length_s``, ``error`` and ``late``.

    ``error``: what the rounding of both samples explains, for ``cpu_cores``; ``late``: after the first `LATE_S`.
    """
    more = ["cpu_error_cores"] if column == _LOAD else []
    samples = whole(study, column, *more).drop_nulls(column)
    error = pl.col("cpu_error_cores").cast(pl.Float64) if more else pl.lit(None, pl.Float64)
    moves = steps(
        samples.with_columns(
            step=pl.col(column).cast(pl.Float64).diff().over("session"),
            error=error + error.shift(1).over("session") if more else error,
            late=pl.col("t_s") - pl.col("t_s").first().over("session") > LATE_S,
        ).drop(column, *more)
    )
    return moves.with_columns(length_s=pl.col("t_s") - pl.col("before_s")).drop("before_s")
