"""How long sessions take and where the time goes."""

from __future__ import annotations

import polars as pl

from agentcgroup.study.metrics.execution import phases_frame
from agentcgroup.study.report.data import Data, name_of
from agentcgroup.study.report.figures.drawing import Drawn, column_of, counts, distribution, key, legend, percent
from agentcgroup.study.report.style import new_figure

_GREY, _RED, _BLUE = "#BBBBBB", "#D55E00", "#56B4E9"
# (name in the legend, column, colour, hatch) in the order of a session; a phase of both definitions has one colour
_PUBLISHED = (
    ("initialization", "initialization_s", _GREY, ""),
    ("tools", "tools_sum_s", _RED, ""),
    ("model", "model_sum_s", _BLUE, ""),
)
_OURS = (
    ("before the container", "before_container_s", "#DDDDDD", "...."),
    ("initialization", "rest_s", _GREY, ""),
    ("tools", "own_work_s", _RED, ""),
    ("permission check", "own_wait_s", "#E69F00", "////"),
    ("model", "model_leaf_s", _BLUE, ""),
)


def execution_time(data: Data) -> Drawn | None:
    """Distributions of the whole duration (published) and of the active one, per set."""
    minute = 60.0
    spans = data.study.sessions.select(
        "set", whole=pl.col("wall_s") / minute, active=(pl.col("active_end_s") - pl.col("active_start_s")) / minute
    ).filter(pl.col("whole") > 0)
    sets = data.study.sets
    whole, active = (column_of(spans, sets, column) for column in ("whole", "active"))
    if not whole:
        return None
    figure = new_figure(2.3)
    axes = figure.subplots()
    for place, name in enumerate(sets):
        for of, line in ((whole, "-"), (active, "--")):
            if name in of:
                distribution(axes, of[name], place, line)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("duration (min)")
    axes.set_ylabel("sessions up to it")
    percent(axes, "y", 1.02)
    legend(figure, sets, [key("whole (published)"), key("agent active", "--")])
    n = counts({name: len(of) for name, of in whole.items()})
    return Drawn(
        figure,
        "Duration of sessions: the whole run, as published, and from the first to the last record of the agent's log. "
        f"The marker is the median. {n}.",
    )


def phases(data: Data) -> Drawn | None:
    """Mean shares of the phases by the published definition and by ours, below each other."""
    frame = phases_frame(data.study).with_columns(
        rest_s=pl.col("initialization_s") - pl.col("before_container_s"),
        own_wait_s=pl.col("wait_s").fill_null(0.0),
        own_work_s=pl.coalesce("work_s", "tools_leaf_s"),
    )
    columns = [column for _, column, _, _ in (*_PUBLISHED, *_OURS)]
    frame = frame.filter(pl.col("wall_s") > 0).drop_nulls([*columns, "wall_s"])
    n = {name: frame.filter(pl.col("set") == name).height for name in data.study.sets}
    sets = [name for name in data.study.sets if n[name]]
    if not sets:
        return None
    figure = new_figure(1.2 + 0.42 * len(sets))
    axes = figure.subplots()
    for row, name in enumerate(sets):
        own = frame.filter(pl.col("set") == name)
        for offset, parts in ((-0.2, _PUBLISHED), (0.2, _OURS)):
            left = 0.0
            for label, column, color, hatch in parts:
                share = own.select((pl.col(column) / pl.col("wall_s")).mean()).item()
                new = label not in axes.get_legend_handles_labels()[1]
                shown = label if new else "_"  # matplotlib leaves out of legends what begins so
                axes.barh(
                    row + offset, share, 0.36, left, color=color, hatch=hatch, edgecolor="white", lw=0.4, label=shown
                )
                left += share
    rows = [row + offset for row in range(len(sets)) for offset in (-0.2, 0.2)]
    labels = [f"{name_of(name)}, {how}" for name in sets for how in ("published", "ours")]
    axes.set_yticks(rows, labels)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("mean share of the whole duration")
    percent(axes)
    figure.legend(loc="outside lower center", ncols=3, columnspacing=0.9, handlelength=1.5)
    return Drawn(
        figure,
        "Published: tools are the plain sum of all calls. Ours: the union of calls that do work, "
        "without the estimated wait for permission checks (none where there is no estimate), and initialization split "
        f"at the start of the container. {counts(n)}.",
    )
