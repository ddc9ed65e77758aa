"""How much memory sessions take: the baseline of the framework, peaks and averages, and the course of a session."""

from __future__ import annotations

import polars as pl

from agentcgroup.study.load import Study
from agentcgroup.study.metrics.samples import STARTING_S, in_calls, labelled, summarize, whole
from agentcgroup.study.number import Number, Table, each_set
from agentcgroup.study.statistics import mean, median, plain, quantile

_BASELINES = {
    "first tenth": "first tenth of the samples, mean",
    "started": "first tenth of the samples, mean, without the first 2 s",
    "idle": "outside all calls, median",
    "agent": "the agent's own domain, median",
}


def memory_baseline(study: Study) -> list[Number]:
    """Definition: the memory that the framework takes before and between its calls.

    Four ways, one value per session: the mean of the first tenth of its samples, as published; the same without the
    first 2 s, in which the container starts and is nearly empty (the first sample alone takes some 10 MB off a tenth
    of 18); the median of the samples in which no call runs, the first 2 s left out; and, in recorded sessions, the
    median of the samples of the agent's own domain. Unit: B. Source: samples (`sessions.memory_meaning` says what they
    count). Filters: selected sessions with samples. Statistics: median and mean with intervals, least and greatest.
    """
    frame = baseline_frame(study)

    def fill(table: Table, _: Study) -> None:
        own = frame.filter(pl.col("set") == table.set)
        for column, item in _BASELINES.items():
            summarize(table, item, "B", own[column])

    return each_set("memory_baseline", study, fill)


def baseline_frame(study: Study) -> pl.DataFrame:
    """``session``, ``set`` and the baselines (B) of `memory_baseline`; null: no sample to tell from."""
    samples = in_calls(whole(study, "memory_bytes").drop_nulls(), study.calls, busy="t_s")
    memory, started = pl.col("memory_bytes"), pl.col("t_s") - pl.col("t_s").first() >= STARTING_S
    early = pl.int_range(pl.len()) < (pl.len() / 10).ceil()
    each = samples.group_by("session", maintain_order=True).agg(
        memory.filter(early).mean().alias("first tenth"),
        memory.filter(early & started).mean().alias("started"),
        memory.filter(~pl.col("busy") & started).median().alias("idle"),
    )
    agent = study.samples.filter(pl.col("domain") == "agent").group_by("session")
    alone = agent.agg(pl.col("memory_bytes").median().alias("agent")).collect()
    return labelled(study, each).join(alone, on="session", how="left", maintain_order="left")


def memory_level(study: Study) -> list[Number]:
    """Definition: the memory of a session: its peak, average, median and 95th percentile, and peak over average.

    The peak is the highest sample; where the kernel counted it, that peak is given too and is the one to believe.
    Average, median and percentile are of the samples, at equal weight (sampling is even to some percent); the ratio is
    the highest sample over their average, as published. Unit: B, and a ratio. Source: samples; session_end.usage.
    Filters: selected sessions with samples. Statistics: median and mean with intervals, least and greatest.
    """
    frame = level_frame(study)

    def fill(table: Table, _: Study) -> None:
        own = frame.filter(pl.col("set") == table.set)
        for column, item in (
            ("peak", "peak of the samples"),
            ("counted", "peak by the kernel's counter"),
            ("average", "average"),
            ("middle", "median"),
            ("high", "95th percentile"),
        ):
            summarize(table, item, "B", own[column])
        summarize(table, "peak over average", "", own["peak"] / own["average"])

    return each_set("memory_level", study, fill)


def level_frame(study: Study) -> pl.DataFrame:
    """``session``, ``set``, ``peak``, ``average``, ``middle`` and ``high`` (95 %) of its samples, ``counted`` (B)."""
    memory = pl.col("memory_bytes")
    each = (
        whole(study, "memory_bytes")
        .group_by("session", maintain_order=True)
        .agg(peak=memory.max(), average=memory.mean(), middle=memory.median(), high=memory.quantile(0.95, "linear"))
    )
    counted = study.sessions.select("session", "set", counted="memory_peak_bytes")
    return each.join(counted, on="session", maintain_order="left").filter(pl.col("average") > 0)


def trajectory(study: Study) -> list[Number]:
    """Definition: how memory and load go over a session, on a time axis from its first sample (0) to its last (1).

    Each session is averaged in ten parts of equal length; then, part by part, over sessions: median and mean with
    intervals, first and ninth decile, standard deviation. Load is the instantaneous one. A long and a short session
    weigh the same. Unit: B, cores. Source: samples. Filters: selected sessions with samples at more than one instant; a
    part of a session without a sample does not count.
    """
    frame = trajectory_frame(study)

    def fill(table: Table, _: Study) -> None:
        own = frame.filter(pl.col("set") == table.set)
        for column, name, unit in (("memory_bytes", "memory", "B"), ("cores", "CPU", "cores")):
            for part in range(10):
                values = own.filter(pl.col("part") == part).select("session", column).drop_nulls()
                if values.is_empty():
                    continue
                item, of = f"{name}, tenth {part + 1}", values[column]
                table.add(item, "median", unit, median(of))
                table.add(item, "mean", unit, mean(of))
                table.add(item, "decile 1", unit, quantile(of, values["session"], 0.1))
                table.add(item, "decile 9", unit, quantile(of, values["session"], 0.9))
                spread = of.std()
                table.add(item, "standard deviation", unit, plain(_number(spread), len(of)))

    return each_set("trajectory", study, fill)


def trajectory_frame(study: Study, parts: int = 10) -> pl.DataFrame:
    """``session``, ``set``, ``part`` (0 to ``parts`` - 1), and means of its samples: ``memory_bytes``, ``cores``."""
    samples = whole(study, "memory_bytes", "cpu_cores")
    begin, end = (pl.col("t_s").first().over("session"), pl.col("t_s").last().over("session"))
    place = (pl.col("t_s") - begin) / (end - begin)
    placed = samples.filter(end > begin).with_columns(
        part=(place * parts).floor().clip(0, parts - 1).cast(pl.Int32), cores=pl.col("cpu_cores").cast(pl.Float64)
    )
    # In order of session and part, so that parts follow each other: a number for each run is the quicker key.
    run = pl.struct("session", "part").rle_id()
    each = (
        placed.with_columns(run=run)
        .group_by("run", maintain_order=True)
        .agg(pl.col("session", "part").first(), pl.col("memory_bytes", "cores").mean())
    )
    return labelled(study, each.drop("run"))


def _number(value: object) -> float | None:
    return value if isinstance(value, float) else None
