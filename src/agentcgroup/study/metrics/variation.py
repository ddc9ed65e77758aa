"""How predictable sessions are: across tasks, between runs of one task, between two sets on the same tasks."""

from __future__ import annotations

from itertools import combinations

import polars as pl

from agentcgroup.study.load import Study
from agentcgroup.study.metrics.sessions import MEASURES, sessions_frame
from agentcgroup.study.number import Number, Table, each_set
from agentcgroup.study.statistics import mean, median, pearson, plain, quantile, spearman, variation

_FEWEST_TRIMMED = 3
_ALIKE = 1.5  # two runs of one task that differ by more than this factor do not foretell each other


def task_variation(study: Study) -> list[Number]:
    """Definition: how much sessions of a set differ across its tasks.

    Coefficient of variation (standard deviation over mean), which one far session can make anything, so also without
    the greatest session; and ratio of the ninth to the first decile, which no single session moves. Unit: share, and a
    ratio. Source: as sessions_frame. Filters: selected sessions, one per task, in which the value is known. Intervals:
    sessions drawn again.
    """
    frame = sessions_frame(study)

    def fill(table: Table, _: Study) -> None:
        for column, (item, unit) in MEASURES.items():
            own = frame.filter(pl.col("set") == table.set).select("session", value=pl.col(column).cast(pl.Float64))
            own = own.drop_nulls().sort("value")
            if own.is_empty():
                continue
            values = own["value"]
            table.add(item, "least", unit, plain(values[0], own.height))
            table.add(item, "median", unit, median(values))
            table.add(item, "greatest", unit, plain(values[-1], own.height))
            table.add(item, "variation", "share", variation(values))
            if own.height > _FEWEST_TRIMMED:
                table.add(item, "variation without the greatest", "share", variation(values[:-1]))
            first = quantile(values, own["session"], 0.1).value
            ninth = quantile(values, own["session"], 0.9).value
            table.add(item, "decile 9 over decile 1", "", plain(ninth / first if first and ninth else None, own.height))

    return each_set("task_variation", study, fill)


def repeats(study: Study) -> list[Number]:
    """Definition: how much runs of one and the same task in one set differ: greatest over least.

    Attempts are such runs, but they were repeated because one failed, and two or three of them say little: each task is
    given by itself with its number of runs, and no interval is drawn from one. Unit: ratio, s, B. Source: as
    sessions_frame. Filters: tasks with two or more runs in the study; only `--all` takes in earlier attempts.
    Statistics: per task least and greatest and their ratio, with n runs; over tasks the median of the ratios.
    """
    frame = sessions_frame(study)

    def fill(table: Table, _: Study) -> None:
        own = frame.filter(pl.col("set") == table.set)
        for column in ("wall_s", "peak_bytes", "cpu_time_s"):
            name, unit = MEASURES[column]
            value = pl.col(column).cast(pl.Float64)
            each = own.filter(value > 0).group_by("task").agg(low=value.min(), high=value.max(), runs=pl.len())
            each = each.filter(pl.col("runs") > 1).sort("task")
            for task, low, high, runs in each.iter_rows():
                item = f"{name}, {task}"
                table.add(item, "least", unit, plain(low, runs), "runs")
                table.add(item, "greatest", unit, plain(high, runs), "runs")
                table.add(item, "greatest over least", "", plain(high / low, runs), "runs")
            if each.height > 1:
                table.add(f"{name}, all tasks", "greatest over least", "", median(each["high"] / each["low"]), "tasks")

    return each_set("repeats", study, fill)


def same_tasks(study: Study) -> list[Number]:
    """Definition: two sets (models, versions, machines) on the tasks that both have: does one foretell the other?

    Per task the value in the first set over that in the second; the label names both. Sets stay apart everywhere else.
    Numbers: median of the ratios; typical factor between the two (median of greater over less); part of the tasks that
    differ by more than 1.5 times; Pearson's r and Spearman's rho over tasks. Unit: ratio, share, none. Source: as
    sessions_frame. Filters: selected sessions, the last attempt of each task in each set; tasks known in both.
    Intervals: tasks drawn again.
    """
    frame = sessions_frame(study).sort("attempt").group_by("set", "task", maintain_order=True).last()
    numbers: list[Number] = []
    for first, second in combinations(study.sets, 2):
        own, other = (frame.filter(pl.col("set") == name) for name in (first, second))
        pairs = own.join(other, on="task", suffix="_other").sort("task")
        if pairs.height:
            _compare(Table("same_tasks", f"{first} / {second}", numbers), pairs)
    return numbers


def _compare(table: Table, pairs: pl.DataFrame) -> None:
    for column, (item, _) in MEASURES.items():
        both = pairs.select(a=pl.col(column).cast(pl.Float64), b=pl.col(f"{column}_other").cast(pl.Float64))
        both = both.drop_nulls().filter((pl.col("a") > 0) & (pl.col("b") > 0))
        if both.is_empty():
            continue
        shares = both["a"] / both["b"]
        factors = pl.DataFrame({"s": shares}).select(pl.max_horizontal("s", 1 / pl.col("s"))).to_series()
        table.add(item, "median ratio", "", median(shares), "tasks")
        table.add(item, "typical factor", "", median(factors), "tasks")
        table.add(item, "differ by more than 1.5x", "share", mean((factors > _ALIKE).cast(pl.Float64)), "tasks")
        table.add(item, "Pearson", "", pearson(both["a"], both["b"]), "tasks")
        table.add(item, "Spearman", "", spearman(both["a"], both["b"]), "tasks")
