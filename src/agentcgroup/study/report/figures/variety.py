"""How predictable sessions are, and how many of them a host carries."""

from __future__ import annotations

from itertools import combinations

import polars as pl
from matplotlib.axes import Axes

from agentcgroup.study.metrics.sessions import MEASURES, sessions_frame
from agentcgroup.study.number import Number
from agentcgroup.study.report.data import Data, name_of
from agentcgroup.study.report.figures.drawing import Drawn, Shown, counts, dots, key, legend
from agentcgroup.study.report.style import COLORS, GREY, look, new_figure
from agentcgroup.study.statistics import FEWEST_PAIRS

_FEWEST_SHARED = 2


def variation(data: Data) -> Drawn | None:
    """Coefficients of variation, with and without the greatest session."""
    sets = data.study.sets
    items = data.items("task_variation", "variation")

    def shown(statistic: str) -> list[dict[str, Number | None]]:
        return [{name: data.number("task_variation", name, item, statistic) for name in sets} for item in items]

    rows: list[tuple[str, Shown]] = list(zip(items, shown("variation"), strict=True))
    if not any(one for _, of in rows for one in of.values()):
        return None
    figure = new_figure(0.8 + 0.3 * len(rows))
    axes = figure.subplots()
    dots(axes, rows, sets, shown("variation without the greatest"))
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value * 100:g} %")
    axes.set_xlabel("coefficient of variation, 95 % interval")
    legend(figure, sets, [key("without the greatest", "", "o", hollow=True)])
    n = {name: max(one.n for _, of in rows if (one := of[name])) for name in sets if any(of[name] for _, of in rows)}
    return Drawn(
        figure,
        "How much sessions of a set differ: coefficient of variation, and (hollow) without the greatest session, which "
        f"alone can make it anything. {counts(n)} at most.",
    )


def same_tasks(data: Data) -> Drawn | None:
    """Duration and peak memory of the same tasks in the two sets that share most."""
    frame = sessions_frame(data.study).sort("attempt").group_by("set", "task", maintain_order=True).last()
    best = pl.DataFrame()
    names = ("", "")
    for one, other in combinations(data.study.sets, 2):
        parts = [frame.filter(pl.col("set") == name) for name in (one, other)]
        pairs = parts[0].join(parts[1], on="task", suffix="_other").sort("task")
        if pairs.height > best.height:
            best, names = pairs, (one, other)
    if best.height < _FEWEST_SHARED:
        return None
    figure = new_figure(2.1)
    both = figure.subplots(1, 2)
    for axes, (column, scale, unit) in zip(both, (("wall_s", 60.0, "min"), ("peak_bytes", 1e6, "MB")), strict=True):
        known = best.select(x=pl.col(column) / scale, y=pl.col(f"{column}_other") / scale).drop_nulls()
        known = known.filter((pl.col("x") > 0) & (pl.col("y") > 0))
        axes.plot(known["x"].to_list(), known["y"].to_list(), "o", color=COLORS[0], markersize=2.6, alpha=0.8)
        axes.set_xscale("log")
        axes.set_yscale("log")
        _same_scale(axes, [*known["x"].to_list(), *known["y"].to_list()])
        name = MEASURES[column][0]
        axes.set_xlabel(f"{name_of(names[0])} ({unit})")
        axes.set_ylabel(f"{name_of(names[1])} ({unit})")
        rho = data.number("same_tasks", f"{names[0]} / {names[1]}", name, "Spearman")
        text = "" if rho is None or rho.value is None else f"\nrho = {rho.value:.2f}"
        axes.set_title(name + text, loc="left")
    return Drawn(
        figure,
        f"Tasks that {name_of(names[0])} and {name_of(names[1])} both ran: on the line both are equal. rho is "
        f"Spearman's. n = {best.height} tasks.",
    )


def _same_scale(axes: Axes, values: list[float]) -> None:
    if not values:
        return
    low, high = min(values) / 1.2, max(values) * 1.2
    axes.plot([low, high], [low, high], color=GREY, linewidth=0.7)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_aspect("equal")
    _plain_ticks(axes)


def _plain_ticks(axes: Axes) -> None:
    """Ticks at 1, 2, 5 … on both axes of a small logarithmic panel."""
    for set_ticks, (low, high) in ((axes.set_xticks, axes.get_xlim()), (axes.set_yticks, axes.get_ylim())):
        every = [base * 10.0**power for power in range(-2, 6) for base in (1, 2, 5)]
        ticks = [tick for tick in every if low <= tick <= high]
        set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        set_ticks([], minor=True)


def rounds(data: Data) -> Drawn | None:
    """Messages of the model against active time and peak memory."""
    frame = sessions_frame(data.study).with_columns(active=pl.col("active_s") / 60.0, peak=pl.col("peak_bytes") / 1e6)
    sets = data.study.sets
    figure = new_figure(2.5)
    n: dict[str, int] = {}
    for axes, (column, name, unit) in zip(
        figure.subplots(1, 2),
        (("active", "active duration", "active time (min)"), ("peak", "peak memory", "peak memory (MB)")),
        strict=True,
    ):
        found = []
        for place, set_ in enumerate(sets):
            own = frame.filter(pl.col("set") == set_).select("messages", column).drop_nulls()
            if own.is_empty():
                continue
            n[set_] = own.height
            style = look(place)
            points = own["messages"].to_list(), own[column].to_list()
            axes.plot(*points, style.marker, color=style.color, markersize=2, alpha=0.7)
            rho = data.number("correlations", set_, f"messages with {name}", "Spearman")
            if rho is not None and rho.n >= FEWEST_PAIRS:
                found.append(f"{name_of(set_)} {rho.value:.2f}")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("messages of the model")
        axes.set_ylabel(unit)
        _plain_ticks(axes)
        lines = ",\n".join(", ".join(found[k : k + 2]) for k in range(0, len(found), 2))
        axes.set_title(f"rho: {lines}" if lines else "", loc="left", fontsize=6)
    if not n:
        return None
    legend(figure, sets)
    return Drawn(
        figure,
        "Messages of the model, each counted once, against active time and peak memory; rho is Spearman's, from ten "
        f"sessions on. {counts(n)}.",
    )


def density(data: Data) -> Drawn | None:
    """How many sessions a host carries when they share, and when each reserves."""
    items = {
        "reserving the highest peak": "reserving the\nhighest peak",
        "reserving the 95th percentile of the peaks": "reserving the 95th\npercentile of peaks",
        "reserving the median peak": "reserving the\nmedian peak",
        "sharing, one round in twenty fails": "sharing, one round\nin 20 fails",
        "sharing, carried": "sharing, mean",
    }
    sets = data.study.sets
    rows: list[tuple[str, Shown]] = [
        (label, {name: data.number("concurrency", name, item, "sessions") for name in sets})
        for item, label in items.items()
    ]
    if not any(one for _, shown in rows for one in shown.values()):
        return None
    figure = new_figure(2.7)
    axes = figure.subplots()
    dots(axes, rows, sets)
    axes.set_xlim(left=0)
    axes.set_xlabel("sessions at once on 32 GB")
    legend(figure, sets)
    n = {name: one.n for name, one in rows[0][1].items() if one}
    return Drawn(
        figure,
        "Sessions that a host of 32 GB carries for half an hour: each with a reservation, or sharing, by Monte Carlo "
        f"over their real time lines (95 % of its replicates). Nothing reacts in it. {counts(n)}.",
    )
