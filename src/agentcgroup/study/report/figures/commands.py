"""Tools and shell commands: their time, their place in a session, and loops of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib import colormaps
from matplotlib.patches import Patch

from agentcgroup.study.number import Number
from agentcgroup.study.report.data import Data, name_of
from agentcgroup.study.report.figures.drawing import Drawn, Shown, counts, dots, key, legend, percent
from agentcgroup.study.report.style import COLORS, new_figure

_MOST_TOOLS = 5
_MOST_ROWS = 8
_MOST_IN_A_TENTH = 0.4  # of the colour scale
_HATCHES = ("", "////", "....")


def _shown(data: Data, metric: str, item: str, *statistics: str) -> dict[str, Number | None]:
    """The number of each set, by the first of ``statistics`` that it has."""
    found: dict[str, Number | None] = {}
    for name in data.study.sets:
        hits = (data.number(metric, name, item, statistic) for statistic in statistics)
        found[name] = next((hit for hit in hits if hit is not None), None)
    return found


def _largest(rows: Sequence[tuple[str, Shown]], most: int) -> list[tuple[str, Shown]]:
    """The rows with the largest value of any set, in the order of that value."""

    def size(row: tuple[str, Shown]) -> float:
        return max((one.value for one in row[1].values() if one is not None and one.value is not None), default=0.0)

    return [row for row in sorted(rows, key=lambda row: (-size(row), row[0])) if size(row) > 0][:most]


def tool_shares(data: Data) -> Drawn | None:
    """Shares of tool time: of all calls (published) and of the leaves."""
    ways = (("published", "share of time"), ("ours", "share of leaf time"))
    items = data.items("tool_share", "share of calls")
    rows = [(item, _shown(data, "tool_share", item, "share of time")) for item in items]
    tools = [item for item, _ in _largest(rows, _MOST_TOOLS)]
    n = {name: _calls(data, "tool_share", name, items, "share of calls") for name in data.study.sets}
    sets = [name for name in data.study.sets if n[name]]
    if not sets or not tools:
        return None
    figure = new_figure(1.05 + 0.42 * len(sets))
    axes = figure.subplots()
    bars = [
        (row + offset, name, way)
        for row, name in enumerate(sets)
        for offset, way in zip((-0.2, 0.2), ways, strict=True)
    ]
    for y, name, (_, statistic) in bars:
        left = 0.0
        for place, tool in enumerate(tools):
            number = data.number("tool_share", name, tool, statistic)
            share = number.value if number and number.value else 0.0
            color, hatch = COLORS[place], _HATCHES[place % len(_HATCHES)]
            axes.barh(y, share, 0.36, left, color=color, hatch=hatch, edgecolor="white", lw=0.4)
            left += share
        axes.barh(y, max(1 - left, 0.0), 0.36, left, color="#DDDDDD")
    axes.set_yticks([y for y, _, _ in bars], [f"{name_of(name)}, {way}" for _, name, (way, _) in bars])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("share of tool time")
    percent(axes)
    handles = [
        Patch(facecolor=COLORS[place], hatch=_HATCHES[place % len(_HATCHES)], edgecolor="white", label=name_of(tool))
        for place, tool in enumerate(tools)
    ]
    others = Patch(facecolor="#DDDDDD", label="others")
    figure.legend(handles=[*handles, others], loc="outside lower center", ncols=3, columnspacing=1.2)
    return Drawn(
        figure,
        "Published: all calls, so that a sub-agent (Task) counts next to its own calls. Ours: calls that "
        f"do work. {counts(n, 'calls')}.",
    )


def _calls(data: Data, metric: str, set_: str, items: Sequence[str], statistic: str) -> int:
    """How many calls the numbers of these items are about."""
    found = (data.number(metric, set_, item, statistic) for item in items)
    return sum(one.n for one in found if one is not None)


def command_kinds(data: Data) -> Drawn | None:
    """Shell time by the published categories and by the programs that run, on one scale."""
    published = [
        (name, _shown(data, "category_share", name, "share of shell time, time order"))
        for name in data.items("category_share", "share of shell time, time order")
    ]
    ours = [
        (name, _shown(data, "kind_duration", name, "share without the check", "share of shell time"))
        for name in data.items("kind_duration", "share of shell time")
    ]
    panels = [("published: by words in the command", _largest(published, _MOST_ROWS))]
    panels.append(("ours: by programs that run, without the check", _largest(ours, _MOST_ROWS)))
    if not all(rows for _, rows in panels):
        return None
    figure = new_figure(1.0 + 0.26 * sum(len(rows) for _, rows in panels))
    both = figure.subplots(2, sharex=True, height_ratios=[len(rows) for _, rows in panels])
    for axes, (title, rows) in zip(both, panels, strict=True):
        dots(axes, rows, data.study.sets)
        axes.set_title(title, loc="left")
        percent(axes)
    both[1].set_xlabel("share of shell time, 95 % interval")
    legend(figure, data.study.sets)
    n = {name: sum(one.n for _, shown in ours if (one := shown[name])) for name in data.study.sets}
    return Drawn(
        figure,
        "By the published regular expressions, in their order of the time figure, and "
        "by the programs that run, without the estimated wait for permission checks (with all time where there is no "
        f"estimate). Lines are 95 % intervals, sessions drawn again. {counts(n, 'commands')}.",
    )


def tool_places(data: Data) -> Drawn | None:
    """Where in a session the calls of each tool lie, by tenths: a map per set, on one scale."""
    items = data.items("tool_position", "median")
    every = {
        item: sum(_calls(data, "tool_position", name, [item], "median") for name in data.study.sets) for item in items
    }
    chosen = sorted(items, key=lambda item: (-every[item], item))[:_MOST_ROWS]
    tools = [item for item in items if not item.startswith("kind ")]
    n = {name: _calls(data, "tool_position", name, tools, "median") for name in data.study.sets}
    sets = [name for name in data.study.sets if n[name]]
    if not sets:
        return None
    columns = min(len(sets), 2)
    height = -(-len(sets) // columns)
    figure = new_figure(0.5 + (0.45 + 0.13 * len(chosen)) * height)
    grid = figure.subplots(height, columns, sharex=True, sharey=True, squeeze=False)
    for axes in list(grid.flat)[len(sets) :]:
        axes.set_axis_off()
    for axes, name in zip(grid.flat, sets, strict=False):
        cells = [_tenths(data, name, item) for item in chosen]
        # Not imshow, and few colours: both would put a bitmap into the vector formats.
        image = axes.pcolormesh(
            range(0, 101, 10),
            range(len(chosen) + 1),
            cells,
            cmap=colormaps["cividis"].resampled(8),
            vmin=0.0,
            vmax=_MOST_IN_A_TENTH,
        )
        axes.set_ylim(len(chosen), 0)
        axes.set_yticks([k + 0.5 for k in range(len(chosen))], [name_of(item) for item in chosen])
        axes.set_title(name_of(name), loc="left")
        axes.grid(visible=False)
    figure.supxlabel("place in the session (%)", fontsize=7)
    bar = figure.colorbar(image, ax=grid, shrink=0.7, extend="max")
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value * 100:g} %")
    return Drawn(
        figure,
        "Share of the calls of each tool, and of shell commands of each kind, that "
        "begin in each tenth of the active time (10 % each if it made no difference; white: no calls). "
        f"{counts(n, 'calls')}.",
    )


def _tenths(data: Data, set_: str, item: str) -> list[float]:
    found = (data.number("tool_position", set_, item, f"tenth {k}") for k in range(1, 11))
    return [math.nan if one is None or one.value is None else one.value for one in found]


def retries(data: Data) -> Drawn | None:
    """Sessions with a retry loop, by three definitions."""
    names = {
        "consecutive shell calls (published)": "any 3 shell calls\n(published)",
        "consecutive test commands": "3 test commands",
        "consecutive identical commands": "3 identical commands",
    }
    panels = []
    ways = (("sessions with a loop", "sessions with a loop"), ("part of the time, mean", "part of the time in loops"))
    for statistic, title in ways:
        panels.append((title, [(name, _shown(data, "retry_loops", item, statistic)) for item, name in names.items()]))
    if not any(one for _, rows in panels for _, shown in rows for one in shown.values()):
        return None
    figure = new_figure(3.0)
    for axes, (title, rows) in zip(figure.subplots(2, sharex=True), panels, strict=True):
        dots(axes, rows, data.study.sets)
        axes.set_title(title, loc="left")
        percent(axes, most=1.02)
    legend(figure, data.study.sets)
    n = {name: one.n for name, one in panels[0][1][0][1].items() if one}
    return Drawn(
        figure,
        "Three or more commands in a row, by three definitions, with 95 % intervals. What was published "
        f"as a retry of one test command is any three shell calls. {counts(n)}.",
    )


def unseen(data: Data) -> Drawn | None:
    """Calls without a sample, and their part of the time."""
    items = [item for item in data.items("unseen_calls", "unseen") if item]
    rows: list[tuple[str, Shown]] = [(item, _shown(data, "unseen_calls", item, "unseen")) for item in items]
    if not rows:
        return None
    hollow = [_shown(data, "unseen_calls", item, "unseen part of the time") for item in items]
    figure = new_figure(0.8 + 0.25 * len(rows))
    axes = figure.subplots()
    dots(axes, rows, data.study.sets, hollow)
    percent(axes, most=1.02)
    axes.set_xlabel("calls between two samples, 95 % interval")
    legend(figure, data.study.sets, [key("part of their time", "", "o", hollow=True)])
    n = {name: one.n for name, one in rows[0][1].items() if one}
    return Drawn(
        figure,
        "Calls into which no sample falls, so that sampling says nothing of them, and (hollow) the part of the time of "
        f"calls that they have. {counts(n)}.",
    )
