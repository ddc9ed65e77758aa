"""What the figures share: distributions, dots with intervals, legends, and how many values a caption rests on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from agentcgroup.study.number import Number
from agentcgroup.study.report.data import Data, name_of
from agentcgroup.study.report.style import GREY, look

_MOST_POINTS = 300  # of one line: more cannot be told apart in a column
_ROOM = 0.72  # of a row, for the dots of all sets

LineStyle: TypeAlias = Literal["-", "--", ":", ""]
Shown: TypeAlias = Mapping[str, Number | None]  # set -> its number


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure and its caption, which says what n is."""

    figure: Figure
    caption: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure by name; ``needs`` are the metrics that must have been computed."""

    name: str
    title: str
    needs: tuple[str, ...]
    draw: Callable[[Data], Drawn | None]


def counts(values: Mapping[str, int], of: str = "sessions") -> str:
    """``n = 111 (glm), 33 (haiku) sessions``, for a caption."""
    each = ", ".join(f"{n} ({name_of(name)})" for name, n in values.items() if n)
    return f"n = {each} {of}" if each else f"n = 0 {of}"


def column_of(frame: pl.DataFrame, sets: Iterable[str], column: str) -> dict[str, list[float]]:
    """The values of a column, set by set, in order; sets without one are left out."""
    found = {}
    for name in sets:
        of = frame.filter(pl.col("set") == name)[column].cast(pl.Float64).drop_nulls().drop_nans().sort().to_list()
        if of:
            found[name] = of
    return found


def distribution(axes: Axes, values: Sequence[float], place: int, line: str = "-", *, above: bool = False) -> None:
    """The share of values up to x (``above``: beyond x) as steps, in the colour of the set at ``place``.

    Its marker stands at the median; of what is beyond x, at the highest twentieth, since the eye is on the tail.
    """
    ordered, n = sorted(values), len(values)
    kept = _places(n)
    xs = [ordered[k] for k in kept]
    style, where = look(place), int((0.95 if above else 0.5) * (n - 1))
    if above:
        axes.step(xs, [(n - k) / n for k in kept], where="pre", color=style.color, linestyle=line)
        axes.plot(ordered[where], (n - where) / n, style.marker, color=style.color)
    else:
        ys = [0.0, *((k + 1) / n for k in kept)]
        axes.step([xs[0], *xs], ys, where="post", color=style.color, linestyle=line)
        axes.plot(ordered[where], (where + 1) / n, style.marker, color=style.color)


def _places(n: int) -> list[int]:
    """Which of ``n`` ordered values are drawn: all of a few, else evenly, and every one of the greatest."""
    if n <= _MOST_POINTS:
        return list(range(n))
    tail = {n - 1 - round(1.15**k) for k in range(60) if 1.15**k < n}
    return sorted({round(k * (n - 1) / _MOST_POINTS) for k in range(_MOST_POINTS + 1)} | tail | set(range(n - 20, n)))


def dots(axes: Axes, rows: Sequence[tuple[str, Shown]], sets: Sequence[str], hollow: Sequence[Shown] = ()) -> None:
    """A row for each name: the value of each set with its interval; ``hollow`` are values to compare it with."""
    lane = _ROOM / max(len(sets), 1)
    for row, (_, shown) in enumerate(rows):
        for place, name in enumerate(sets):
            y = row + (place - (len(sets) - 1) / 2) * lane
            style = look(place)
            number = shown.get(name)
            if number is not None and number.value is not None:
                if number.low is not None and number.high is not None:
                    axes.plot([number.low, number.high], [y, y], color=style.color, linewidth=0.9)
                axes.plot(number.value, y, style.marker, color=style.color)
            other = hollow[row].get(name) if row < len(hollow) else None
            if other is not None and other.value is not None:
                axes.plot(other.value, y, style.marker, color=style.color, markerfacecolor="white", markeredgewidth=0.7)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    for row in range(1, len(rows)):
        axes.axhline(row - 0.5, color="#DDDDDD", linewidth=0.4)


def legend(figure: Figure, sets: Sequence[str], more: Sequence[Line2D] = (), *, lines: bool = False) -> None:
    """Below the figure: the sets, and what else is told apart."""
    handles = [
        Line2D([], [], color=look(n).color, marker=look(n).marker, linestyle="-" if lines else "", label=name_of(name))
        for n, name in enumerate(sets)
    ]
    handles += more
    columns = 2 if len(handles) == 4 else 3  # filled one after the other: in three, the last two would be half empty
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, columnspacing=1.2, handlelength=1.8)


def key(label: str, line: LineStyle = "-", marker: str = "", *, hollow: bool = False) -> Line2D:
    """An entry of a legend in grey: a kind of line or marker, whatever the set."""
    face = "white" if hollow else GREY
    return Line2D([], [], color=GREY, linestyle=line, marker=marker, markerfacecolor=face, label=label)


def percent(axes: Axes, which: str = "x", most: float | None = 1.0) -> None:
    """Shares (of 1) on an axis as percent, from 0."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(lambda value, _: f"{value * 100:g} %")
    if most is not None:
        (axes.set_xlim if which == "x" else axes.set_ylim)(0.0, most)
