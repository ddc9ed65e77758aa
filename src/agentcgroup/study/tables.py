"""A study as tables for the terminal and as JSON."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict

import polars as pl
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agentcgroup.study.load import Study
from agentcgroup.study.number import Metric, Number
from agentcgroup.study.oddities import MEANINGS, Oddities
from agentcgroup.trace.text import printable, shorten

Json = dict[str, object]

_PIPE_WIDTH = 160  # where there is no terminal that would have one
_MOST_WITH_INTERVALS = 6  # columns; what has more shows values only, and JSON has the rest
_EXAMPLE_WIDTH = 70


def study_json(study: Study, computed: Sequence[tuple[Metric, list[Number]]]) -> Json:
    """Everything that the tables show, and the definitions; numbers that are not finite are null."""
    return {
        "v": 1,
        "sets": {row["set"]: {"sessions": row["sessions"], "selected": row["selected"]} for row in _sets(study)},
        "metrics": [
            {"name": metric.name, "title": metric.title, "room": metric.room, "definition": metric.definition}
            for metric, _ in computed
        ],
        "numbers": [_number_json(number) for _, numbers in computed for number in numbers],
        "oddities": [
            {"name": name, "meaning": MEANINGS[name], "count": study.oddities.count(name)}
            | {"runs": list(study.oddities.runs(name)), "example": study.oddities.example(name)}
            for name in study.oddities.names()
        ],
    }


def print_study(study: Study, computed: Sequence[tuple[Metric, list[Number]]]) -> None:
    """The sets, one table per metric, and the oddities."""
    console = Console(width=_width(), highlight=False, emoji=False, markup=False)
    console.print(_sets_table(study))
    for metric, numbers in computed:
        console.print()
        console.print(Text(f"{metric.title} ({metric.name})", style="bold"))
        if numbers:
            console.print(_metric_table(numbers))
        else:
            console.print("  nothing to compute it from")
    if study.oddities.found:
        console.print()
        console.print(Text("What was odd about the traces, and what was done about it", style="bold"))
        console.print(_oddities_table(study.oddities))


def _sets(study: Study) -> list[Json]:
    return (
        study.sessions.group_by("set")
        .agg(sessions=pl.len(), selected=pl.col("selected").sum(), began=pl.col("start_epoch_s").is_not_null().sum())
        .sort("set")
        .to_dicts()
    )


def _sets_table(study: Study) -> Table:
    table = _table(("set", ">runs", ">began", ">in the metrics"))
    for row in _sets(study):
        table.add_row(Text(printable(str(row["set"]))), str(row["sessions"]), str(row["began"]), str(row["selected"]))
    return table


def _metric_table(numbers: Sequence[Number]) -> Table:
    """A row per set and item, a column per statistic; below each value its interval, in the last column n."""
    statistics = tuple(dict.fromkeys(number.statistic for number in numbers))
    intervals = len(statistics) <= _MOST_WITH_INTERVALS
    rows: dict[tuple[str, str], dict[str, Number]] = {}
    for number in numbers:
        rows.setdefault((number.set, number.item), {})[number.statistic] = number
    item = ("",) if any(name for _, name in rows) else ()
    table = _table(("set", *item, *(f">{name}" for name in statistics), ">n"))
    for (of, name), found in rows.items():
        cells = [_cell(found.get(statistic), intervals) for statistic in statistics]
        first = next(iter(found.values()))
        count = f"{first.n} {first.of}" + (f"\nin {first.sessions}" if first.of != "sessions" else "")
        table.add_row(Text(printable(of)), *([Text(printable(name))] if item else []), *cells, Text(count))
    return table


def _cell(number: Number | None, interval: bool) -> Text:
    if number is None:
        return Text("")
    text = Text(_value(number.value, number.unit))
    if interval and number.low is not None and number.high is not None:
        text.append(f"\n{_value(number.low, number.unit)} to {_value(number.high, number.unit)}", style="dim")
    return text


def _value(value: float | None, unit: str) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    if unit == "share":
        return f"{value * 100:.1f} %"
    if unit in ("B", "B/s"):  # decimal, as the published values
        value, unit = value / 1e6, f"M{unit}"
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    text = f"{value:.{digits}f}" if not (unit == "" and value == int(value)) else str(int(value))
    return f"{text} {unit}".rstrip()


def _oddities_table(oddities: Oddities) -> Table:
    table = _table(("oddity", ">count", ">runs", "meaning", "first"))
    for name in oddities.names():
        example = shorten(printable(oddities.example(name)), _EXAMPLE_WIDTH)
        count, runs = str(oddities.count(name)), str(len(oddities.runs(name)))
        table.add_row(Text(name), count, runs, Text(MEANINGS[name]), Text(example))
    return table


def _number_json(number: Number) -> Json:
    finite: Json = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in asdict(number).items()
    }
    return finite


def _table(columns: Iterable[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        right = name.startswith(">")
        table.add_column(name.removeprefix(">"), justify="right" if right else "left", overflow="fold")
    return table


def _width() -> int:
    return max(shutil.get_terminal_size((_PIPE_WIDTH, 24)).columns, 60) if sys.stdout.isatty() else _PIPE_WIDTH
