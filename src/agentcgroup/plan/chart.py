"""An answer for people: a table, a chart with intervals, and what is to be said of it; and for machines."""

from __future__ import annotations

import textwrap

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agentcgroup.plan.answer import Answer, Row
from agentcgroup.plan.question import Question
from agentcgroup.trace.text import printable
from agentcgroup.units import format_duration, format_size

JSON_VERSION = 1
_CHART = 56  # characters


def answer_json(question: Question, answer: Answer) -> dict[str, object]:
    """Everything that is printed, in bytes and seconds; ``interval`` is null where there is none."""
    return {
        "set": answer.set,
        "sessions": answer.sessions,
        "trace_hours": answer.demand.hours,
        "memory_mean_bytes": answer.demand.memory_bytes,
        "cores_mean": answer.demand.cores,
        "agents_by_cpu": answer.by_cpu,
        "confidence": confidence(question),
        "ways": [_row_json(question, row) for row in answer.rows],
        "together": [
            {
                "together": str(found.job.together),
                "policy": found.job.policy,
                "agents": found.agents,
                "bound": found.bound,
                "tried": [step.to_json() for step in found.steps],
            }
            for found in answer.together
        ],
        "notes": list(answer.notes),
    }


def confidence(question: Question) -> float:
    """Of the intervals: from the least to the most of so many replicates."""
    return max(0.0, (question.replicates - 1) / (question.replicates + 1))


def print_answer(console: Console, question: Question, answer: Answer) -> None:
    """The tables, the chart and the notes."""
    demand = answer.demand
    cores = "CPU not known" if demand.cores is None else f"{demand.cores:.3g} cores"
    console.print(
        Text(
            f"{printable(answer.set)}: {answer.sessions} sessions, on the average "
            f"{format_size(demand.memory_bytes)} and {cores} each",
            style="bold",
        )
    )
    console.print(_table(question, answer))
    console.print()
    console.print(_chart(answer))
    console.print()
    console.print(_together(answer))
    console.print()
    for note in answer.notes:
        console.print(Text(textwrap.fill(note, console.width - 2, initial_indent="* ", subsequent_indent="  ")))


def _table(question: Question, answer: Answer) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    interval = f"{confidence(question):.0%} interval"
    for name in ("", "agents", interval, "bound by", "lost per session-hour", "slow-down", "held", "memory unused"):
        table.add_column(name, justify="left" if name in ("", "bound by") else "right")
    for row in answer.rows:
        between = "-" if row.interval is None else f"{row.interval[0]} to {row.interval[1]}"
        name = row.name if row.reserved_bytes is None else f"{row.name} ({format_size(row.reserved_bytes)})"
        slowdown = "-" if row.reserved_bytes is not None else f"{row.slowdown:.3f}"
        held = "-" if row.reserved_bytes is not None else f"{format_duration(row.held_s)}/h"
        table.add_row(
            Text(printable(name)), str(row.agents), between, row.bound, risk(row), slowdown, held, f"{row.wasted:.0%}"
        )
    return table


def risk(row: Row) -> str:
    """Such as ``0.57``, or ``< 0.001`` where nobody was lost."""
    if not row.rate.hours:
        return "-"
    return f"{row.rate.value:.2g}" if row.rate.events else f"< {row.rate.most:.2g}"


def _chart(answer: Answer) -> Text:
    """A bar of agents for each way, with its interval."""
    most = max(max(row.agents, row.interval[1] if row.interval else 0) for row in answer.rows) or 1
    width = max(len(row.name) for row in answer.rows)
    text = Text()
    for row in answer.rows:
        cells = ["█"] * round(_CHART * row.agents / most)
        cells += [" "] * (_CHART + 1 - len(cells))
        if row.interval is not None:
            low, high = (min(_CHART, round(_CHART * value / most)) for value in row.interval)
            for at in range(low, high + 1):
                cells[at] = "─" if cells[at] == " " else "▒"
            cells[low], cells[high] = "├", "┤"
            if low == high:
                cells[low] = "│"
        text.append(f"{row.name:<{width}}  {''.join(cells)} {row.agents}\n")
    text.rstrip()
    return text


def _together(answer: Answer) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("sessions begin", "agents", "bound by"):
        table.add_column(name, justify="right" if name == "agents" else "left")
    words = {"independent": "each at its own time", "half": "half of them at once", "all": "all at once"}
    for found in answer.together:
        table.add_row(words[found.job.together], str(found.agents), found.bound)
    return table


def _row_json(question: Question, row: Row) -> dict[str, object]:
    rate = row.rate
    return {
        "name": row.name,
        "agents": row.agents,
        "interval": None if row.interval is None else list(row.interval),
        "bound": row.bound,
        "lost": rate.events,
        "session_hours": rate.hours,
        "risk_per_session_hour": rate.value if rate.hours else None,
        "risk_at_most": rate.most if rate.hours else None,
        "keeps_risk": rate.hours > 0 and rate.value <= question.risk,
        "risk_resolved": rate.resolves(question.risk),
        "slowdown": row.slowdown,
        "held_s_per_session_hour": row.held_s,
        "memory_unused_share": row.wasted,
        "reserved_bytes": row.reserved_bytes,
    }
