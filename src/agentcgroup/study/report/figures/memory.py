"""Memory over sessions: its course, peaks, bursts; and the images that sessions start from."""

from __future__ import annotations

import polars as pl

from agentcgroup.study.metrics.memory import level_frame
from agentcgroup.study.report.data import Data
from agentcgroup.study.report.figures.drawing import (
    Drawn,
    Shown,
    column_of,
    counts,
    distribution,
    dots,
    key,
    legend,
    percent,
)
from agentcgroup.study.report.style import look, new_figure

_MB = 1e6


def trajectory(data: Data) -> Drawn | None:
    """Median and ninth decile of memory and load in each tenth of a session."""
    sets = data.study.sets
    figure = new_figure(3.3)
    n: dict[str, int] = {}
    for axes, (quantity, unit, scale) in zip(
        figure.subplots(2, sharex=True), (("memory", "memory (MB)", _MB), ("CPU", "load (cores)", 1.0)), strict=True
    ):
        for place, name in enumerate(sets):
            for statistic, line, marker in (("median", "-", look(place).marker), ("decile 9", "--", "")):
                found = [data.number("trajectory", name, f"{quantity}, tenth {k}", statistic) for k in range(1, 11)]
                points = [(k * 10 + 5, one) for k, one in enumerate(found) if one is not None]
                if not points:
                    continue
                n[name] = max(n.get(name, 0), max(one.n for _, one in points))
                ys = [(one.value or 0.0) / scale for _, one in points]
                axes.plot([x for x, _ in points], ys, linestyle=line, marker=marker, color=look(place).color)
        axes.set_ylabel(unit)
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, 100)
    axes.set_xlabel("place in the session (%)")
    if not n:
        return None
    legend(figure, sets, [key("median"), key("9th decile", "--")])
    return Drawn(
        figure,
        "Memory and instantaneous load over a session, from its first sample to its last: of the means in each tenth, "
        f"the median and the ninth decile over sessions. {counts(n)}.",
    )


def peaks(data: Data) -> Drawn | None:
    """Distributions of average and peak memory."""
    frame = level_frame(data.study).with_columns(
        top=pl.coalesce("counted", "peak") / _MB, average=pl.col("average") / _MB
    )
    sets = data.study.sets
    top, average = (column_of(frame, sets, column) for column in ("top", "average"))
    if not top:
        return None
    figure = new_figure(2.3)
    axes = figure.subplots()
    for place, name in enumerate(sets):
        for of, line in ((top, "-"), (average, "--")):
            if name in of:
                distribution(axes, of[name], place, line)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:g}"[0] in "25" else "")
    axes.tick_params(axis="x", which="minor", labelsize=6)
    axes.set_xlabel("memory of a session (MB)")
    axes.set_ylabel("sessions up to it")
    percent(axes, "y", 1.02)
    legend(figure, sets, [key("peak"), key("average", "--")])
    return Drawn(
        figure,
        "Of each session; the peak is the kernel's where it counted one, else the highest sample. "
        f"The marker is the median. {counts({name: len(of) for name, of in top.items()})}.",
    )


def bursts(data: Data) -> Drawn | None:
    """What part of the bursts lies in calls, by three definitions, against chance."""
    ways = (
        ("above 300 MB\n(published)", "above 300 MB (published)", "all samples", "of these in calls"),
        ("100 MB above\nown median", "100 MB above the session's median", "all samples", "of these in leaves"),
        ("rise of 50 MB\nor more", "rise of 50 MB or more", "all steps", "of these in leaves"),
    )
    sets = data.study.sets
    rows: list[tuple[str, Shown]] = []
    chance: list[Shown] = []
    for label, item, every, statistic in ways:
        rows.append((label, {name: data.number("bursts", name, item, statistic) for name in sets}))
        chance.append({name: data.number("bursts", name, every, statistic) for name in sets})
    if not any(one for _, shown in rows for one in shown.values()):
        return None
    figure = new_figure(2.5)
    axes = figure.subplots()
    dots(axes, rows, sets, chance)
    percent(axes, most=1.02)
    axes.set_xlabel("part that lies in calls, 95 % interval")
    legend(figure, sets, [key("by chance", "", "o", hollow=True)])
    n = [", ".join(f"{one.n}" for one in shown.values() if one) for _, shown in rows]
    return Drawn(
        figure,
        "How much of them lies in calls: samples above a level, as published (in any call); samples far above the "
        "session's own median and rises from one sample to the next (in calls that do work). Hollow: the part of all "
        f"samples, or steps, that does. n, set by set: {n[0]} samples above 300 MB, {n[1]} above their median, "
        f"{n[2]} rises.",
    )


def images(data: Data) -> Drawn | None:
    """The distribution of the sizes of distinct images."""
    found = data.study.sessions.drop_nulls(["image", "image_bytes"]).unique(["set", "image"], maintain_order=True)
    sizes = column_of(found.with_columns(pl.col("image_bytes") / 1e9), data.study.sets, "image_bytes")
    if not sizes:
        return None
    figure = new_figure(2.1)
    axes = figure.subplots()
    for place, name in enumerate(data.study.sets):
        if name in sizes:
            distribution(axes, sizes[name], place)
    axes.set_xlabel("size of an image (GB, decimal)")
    axes.set_ylabel("images up to it")
    axes.set_xlim(left=0)
    percent(axes, "y", 1.02)
    legend(figure, data.study.sets)
    return Drawn(
        figure,
        "Sizes of container images, each distinct image of a set once. Published sizes are in GiB. The marker is the "
        f"median. {counts({name: len(of) for name, of in sizes.items()}, 'images')}.",
    )
