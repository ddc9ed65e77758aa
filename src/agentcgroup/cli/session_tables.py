"""The tables of `agentcgroup status` and `agentcgroup session`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from agentcgroup.cli.asking import console, sizes
from agentcgroup.trace.text import printable, shorten
from agentcgroup.units import format_duration, format_size

_COMMAND = 60  # characters of a command line in a table


def print_sessions(sessions: Sequence[Mapping[str, Any]]) -> None:
    """One line per session, the fullest first."""
    several_users = len({session["uid"] for session in sessions}) > 1
    heads = [
        "session",
        *(["user"] if several_users else []),
        "priority",
        "memory",
        "calls",
        "state",
        "joined",
        "command",
    ]
    table = _table(heads)
    for session in sorted(sessions, key=lambda one: -one["memory_bytes"]):
        table.add_row(
            Text(printable(session["name"])),
            *([str(session["uid"])] if several_users else []),
            session["priority"],
            _memory(session),
            _calls(session),
            _state(session),
            format_duration(session["joined_s"]),
            Text(shorten(printable(session["command"]), _COMMAND)),
        )
    console().print(table)


def print_session(session: Mapping[str, Any]) -> None:
    """One session in full, with its calls."""
    click.echo(f"session {printable(session['name'])}")
    lines = [
        ("command", printable(session["command"])),
        ("agent", f"{printable(session['agent'])}, process {session['pid']} of user {session['uid']}"),
        ("priority", session["priority"]),
        ("memory", _memory(session)),
        ("agent uses", "-" if session["support"] != "full" else format_size(session["agent_bytes"])),
        ("calls", _calls(session)),
        ("state", _state(session)),
        ("kills", str(session["kills"])),
        ("joined", f"{format_duration(session['joined_s'])} ago, last heard {format_duration(session['heard_s'])} ago"),
        ("enforcer", session["enforcer"]),
        ("trace", printable(session["trace"])),
    ]
    for label, text in lines:
        click.echo(f"  {label:<12}{text}".rstrip())
    if session["support"] != "full":
        click.echo(f"  {WITHOUT_CONTROL[session['support'] == 'process']}")
    if session["calls"]:
        console().print(_calls_table(session))


WITHOUT_CONTROL = {
    False: "its memory cannot be controlled where it runs, so no policy decides over it; it can be frozen and ended",
    True: "there were no cgroups where it began, so nothing decides over it; it can only be ended",
}


def plural(count: int, what: str) -> str:
    """``1 session``, ``2 sessions``."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _calls_table(session: Mapping[str, Any]) -> Table:
    table = _table(["call", "priority", "time", "memory", "expected", "state"])
    known = session["support"] == "full"
    for call in session["calls"]:
        most = call["max_bytes"]
        table.add_row(
            call["call"],
            call["priority"],
            format_duration(call["running_s"]),
            sizes(call["memory_bytes"], most) if known else "-",
            format_size(call["expected_bytes"]),
            "frozen" if call["frozen"] else "background" if call["background"] else "running",
        )
    return table


def _memory(session: Mapping[str, Any]) -> str:
    return "-" if session["support"] != "full" else sizes(session["memory_bytes"], session["budget_bytes"])


def _calls(session: Mapping[str, Any]) -> str:
    parts = [f"{session['running']} running"]
    parts += [f"{session[name]} {name}" for name in ("frozen", "waiting") if session[name]]
    return ", ".join(parts)


def _state(session: Mapping[str, Any]) -> str:
    if session["held"]:
        return "frozen"
    return "" if session["support"] == "full" else "no control"


def _table(heads: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for head in heads:
        table.add_column(head, no_wrap=head != "command", overflow="fold")
    return table
