"""What a fixed memory limit per session wastes, and what it would have cut off."""

from __future__ import annotations

import polars as pl

from agentcgroup.study.load import Study
from agentcgroup.study.metrics.samples import about, labelled, whole
from agentcgroup.study.number import Number, Table, each_set
from agentcgroup.study.statistics import mean, median, plain, ratio

_LIMITS = {
    "peak": "its own peak",
    "high": "its own 95th percentile",
    "average": "its own average",
    "set_peak": "the highest peak of the set",
    "set_high": "the 95th percentile of the set's peaks",
    "set_middle": "the median of the set's peaks",
}


def memory_waste(study: Study) -> list[Number]:
    """Definition: the part of a reserved memory limit that is not used, for limits that cut off nothing to much.

    A limit is reserved for the whole session. Wasted: what memory falls short of it, over limit times time (samples at
    equal weight). Limits: of each session its peak, 95th percentile and average, which nobody knows before it ran; and
    of the set the highest peak, the 95th percentile and the median of the peaks, the same for all, which is what an
    operator can set. What is above a limit is not waste but a throttled or killed session: part of the time above, and
    sessions that ever are. Unit: B, share. Source: samples. Filters: selected sessions with samples. Intervals: of a
    ratio of sums, sessions drawn again (the limits of the set kept).
    """
    frame = waste_frame(study)

    def fill(table: Table, _: Study) -> None:
        for limit, item in _LIMITS.items():
            own = frame.filter((pl.col("set") == table.set) & (pl.col("limit") == limit))
            if own.is_empty():
                continue
            of_set = limit.startswith("set")
            level = own["limit_bytes"]
            table.add(item, "limit", "B", plain(level[0], own.height) if of_set else median(level))
            table.add(item, "wasted", "share", ratio(own["unused"], own["reserved"]))
            table.add(item, "wasted, median session", "share", median(own["unused"] / own["reserved"]))
            above = ratio(own["above"], own["samples"])
            table.add(item, "time above", "share", about(above, int(own["samples"].sum())), "samples")
            table.add(item, "sessions above", "share", mean((own["above"] > 0).cast(pl.Float64)))

    return each_set("memory_waste", study, fill)


def waste_frame(study: Study) -> pl.DataFrame:
    """A row per session and limit: ``limit_bytes``, ``reserved``, ``unused`` (B x samples), ``above``, ``samples``."""
    samples = whole(study, "memory_bytes").drop_nulls()
    memory = pl.col("memory_bytes").cast(pl.Float64)
    own = {"peak": memory.max(), "high": memory.quantile(0.95, "linear"), "average": memory.mean()}
    rows = [labelled(study, _against(samples, limit).with_columns(limit=pl.lit(name))) for name, limit in own.items()]
    peaks = rows[0].select("session", "set", "limit_bytes")
    for name in study.sets:
        part = peaks.filter(pl.col("set") == name)
        mine = samples.join(part.select("session"), on="session", how="semi", maintain_order="left")
        for limit, q in (("set_peak", 1.0), ("set_high", 0.95), ("set_middle", 0.5)):
            level = part["limit_bytes"].quantile(q, "linear")
            found = _against(mine, pl.lit(level, pl.Float64))
            rows.append(found.with_columns(limit=pl.lit(limit), set=pl.lit(name)).select(rows[0].columns))
    return pl.concat(rows).filter(pl.col("reserved") > 0)


def _against(samples: pl.DataFrame, limit: pl.Expr) -> pl.DataFrame:
    """The samples of each session against its ``limit``, an expression over them."""
    spare = limit - pl.col("memory_bytes").cast(pl.Float64)
    return samples.group_by("session", maintain_order=True).agg(
        limit_bytes=limit.first(),
        reserved=limit.first() * pl.len(),
        unused=spare.clip(lower_bound=0.0).sum(),
        above=(spare < 0).sum(),
        samples=pl.len(),
    )
