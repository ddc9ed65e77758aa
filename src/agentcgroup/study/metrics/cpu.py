"""Load: the instantaneous one against the running average that was published, and how it goes with memory."""

from __future__ import annotations

import polars as pl

from agentcgroup.study.load import Study
from agentcgroup.study.metrics.samples import labelled, summarize, whole
from agentcgroup.study.number import Number, Table, each_set
from agentcgroup.study.statistics import mean

_FEWEST_SAMPLES = 10

_LOADS = {
    "true": "whole session: CPU time over time",
    "average": "mean of the running averages (published)",
    "average_most": "greatest running average (published)",
    "high": "instantaneous, 95th percentile",
    "most": "instantaneous, greatest",
    "idle": "instantaneous, part of the samples below 5 % of a core",
    "core": "instantaneous, part of the samples of one core and more",
}


def cpu_load(study: Study) -> list[Number]:
    """Definition: the load of a session, instantaneous and as the running average that was published; both named.

    The source of published runs prints the average since the container started. Its mean and maximum over the samples
    (as published) are not the load: start-up stays in them for long, and a burst late in a session hardly shows. The
    instantaneous load is the CPU time between two samples over the time between them (`load.cpu`, with its error by
    rounding); that of the whole session is exact. Unit: cores (1: one core busy), share of samples. Source: samples,
    CPU time at the end. Filters: selected sessions with samples. Statistics over sessions: median and mean with
    intervals, least and greatest.
    """
    frame = load_frame(study)

    def fill(table: Table, _: Study) -> None:
        own = frame.filter(pl.col("set") == table.set)
        for column, item in _LOADS.items():
            unit = "share" if column in ("idle", "core") else "cores"
            summarize(table, item, unit, own[column].drop_nans())

    return each_set("cpu_load", study, fill)


def load_frame(study: Study) -> pl.DataFrame:
    """``session``, ``set`` and the loads of `cpu_load`; null: not known."""
    load = pl.col("cpu_cores").cast(pl.Float64)
    average = pl.col("cpu_average_cores").cast(pl.Float64)
    time, at = pl.col("cpu_time_s"), pl.col("t_s")
    each = (
        whole(study, "cpu_cores", "cpu_average_cores", "cpu_time_s")
        .group_by("session", maintain_order=True)
        .agg(
            true=(time.last() - time.first()) / (at.last() - at.first()),
            average=average.mean(),
            average_most=average.max(),
            high=load.quantile(0.95, "linear"),
            most=load.max(),
            idle=(load < 0.05).mean(),
            core=(load >= 1).mean(),
        )
    )
    return labelled(study, each)


def cpu_memory_correlation(study: Study) -> list[Number]:
    """Definition: how memory and load go together within a session: their correlation over its samples.

    Both ways: with the running average since the container started, as published, and with the instantaneous load.
    The running average falls from its start-up peak while memory grows, so its correlation is negative whatever the
    calls do. Pearson's r, and Spearman's rho for the instantaneous load, since both are skewed. Unit: none (-1 to 1).
    Source: samples. Filters: selected sessions with at least ten samples in which both vary. Statistics over sessions:
    median and mean with intervals, least and greatest, part of the sessions below 0.
    """
    frame = correlation_frame(study)

    def fill(table: Table, _: Study) -> None:
        own = frame.filter(pl.col("set") == table.set)
        for column, item in (
            ("average_r", "running average (published), Pearson"),
            ("load_r", "instantaneous, Pearson"),
            ("load_rho", "instantaneous, Spearman"),
        ):
            values = own[column].drop_nulls().drop_nans()
            summarize(table, item, "", values)
            if len(values):
                table.add(item, "below 0", "share", mean((values < 0).cast(pl.Float64)))

    return each_set("cpu_memory_correlation", study, fill)


def correlation_frame(study: Study) -> pl.DataFrame:
    """``session``, ``set``, ``average_r``, ``load_r`` and ``load_rho`` of `cpu_memory_correlation`."""
    samples = whole(study, "memory_bytes", "cpu_average_cores", "cpu_cores")
    found = labelled(study, samples.select("session").unique(maintain_order=True))
    for column, name, ranked in (
        ("cpu_average_cores", "average_r", False),
        ("cpu_cores", "load_r", False),
        ("cpu_cores", "load_rho", True),
    ):
        pairs = samples.select("session", m="memory_bytes", c=pl.col(column).cast(pl.Float64)).drop_nulls()
        m, c = (pl.col(one).rank() if ranked else pl.col(one) for one in ("m", "c"))
        varied = (pl.len() >= _FEWEST_SAMPLES) & (pl.col("m").n_unique() > 1) & (pl.col("c").n_unique() > 1)
        each = pairs.group_by("session", maintain_order=True).agg(pl.when(varied).then(pl.corr(m, c)).alias(name))
        found = found.join(each, on="session", how="left", maintain_order="left")
    return found
