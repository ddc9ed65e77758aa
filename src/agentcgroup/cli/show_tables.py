"""The tables of ``agentcgroup show``."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agentcgroup.cli.show import sorted_calls
from agentcgroup.cli.show_json import call_events
from agentcgroup.model import Outcome, Usage, UsageSource
from agentcgroup.trace.records import Json, limits_json, to_json, usage_json
from agentcgroup.trace.render import format_cpu, format_end, render_text
from agentcgroup.trace.summary import HEAVIEST, summarize
from agentcgroup.trace.text import printable, shorten
from agentcgroup.trace.views import Call, Session, Trace
from agentcgroup.units import format_duration, format_size

_PIPE_WIDTH = 160  # where there is no terminal that would have one
_STYLES = {Outcome.OK: "green", Outcome.CUT: "dim"}  # any other: red
_LABEL_WIDTH = 24


def print_overview(traces: Iterable[Trace]) -> None:
    """One line per session of several traces."""
    table = _table(("trace", "session", "agent", "begun (UTC)", ">time", ">calls", "ended"))
    for trace in traces:
        for session in trace.sessions:
            table.add_row(
                Text(printable(trace.folder.name)),
                Text(printable(session.name)),
                Text(printable(session.start.agent if session.start else "")),
                Text(printable(session.start_wall[:19].replace("T", " "))),
                format_duration(session.duration_s),
                str(len(session.calls)),
                _ended(session),
            )
        if not trace.sessions:
            table.add_row(Text(printable(trace.folder.name)), "", "", "", "", "0", "no record")
    _console().print(table)


def print_trace(trace: Trace, sort: str) -> None:
    """Each session of a trace: its summary, then its calls."""
    for session in trace.sessions:
        _print_session(session)
        if session.calls:
            _console().print(_calls_table(session, sort))


def print_call(trace: Trace, call: Call) -> None:
    """One call in full."""
    session = next(found for found in trace.sessions if found.id == call.session)
    click.echo(f"call {printable(call.id)} of session {printable(session.name)}")
    for label, text in _call_lines(session, call):
        click.echo(f"  {label:<{_LABEL_WIDTH}}{printable(text)}".rstrip())
    for event in call_events(session, call):
        fields = to_json(event.body)
        what = ", ".join(
            f"{name} {value}" for name, value in fields.items() if name != "call" and value not in ("", None)
        )
        click.echo(f"  {event.kind:<{_LABEL_WIDTH}}{_exact(session, event.mono_ns)}: {printable(what)}")


def _print_session(session: Session) -> None:
    summary = summarize(session)
    click.echo(render_text(summary, _width()), nl=False)
    start = session.start
    if start is None:
        click.echo("  begun       not known: the record of its start is missing")
        return
    host = f"{start.host.hostname}, Linux {start.host.kernel}, {start.host.cpus or '?'} CPUs"
    for label, text in (
        ("begun", f"{session.start_wall[:19].replace('T', ' ')} UTC"),
        ("command", " ".join(start.argv)),
        ("host", f"{host}, {format_size(start.host.memory_bytes)}"),
    ):
        click.echo(shorten(f"  {label:<12}{printable(text)}", _width()))
    click.echo()


def _calls_table(session: Session, sort: str) -> Table:
    table = _table(("call", ">start", ">time", ">CPU", ">peak", "outcome", "command"))
    heavy = _heaviest(session)
    width = _width()
    for call in sorted_calls(session.calls, sort):
        mark = "*" if call.id in heavy else ""
        started = call.started_ns
        table.add_row(
            Text(printable(call.id) + mark, style="bold" if mark else ""),
            "-" if started is None else _offset(session, started),
            format_duration(call.duration_s),
            format_cpu(call.usage.cpu_time_us),
            Text(_peak(call.usage), style="bold" if mark else ""),
            _outcome(call),
            Text(shorten(printable(call.command), width)) if call.start else Text("(not known)", style="dim"),
        )
    return table


def _heaviest(session: Session) -> set[str]:
    peaks = sorted(((call.usage.memory_peak_bytes or 0, call.id) for call in session.calls), reverse=True)
    return {call for peak, call in peaks[:HEAVIEST] if peak}


def _outcome(call: Call) -> Text:
    kept = f" +{call.end.leftovers.kept} kept" if call.end and call.end.leftovers.kept else ""
    unmanaged = " (no domain)" if call.start and not call.start.managed else ""
    status = ""
    if call.end is not None and call.outcome is Outcome.FAILED:
        status = f" (signal {call.end.signal})" if call.end.signal else f" ({call.end.status})"
    return Text(f"{call.outcome}{status}{kept}{unmanaged}", style=_STYLES.get(call.outcome, "red"))


def _peak(usage: Usage) -> str:
    sampled = "~" if usage.source is not UsageSource.CGROUP and usage.memory_peak_bytes is not None else ""
    return sampled + format_size(usage.memory_peak_bytes)


def _call_lines(session: Session, call: Call) -> Iterable[tuple[str, str]]:
    start, end = call.start, call.end
    if start is not None:
        cut = f" … (cut: {start.argv_bytes} bytes in all)" if call.argv_cut else ""
        yield "command", call.command + cut
        yield "argv", " ".join(map(repr, start.argv)) + cut
        yield "in", start.cwd
        yield "agent", f"{start.agent} {start.tool_call_id}".rstrip()
        yield "domain", "a leaf of its own" if start.managed else "none of its own (unmanaged)"
        if start.caught:
            late = (start.placed_ns - start.started_ns) / 1e9
            yield "caught", f"by {start.caught}" + (f", {format_duration(late)} after it began" if late > 0 else "")
        yield "pid", f"{start.pid} (client {start.client_pid})"
        yield "requested", _exact(session, start.requested_ns)
        yield "started", _exact(session, start.started_ns)
    else:
        yield "command", "not known: the record of its start is missing"
    if end is not None:
        yield "ended", _exact(session, end.ended_ns)
        yield "returned", _exact(session, end.returned_ns)
        yield "time", format_duration(call.duration_s)
        yield "outcome", f"{end.outcome}: {end.reason}" if end.reason else end.outcome
        yield "status", format_end(end.status, end.signal)
        pids = ", ".join(map(str, end.leftovers.kept_pids))
        if end.programs:
            yield "programs", " ".join(end.programs)
        yield "leftovers", f"{end.leftovers.killed} killed, {end.leftovers.kept} kept{f' ({pids})' if pids else ''}"
    else:
        yield "outcome", "cut: the trace ends before the call does"
    yield from _section("limits", limits_json(call.limits) if start else {})
    yield from _section("usage", usage_json(call.usage) if end else {})
    if call.background is not None and call.background_end_ns is not None:
        yield "background ended", f"{_exact(session, call.background_end_ns)}: {call.background.reason}"
        yield from _section("with background", usage_json(call.background.usage))


def _section(title: str, fields: Json) -> Iterable[tuple[str, str]]:
    """The fields that are known, sizes and times in words, indented below a title."""
    known = [(name, value) for name, value in fields.items() if value is not None]
    if known:
        yield title, ""
    for name, value in known:
        label = f"  {name.removesuffix('_bytes').removesuffix('_us')}"
        if isinstance(value, int) and name.endswith("_bytes"):
            yield label, f"{format_size(value)} ({value} bytes)"
        elif isinstance(value, int) and name.endswith("_us"):
            yield label, format_cpu(value)
        else:
            yield label, str(value)


def _ended(session: Session) -> str:
    return "cut" if session.end is None else format_end(session.end.status, session.end.signal)


def _offset(session: Session, instant_ns: int) -> str:
    return f"+{format_duration(max(instant_ns - session.first_ns, 0) / 1e9)}"


def _exact(session: Session, instant_ns: int) -> str:
    """As `_offset`, to the microsecond: what lies between two instants of one call may be short."""
    return f"+{max(instant_ns - session.first_ns, 0) / 1e9:.6f} s"


def _table(columns: Iterable[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        right = name.startswith(">")
        last = name in ("command", "ended")
        table.add_column(
            name.removeprefix(">"),
            justify="right" if right else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if last else None,
        )
    return table


def _console() -> Console:
    return Console(width=_width(), highlight=False, emoji=False, markup=False)


def _width() -> int:
    return max(shutil.get_terminal_size((_PIPE_WIDTH, 24)).columns, 60) if sys.stdout.isatty() else _PIPE_WIDTH
