"""The comparison of two sets as a table for the terminal, with what it comes to in words."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agentcgroup.study.compare import FEWEST, Difference, Verdict, by_chance
from agentcgroup.study.number import Number
from agentcgroup.study.oddities import Oddities
from agentcgroup.study.report.data import name_of
from agentcgroup.study.report.words import amount, interval

_PIPE_WIDTH = 160


def print_differences(a: str, b: str, found: Sequence[Difference], oddities: Oddities) -> None:
    """The table, the summary, and how many oddities there were."""
    width = shutil.get_terminal_size((_PIPE_WIDTH, 24)).columns if sys.stdout.isatty() else _PIPE_WIDTH
    console = Console(width=max(width, 60), highlight=False, emoji=False, markup=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("measure", overflow="fold")
    for title in ("statistic", name_of(a), name_of(b), "B - A", "95 % interval", "n", "verdict"):
        table.add_column(title, justify="left" if title in ("statistic", "verdict") else "right", overflow="fold")
    for one in found:
        table.add_row(*(Text(cell) for cell in _row(one)), style="" if one.verdict is Verdict.DIFFERS else "dim")
    console.print(table)
    console.print()
    console.print(Text(summary(a, b, found)))
    if oddities.found:
        names = ", ".join(f"{oddities.count(name)} {name}" for name in oddities.names())
        console.print(Text(f"What was odd about the traces ({names}) is explained by agentcgroup study."))


def summary(a: str, b: str, found: Sequence[Difference]) -> str:
    """What the differences come to, in sentences."""
    by = {verdict: [one for one in found if one.verdict is verdict] for verdict in Verdict}
    differ, tested = by[Verdict.DIFFERS], len(by[Verdict.DIFFERS]) + len(by[Verdict.NOISE])
    parts = [f"A is {name_of(a)}, B is {name_of(b)}."]
    if differ:
        names = ", ".join(dict.fromkeys(f"{one.measure} ({_direction(one)})" for one in differ))
        parts.append(f"{len(differ)} of {tested} differences are more than noise: {names}.")
        parts.append(f"Were there none at all, about {by_chance(found):.0f} of {tested} would look so by chance.")
    elif tested:
        parts.append(f"None of {tested} differences is more than noise.")
    if by[Verdict.TOO_FEW]:
        parts.append(f"{len(by[Verdict.TOO_FEW])} cannot be told: a set has fewer than {FEWEST} sessions there.")
    unlike = list(dict.fromkeys(f"{one.measure}: {one.why}" for one in by[Verdict.UNLIKE]))
    if unlike:
        parts.append("Not compared: " + " ".join(unlike))
    return " ".join(parts)


def _direction(one: Difference) -> str:
    return "higher in B" if (one.difference or 0.0) > 0 else "lower in B"


def _row(one: Difference) -> tuple[str, ...]:
    gap = Number("", "", "", "", one.unit, one.difference, one.low, one.high, 0, "", 0)
    by = amount(one.difference, one.unit)
    if one.unit == "share":
        by = by.replace("%", "points")
    values = (amount(one.a, one.unit), amount(one.b, one.unit), by)
    return one.measure, one.statistic, *values, interval(gap), f"{one.n_a}, {one.n_b}", one.verdict.value
