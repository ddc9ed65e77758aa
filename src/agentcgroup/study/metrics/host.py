"""What sessions leave on the host beside memory and load: images, and processes that outlive their call."""

from __future__ import annotations

import polars as pl

from agentcgroup.study.load import Study
from agentcgroup.study.metrics.samples import about
from agentcgroup.study.number import Number, Table, each_set
from agentcgroup.study.statistics import mean, median, plain, ratio

_LEFTOVERS = {"leftovers_killed": "killed at the end of the call", "leftovers_kept": "kept in the background"}


def image_size(study: Study) -> list[Number]:
    """Definition: the size of the container images of a set, each distinct image once.

    The sum counts layers that images share as often as they are shared, so it is what the disk holds at most. Unit: B
    (published figures are in GiB, and say GB). Source: results.json image_info. Filters: selected sessions whose image
    has a size. Statistics over images: median and mean with intervals, least, greatest, sum.
    """

    def fill(table: Table, part: Study) -> None:
        images = part.sessions.drop_nulls(["image", "image_bytes"]).unique("image", maintain_order=True)
        sizes = images["image_bytes"].cast(pl.Float64).sort()
        if sizes.is_empty():
            return
        table.add("", "median", "B", median(sizes), "images")
        table.add("", "mean", "B", mean(sizes), "images")
        for statistic, value in (("least", sizes[0]), ("greatest", sizes[-1]), ("sum", float(sizes.sum()))):
            table.add("", statistic, "B", plain(value, len(sizes)), "images")

    return each_set("image_size", study, fill)


def left_processes(study: Study) -> list[Number]:
    """Definition: how many calls left processes behind: those that ran on after it returned, and those ended with it.

    Ran on: in recorded sessions, calls that left a process which was kept, or that asked for the background; in
    published ones only what the agent asked for is known (`run_in_background`), since a process that a command left by
    itself is not in the source. Killed and kept, for recorded calls with a leaf of their own: processes that were still
    in it when its command had ended, by the kernel's list; a call ends with all of them, but for those of a background
    call. Unit: share of shell calls and of sessions; processes. Source: call_end.leftovers; input.run_in_background.
    Filters: selected sessions; shell calls of which it is known. Intervals: sessions drawn again.
    """

    def fill(table: Table, part: Study) -> None:
        shell = part.calls.filter(pl.col("shell"))
        known = shell.filter(pl.col("background").is_not_null())
        each = known.group_by("session", maintain_order=True).agg(left=pl.col("background").sum(), calls=pl.len())
        if each.is_empty():
            return
        table.add("", "share of shell calls", "share", ratio(each["left"], each["calls"]))
        table.add("", "sessions with any", "share", mean((each["left"] > 0).cast(pl.Float64)))
        table.add("", "calls", "", plain(float(each["left"].sum()), known.height), "calls")
        for column, item in _LEFTOVERS.items():
            _add_leftovers(table, shell.filter(pl.col(column).is_not_null()), column, item)

    return each_set("left_processes", study, fill)


def _add_leftovers(table: Table, calls: pl.DataFrame, column: str, item: str) -> None:
    if calls.is_empty():
        return
    count = pl.col(column)
    each = calls.group_by("session", maintain_order=True).agg(
        left=(count > 0).sum(), processes=count.cast(pl.Int64).sum(), calls=pl.len()
    )
    n = calls.height
    table.add(item, "share of shell calls", "share", about(ratio(each["left"], each["calls"]), n), "calls")
    table.add(item, "sessions with any", "share", mean((each["left"] > 0).cast(pl.Float64)))
    table.add(item, "processes per session", "", mean(each["processes"]))
    most = calls.select(count.max().cast(pl.Float64)).item()
    table.add(item, "most of one call", "", plain(most, n), "calls")
