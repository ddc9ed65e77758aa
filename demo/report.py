"""The demo's table and its report: one HTML page that a newcomer understands."""

from __future__ import annotations

import html
import platform
from collections.abc import Sequence
from pathlib import Path

from agentcgroup.trace.render import format_cpu
from agentcgroup.trace.text import printable, shorten
from agentcgroup.units import format_size
from demo.arms import CALL_MEMORY_MIB, MEMORY_MIB, PIDS, Ending

_ARMS = {"container": "container limit", "agentcgroup": "agentcgroup"}
_MISBEHAVES = {"runaway": "runaway", "forkbomb": "fork bomb"}
_COLUMNS = ("control", "agent's bad command", "commands run", "agent", "later failures", "left behind", "time")

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a }
table { border-collapse: collapse; margin: 1rem 0; width: 100% }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #ccc; vertical-align: top }
td.good { color: #00583a; font-weight: 600 } td.bad { color: #a40000; font-weight: 600 }
pre { background: #f4f4f4; padding: .8rem; overflow-x: auto; white-space: pre-wrap }
code { background: #f4f4f4; padding: 0 .2rem }
"""


def rows(endings: Sequence[Ending]) -> list[tuple[str, ...]]:
    """One row per agent and arm, in the order of the columns."""
    return [
        (
            _ARMS[ending.arm],
            _MISBEHAVES[ending.agent],
            f"{ending.done} of {ending.commands}",
            fate(ending),
            str(ending.failed_after),
            "nothing" if not ending.left_behind else f"{ending.left_behind} processes",
            f"{ending.seconds:.1f} s",
        )
        for ending in endings
    ]


def fate(ending: Ending) -> str:
    """How the agent came through, in two or three words."""
    if ending.finished and ending.status == 0:
        return "finished"
    if ending.status is None:
        return "stuck"
    if ending.status in (-9, 137):
        return "killed with its command"
    return "could not finish"


def text_table(endings: Sequence[Ending]) -> str:
    """The table for a terminal."""
    lines = [_COLUMNS, *rows(endings)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_COLUMNS))]
    shown = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([shown[0], "-" * len(shown[0]), *shown[1:]])


def write_html(endings: Sequence[Ending], path: Path) -> None:
    """The report as one page without a server."""
    body = [
        "<h1>Two agents, each with one bad command</h1>",
        "<p>An AI agent runs shell commands: tests, builds, searches. Here two small agents run six commands each. "
        "The third command of the one allocates memory without end, that of the other starts processes without end. "
        f"Both agents get the same amounts in both arms: {MEMORY_MIB} MiB of memory and {PIDS} processes.</p>",
        "<ul><li><b>container limit</b>: agent and commands share one cgroup with <code>memory.max</code>, "
        "<code>memory.oom.group</code> and <code>pids.max</code>, as a container runtime sets it.</li>"
        "<li><b>agentcgroup</b>: the agent has a cgroup of its own, and so has every command "
        f"(at most {CALL_MEMORY_MIB} MiB each).</li></ul>",
        _table(_COLUMNS, rows(endings), fate_column=3),
        "<h2>What the agents were told</h2>",
        *(_told(ending) for ending in endings),
        *(_calls(ending) for ending in endings if ending.calls),
        f"<p>Measured on Linux {html.escape(platform.release())}, {platform.machine()}, by <code>make demo</code>.</p>",
    ]
    page = f"<!doctype html><meta charset=utf-8><title>agentcgroup demo</title><style>{_STYLE}</style>"
    path.write_text(page + "\n".join(body) + "\n", encoding="utf-8")


def _told(ending: Ending) -> str:
    text = ending.told[-700:] or "(nothing: the agent was gone, or its command said nothing)"
    return f"<h3>{_ARMS[ending.arm]}, {_MISBEHAVES[ending.agent]}</h3><pre>{html.escape(text)}</pre>"


def _calls(ending: Ending) -> str:
    lines = [
        (
            call.id,
            shorten(printable(call.command), 60),
            call.outcome.value,
            format_size(call.usage.memory_peak_bytes),
            format_cpu(call.usage.cpu_time_us),
        )
        for call in ending.calls
    ]
    heading = f"<h2>Every call of the agent with the {_MISBEHAVES[ending.agent]} command, from its trace</h2>"
    return heading + _table(("call", "command", "outcome", "memory peak", "CPU"), lines, fate_column=2)


def _table(columns: Sequence[str], lines: Sequence[Sequence[str]], fate_column: int) -> str:
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = []
    for line in lines:
        cells = []
        for number, cell in enumerate(line):
            good = "good" if cell in ("finished", "ok") else "bad"
            mark = f' class="{good}"' if number == fate_column else ""
            cells.append(f"<td{mark}>{html.escape(cell)}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table><tr>{head}</tr>{''.join(body)}</table>"
