"""``agentcgroup show``: a trace for people, and with ``--json`` for machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentcgroup.errors import TraceError, UsageError

if TYPE_CHECKING:
    from agentcgroup.trace.views import Call, Trace


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("trace", type=click.Path(path_type=Path))
@click.option("--call", "call_id", metavar="ID", help="Show one call in full.")
@click.option(
    "--sort",
    type=click.Choice(["start", "memory", "cpu", "time"]),
    default="start",
    show_default=True,
    help="Order of the calls; the largest first, but for start.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
def command(trace: Path, call_id: str | None, sort: str, as_json: bool) -> None:
    """Show TRACE: its session, its calls, or one call.

    TRACE is the folder that `agentcgroup run --trace` wrote. A folder that holds
    several traces is listed, one line each.

    \b
    The columns of the calls:
      call      its id; * marks the five with the largest memory peak
      start     since the session began
      time      from the start of the command to its end
      CPU       user and system time of the whole tree of the call
      peak      largest memory of the tree (~: sampled from /proc)
      outcome   ok, failed, oom (memory.events of its cgroup counted an oom_kill),
                killed (by the policy), pids (a fork was refused), timed-out,
                client-killed, session-ended, cut (the trace ends before it)
      command   the script of `bash -c`, else the command line

    A cut or damaged trace is shown as far as it is sound; one line on stderr says
    what is missing.

    \b
    Exit status: 0 shown; 1 TRACE cannot be read; 2 usage, or no such call.

    \b
    Example: which calls took the most memory, and what became of one of them:
      agentcgroup show traces/fix-tests --sort memory
      agentcgroup show traces/fix-tests --call c000007
      agentcgroup show traces/fix-tests --json | jq .sessions[0].summary
    """
    from agentcgroup.cli import show_json, show_tables
    from agentcgroup.trace.reader import is_trace, read_traces

    if not is_trace(trace) and _is_folder(trace):
        traces = read_traces(trace)
        if call_id is not None:
            raise UsageError(f"{trace} holds {len(traces)} traces", f"give one of them, such as {traces[0].folder}")
        if as_json:
            click.echo(json.dumps([show_json.trace_json(found, sort) for found in traces]))
        else:
            show_tables.print_overview(traces)
        for found in traces:
            report_damage(found)
        return
    found = open_trace(trace)
    if call_id is None:
        if as_json:
            click.echo(json.dumps(show_json.trace_json(found, sort)))
        else:
            show_tables.print_trace(found, sort)
        return
    call = _find(found, call_id)
    if as_json:
        click.echo(json.dumps(show_json.call_json(found, call)))
    else:
        show_tables.print_call(found, call)


def open_trace(folder: Path) -> Trace:
    """The trace in ``folder``, with a line on stderr on what it lacks; UsageError when the path is no folder."""
    from agentcgroup.trace.reader import read_trace

    try:
        trace = read_trace(folder)
    except TraceError as error:
        if _is_folder(folder):
            raise
        raise UsageError(error.message, error.fix) from error
    report_damage(trace)
    return trace


def report_damage(trace: Trace) -> None:
    """One line on stderr on what is not in the trace, if anything."""
    if text := trace.damage_text():
        from agentcgroup.trace.text import printable

        click.echo(f"agentcgroup: {trace.folder}: {printable(text)}", err=True)


def sorted_calls(calls: tuple[Call, ...], sort: str) -> list[Call]:
    """The calls in the order that ``--sort`` names; what the trace does not know comes last."""
    if sort == "memory":
        return sorted(calls, key=lambda call: -(call.usage.memory_peak_bytes or -1))
    if sort == "cpu":
        return sorted(calls, key=lambda call: -(call.usage.cpu_time_us or -1))
    if sort == "time":
        return sorted(calls, key=lambda call: -(call.duration_s or -1.0))
    return list(calls)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long, a folder above that may not be entered
        return False


def _find(trace: Trace, call_id: str) -> Call:
    for session in trace.sessions:
        if call := session.call(call_id):
            return call
    calls = trace.calls
    if not calls:
        raise UsageError(f"no call {call_id!r} in {trace.folder}", "it holds no calls")
    known = f"{calls[0].id} to {calls[-1].id}" if len(calls) > 1 else calls[0].id
    raise UsageError(f"no call {call_id!r} in {trace.folder}", f"it holds {known}: `agentcgroup show {trace.folder}`")
