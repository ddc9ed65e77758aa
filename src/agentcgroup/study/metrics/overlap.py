"""How much calls overlap, and how many of them sampling cannot see."""

from __future__ import annotations

import polars as pl

from agentcgroup.study.load import Study
from agentcgroup.study.metrics.samples import whole
from agentcgroup.study.metrics.spans import overlaps, sums
from agentcgroup.study.number import Number, Table, each_set
from agentcgroup.study.statistics import median, plain, ratio


def call_overlap(study: Study) -> list[Number]:
    """Definition: how much the calls of a session run at the same time.

    Given for leaves (calls that do work of their own) and for all calls (where a `Task` overlaps each of its children).
    Numbers: the part of calls that share time with another one; the time in which two or more run, as a part of that in
    which any does; what the plain sum counts too much, as a part of it (1 - union / sum); the most at once in any
    session, and the median over sessions. Unit: share, count. Source: calls of the agent's log; our records. Filters:
    selected sessions, calls that took some time. Intervals: sessions drawn again.
    """

    def fill(table: Table, part: Study) -> None:
        for item, calls in (("leaves", part.calls.filter(pl.col("leaf"))), ("all calls", part.calls)):
            each = overlaps(calls)
            if each.is_empty():
                continue
            table.add(item, "calls that overlap", "share", ratio(each["touched"], each["calls"]))
            table.add(item, "time with two or more", "share", ratio(each["several_s"], each["any_s"]))
            time = sums(calls)
            table.add(item, "counted twice by the sum", "share", ratio(time["sum_s"] - time["union_s"], time["sum_s"]))
            table.add(item, "median of the most at once", "", median(each["most"]))
            greatest = each.select(pl.col("most").max().cast(pl.Float64)).item()
            table.add(item, "most at once", "", plain(greatest, each.height))

    return each_set("call_overlap", study, fill)


def unseen_calls(study: Study) -> list[Number]:
    """Definition: the part of calls that no sample of the session falls into, so that sampling says nothing of them.

    A call is seen if a sample of the whole session lies between its start and its end, both included. Given for all
    calls, leaves, and shell commands by kind, with the part of their time (plain sum) that the unseen ones have; and
    the step between samples. Unit: share, s. Source: calls, and samples (resources.json; our samples, though our calls
    have counters of their own, however short). Filters: selected sessions with samples, calls with a duration.
    Intervals: sessions drawn again.
    """
    seen = _seen(study)
    steps = _steps(study)

    def fill(table: Table, part: Study) -> None:
        calls = seen.join(part.sessions.select("session"), on="session", how="semi", maintain_order="left")
        own = steps.join(part.sessions.select("session"), on="session", how="semi", maintain_order="left")
        if own.height:
            table.add("", "median step of samples", "s", median(own["step_s"]))
        leaves, shell = calls.filter(pl.col("leaf")), calls.filter(pl.col("shell"))
        groups = [("all calls", calls), ("leaves", leaves), ("shell commands", shell)]
        kinds = shell.filter(pl.col("kind").is_not_null())["kind"].unique().sort().to_list()
        groups += [(f"kind {kind}", shell.filter(pl.col("kind") == kind)) for kind in kinds]
        for item, of in groups:
            if of.is_empty():
                continue
            each = of.group_by("session", maintain_order=True).agg(
                unseen=(~pl.col("seen")).sum(),
                calls=pl.len(),
                unseen_s=pl.col("duration_s").filter(~pl.col("seen")).sum(),
                all_s=pl.col("duration_s").sum(),
            )
            table.add(item, "unseen", "share", ratio(each["unseen"], each["calls"]))
            table.add(item, "unseen part of the time", "share", ratio(each["unseen_s"], each["all_s"]))

    return each_set("unseen_calls", study, fill)


def _seen(study: Study) -> pl.DataFrame:
    """Calls with a duration, of sessions with samples; ``seen``: a sample lies in it."""
    instants = whole(study)
    sampled = instants.select("session").unique()
    calls = study.calls.filter(pl.col("duration_s").is_not_null())
    calls = calls.join(sampled, on="session", how="semi", maintain_order="left").sort("start_s")
    # check_sortedness cannot look into the groups and would only warn; both sides are sorted within sessions.
    found = calls.join_asof(
        instants.with_columns(next_s="t_s"),
        left_on="start_s",
        right_on="t_s",
        by="session",
        strategy="forward",
        check_sortedness=False,
    )
    return found.with_columns(seen=(pl.col("next_s") <= pl.col("end_s")).fill_null(value=False)).sort(
        "session", "position"
    )


def _steps(study: Study) -> pl.DataFrame:
    """``session`` and ``step_s``: the median time between its samples."""
    steps = whole(study).with_columns(step_s=pl.col("t_s").diff().over("session"))
    return steps.drop_nulls().group_by("session", maintain_order=True).agg(pl.col("step_s").median())
