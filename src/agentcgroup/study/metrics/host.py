"""What sessions leave on the host beside memory and load: images, and processes that outlive their call."""

from __future__ import annotations

import polars as pl

from agentcgroup.study.load import Study
from agentcgroup.study.number import Number, Table, each_set
from agentcgroup.study.statistics import mean, median, plain, ratio


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
    """Definition: how many calls left processes behind that ran on after they had returned.

    In recorded sessions: calls that left a process which was kept, or that asked for the background. In published
    ones only what the agent asked for is known (`run_in_background`); a process that a command left by itself is not
    in the source. Unit: share of shell calls and of sessions. Source: call_end.leftovers; input.run_in_background.
    Filters: selected sessions; shell calls of which it is known. Intervals: sessions drawn again.
    """

    def fill(table: Table, part: Study) -> None:
        known = part.calls.filter(pl.col("shell") & pl.col("background").is_not_null())
        each = known.group_by("session", maintain_order=True).agg(left=pl.col("background").sum(), calls=pl.len())
        if each.is_empty():
            return
        table.add("", "share of shell calls", "share", ratio(each["left"], each["calls"]))
        table.add("", "sessions with any", "share", mean((each["left"] > 0).cast(pl.Float64)))
        table.add("", "calls", "", plain(float(each["left"].sum()), known.height), "calls")

    return each_set("left_processes", study, fill)
