"""How long sessions take and what fills the time: duration and phases."""

from __future__ import annotations

import polars as pl

from agentcgroup.study.load import Study
from agentcgroup.study.metrics.spans import sums
from agentcgroup.study.metrics.wait import with_waits
from agentcgroup.study.number import Number, Table, each_set
from agentcgroup.study.statistics import mean, median, plain

# column of `phases_frame` -> (name, whether a share of the active time makes sense)
_PHASES = {
    "initialization_s": ("initialization", False),
    "before_container_s": ("initialization: before the container runs", False),
    "agent_start_s": ("initialization: from there to the first record", False),
    "model_sum_s": ("model, tools as plain sum", True),
    "model_union_s": ("model, tools as union", True),
    "model_leaf_s": ("model, tools as union of leaves", True),
    "tools_sum_s": ("tools, plain sum", True),
    "tools_union_s": ("tools, union", True),
    "tools_leaf_s": ("tools, union of leaves", True),
    "wait_s": ("permission check (estimated, in the leaves)", True),
    "work_s": ("tools, union of leaves without the check", True),
    "system_sum_s": ("initialization and tools, plain sum", False),
    "system_leaf_s": ("initialization and tools, union of leaves", False),
}


def duration(study: Study) -> list[Number]:
    """Definition: how long a session took: whole, active, and sampled.

    Whole: for published runs `claude_time`, from before the container is started (so with the copy of the image layers)
    until its output is read; for recorded ones from the first record to the last. Active: from the first to the last
    record of the agent's log. Sampled: from the first to the last sample. Unit: s. Source: results.json, the agent's
    log, resources.json; our records. Filters: selected sessions; a session whose source lacks a value does not count in
    it (no other duration stands in). Statistics: median and mean with intervals, least and greatest.
    """

    def fill(table: Table, part: Study) -> None:
        spans = part.sessions.with_columns(active_s=pl.col("active_end_s") - pl.col("active_start_s"))
        for column, item in (("wall_s", "whole"), ("active_s", "active"), ("sampled_s", "sampled")):
            values = spans[column].drop_nulls()
            table.add(item, "median", "s", median(values))
            table.add(item, "mean", "s", mean(values))
            ordered = values.sort()
            for statistic, place in (("least", 0), ("greatest", -1)):
                table.add(item, statistic, "s", plain(ordered[place] if len(ordered) else None, len(ordered)))

    return each_set("duration", study, fill)


def phases(study: Study) -> list[Number]:
    """Definition: where the time of a session goes: initialization, model, tools.

    Initialization is whole minus active time (of it: whole minus sampled time, before the container runs; and from its
    start to the first record of the agent's log). Tools three ways: plain sum of the durations of all calls (parallel
    and nested ones count twice); union of their intervals; union of the leaves, without calls that only wait for others
    (`Task` of a sub-agent, `TaskOutput`). Model is active time minus tools, by each of the three; by the plain sum it
    can be below 0. The permission check is estimated (metric permission_wait) and taken out of the leaves. Unit: s, and
    shares of the whole and of the active time, per session. Source: times of the agent's log and calls; our records,
    which know no model time: there the tools alone are given. Filters: selected sessions; calls without an end do not
    count. Statistics: median and mean over sessions, with intervals.
    """
    frame = phases_frame(study)

    def fill(table: Table, part: Study) -> None:
        own = frame.filter(pl.col("set") == table.set)
        for column, (item, in_active) in _PHASES.items():
            if own[column].null_count() == own.height:
                continue
            share = own[column] / own["wall_s"]
            table.add(item, "median", "s", median(own[column]))
            table.add(item, "mean", "s", mean(own[column]))
            table.add(item, "median share of whole", "share", median(share))
            table.add(item, "mean share of whole", "share", mean(share))
            if in_active and own["active_s"].null_count() < own.height:
                active = own[column] / own["active_s"]
                table.add(item, "median share of active", "share", median(active))
                table.add(item, "mean share of active", "share", mean(active))

    return each_set("phases", study, fill)


def phases_frame(study: Study) -> pl.DataFrame:
    """One row per session with ``set``, ``wall_s``, ``active_s`` and the phases (s) of `phases`; null: not known."""
    calls = with_waits(study).with_columns(work_start_s=pl.col("start_s") + pl.col("wait_s"))
    leaves = calls.filter(pl.col("leaf"))
    frame = study.sessions.select(
        "session",
        "set",
        "wall_s",
        "sampled_s",
        "call_count",
        "call_clock",
        agent_start_s="active_start_s",
        active_s=pl.col("active_end_s") - pl.col("active_start_s"),
    )
    for spans, names in (
        (sums(calls), {"sum_s": "tools_sum_s", "union_s": "tools_union_s"}),
        (sums(leaves).drop("sum_s"), {"union_s": "tools_leaf_s"}),
        (sums(leaves, "work_start_s").drop("sum_s"), {"union_s": "work_s"}),
    ):
        frame = frame.join(spans.rename(names), on="session", how="left", maintain_order="left")
    # A session that is known to have made no calls spent no time in them; one whose calls are not known is not known.
    none = pl.col("call_count") == 0
    frame = frame.with_columns(
        pl.when(none).then(0.0).otherwise(pl.col(name)).alias(name)
        for name in ("tools_sum_s", "tools_union_s", "tools_leaf_s", "work_s")
    )
    initialization = pl.col("wall_s") - pl.col("active_s")
    return frame.with_columns(
        initialization_s=initialization,
        before_container_s=pl.when(pl.col("active_s").is_not_null()).then(pl.col("wall_s") - pl.col("sampled_s")),
        model_sum_s=pl.col("active_s") - pl.col("tools_sum_s"),
        model_union_s=pl.col("active_s") - pl.col("tools_union_s"),
        model_leaf_s=pl.col("active_s") - pl.col("tools_leaf_s"),
        wait_s=pl.col("tools_leaf_s") - pl.col("work_s"),
        system_sum_s=initialization + pl.col("tools_sum_s"),
        system_leaf_s=initialization + pl.col("tools_leaf_s"),
    )
