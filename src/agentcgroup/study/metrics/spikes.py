"""How much the memory of a session rises in a command, by kind of command."""

from __future__ import annotations

import polars as pl

from agentcgroup.study.load import Study
from agentcgroup.study.metrics.samples import about, labelled, whole
from agentcgroup.study.number import Number, Table, each_set
from agentcgroup.study.statistics import plain, quantile, ratio

SPIKE_BYTES = 100_000_000


def spikes(study: Study) -> list[Number]:
    """Definition: the rise of a session's memory in a shell command, by our kind and by the published category.

    The rise is the highest sample in the command less the last sample before it, at least 0. Only commands that hold a
    sample, follow one and share no time with another leaf call have one: "commands with a rise known" says what part.
    So the short ones are missing, and a peak between two samples is too. Recorded commands also have the peak of their
    own domain, by the kernel's counter, for all of them. Kind: the heaviest program that runs. Category: the published
    regular expressions in the order of the spike analysis. Unit: B, share. Source: samples and calls. Filters: selected
    sessions with samples; shell commands with an end. Statistics: median, 95th percentile with intervals by sessions
    drawn again, greatest, part above 100 MB.
    """
    frame = spikes_frame(study)

    def fill(table: Table, _: Study) -> None:
        own = frame.filter(pl.col("set") == table.set)
        for column, prefix in (("kind", "kind"), ("category_spike", "category")):
            counts = own.drop_nulls(column).group_by(column).len().sort(["len", column], descending=[True, False])
            for name in counts[column]:
                _add(table, f"{prefix} {name}", own.filter(pl.col(column) == name), "rise_bytes")
        counted = own.drop_nulls("memory_peak_bytes")
        for name in counted["kind"].drop_nulls().unique().sort():
            _add(table, f"kind {name}, own peak", counted.filter(pl.col("kind") == name), "memory_peak_bytes")

    return each_set("spikes", study, fill)


def _add(table: Table, item: str, calls: pl.DataFrame, column: str) -> None:
    known = calls.drop_nulls(column)
    each = calls.group_by("session", maintain_order=True).agg(
        known=pl.col(column).is_not_null().sum(), large=(pl.col(column) > SPIKE_BYTES).sum(), calls=pl.len()
    )
    table.add(
        item, "commands with a rise known", "share", about(ratio(each["known"], each["calls"]), calls.height), "calls"
    )
    if known.is_empty():
        return
    values, n = known[column].cast(pl.Float64), known.height
    table.add(item, "median", "B", quantile(values, known["session"]), "calls")
    table.add(item, "95th percentile", "B", quantile(values, known["session"], 0.95), "calls")
    table.add(item, "greatest", "B", plain(values.sort()[-1], n), "calls")
    table.add(item, "above 100 MB", "share", about(ratio(each["large"], each["known"]), n), "calls")


def spikes_frame(study: Study) -> pl.DataFrame:
    """Shell commands of sampled sessions with ``set``, and ``rise_bytes``: null where no sample tells it."""
    samples = whole(study, "memory_bytes").drop_nulls()
    sampled = samples.select("session").unique()
    leaves = study.calls.filter(pl.col("leaf")).drop_nulls(["start_s", "end_s"])
    leaves = leaves.join(sampled, on="session", how="semi", maintain_order="left").sort("session", "start_s", "end_s")
    # In order of the starts: shared if one before lasts into it, or the next begins in it.
    into = pl.col("end_s").cum_max().shift(1).over("session") > pl.col("start_s")
    over = pl.col("start_s").shift(-1).over("session") < pl.col("end_s")
    shared = (into.fill_null(value=False) | over.fill_null(value=False)).alias("shared")
    calls = leaves.with_columns(shared).filter(pl.col("shell")).with_row_index("row")
    found = calls.join(_highest(calls, samples), on="row", how="left", maintain_order="left")
    rise = (pl.col("highest") - pl.col("level")).clip(lower_bound=0)
    found = found.with_columns(rise_bytes=pl.when(~pl.col("shared")).then(rise))
    return labelled(study, found.drop("row", "highest", "level", "shared"))


def _highest(calls: pl.DataFrame, samples: pl.DataFrame) -> pl.DataFrame:
    """``row`` of each call, ``highest`` of the samples in it, ``level``: the last before it; null where there is none.

    Only for calls that share no time with another: each sample then belongs to one call at most.
    """
    alone = calls.filter(~pl.col("shared")).select("row", "session", "start_s", "end_s")
    levels = samples.rename({"memory_bytes": "level"})
    # The asof joins cannot check that both sides are sorted within sessions; they are, here.
    before = alone.join_asof(
        levels,
        left_on="start_s",
        right_on="t_s",
        by="session",
        strategy="backward",
        check_sortedness=False,
        allow_exact_matches=False,
    ).select("row", "level")
    inside = levels.join_asof(
        alone, left_on="t_s", right_on="start_s", by="session", strategy="backward", check_sortedness=False
    ).filter(pl.col("t_s") <= pl.col("end_s"))
    return before.join(inside.group_by("row").agg(highest=pl.col("level").max()), on="row", how="left")
