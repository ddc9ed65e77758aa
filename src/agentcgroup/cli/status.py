"""``agentcgroup status``: the daemon, the memory of the host, and the sessions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from agentcgroup.cli.asking import NoDaemon, as_json, ask, sizes, with_socket


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@with_socket
@as_json
def command(socket: Path | None, as_json: bool) -> None:
    """Show the daemon: host memory, policy, enforcer, and the sessions that it decides for.

    Users see their own sessions, root those of all.

    \b
    The columns of the sessions:
      session    its name
      priority   low, normal or high: `agentcgroup session set-priority`
      memory     in use by the agent and its calls, of the session's budget
                 (-: not known, since the memory controller is missing)
      calls      running, frozen by the policy, waiting to begin
      state      frozen: an operator holds its calls; no control: its memory
                 cannot be controlled where it runs, so no policy decides over it
      joined     how long ago
      command    of the agent

    \b
    Exit status: 0 shown; 3 no daemon is running; 1 it is there and does not answer.

    \b
    Example: who uses the memory, and is a daemon there at all:
      agentcgroup status
      agentcgroup status --json | jq '.sessions[] | {name, memory_bytes}'
      agentcgroup status >/dev/null || echo "status $?: no daemon"
    """
    try:
        status = ask("status", socket)
    except NoDaemon as error:
        if as_json:
            click.echo(json.dumps({"v": 1, "running": False, "message": error.message, "fix": error.fix}))
        raise
    sessions = ask("list", Path(status["socket"]))["sessions"]
    if as_json:
        click.echo(json.dumps({**status, "running": True, "sessions": sessions}))
        return
    from agentcgroup.cli.session_tables import print_sessions

    for label, text in _lines(status):
        click.echo(f"  {label:<12}{text}".rstrip())
    if sessions:
        click.echo()
        print_sessions(sessions)


def _with_reason(what: str, why: str) -> str:
    from agentcgroup.trace.text import printable

    return f"{what} ({printable(why)})" if why else what


def _lines(status: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What there is to say of the daemon itself, as label and text."""
    from agentcgroup.cli.session_tables import plural
    from agentcgroup.trace.text import printable
    from agentcgroup.units import format_duration

    click.echo(f"daemon {status['pid']}, up {format_duration(status['up_s'])}, version {status['agentcgroup_version']}")
    host = status["host"]
    reserve = status["reserve_bytes"]
    free = f"{sizes(host['available_bytes'], host['memory_bytes'])} available"
    lines = [
        ("socket", printable(status["socket"])),
        ("config", printable(", ".join(status["config"])) or "none: defaults"),
        ("host", free + (f", {sizes(reserve)} of it reserved" if reserve else "")),
        ("policy", printable(status["policy"])),
        ("enforcer", status["enforcer"]),
        ("scheduler", _with_reason(status["scheduler"], status["scheduler_why"])),
        ("sessions", f"{plural(status['sessions'], 'session')}, {sizes(status['memory_bytes'] or None)} in use"),
        ("calls", f"{status['calls']} running, {status['frozen']} frozen, {status['waiting']} waiting"),
    ]
    counts = status["counts"]
    if counts is not None:
        done = ", ".join(plural(counts[f"{what}s"], what) for what in ("decision", "action", "kill"))
        failed = f"; the policy FAILED {counts['failures']} times: see its log" if counts["failures"] else ""
        lines.append(("done", done + failed))
    return lines
