"""``agentcgroup session``: the sessions that have joined the daemon, seen and steered by an operator."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from agentcgroup.cli.asking import as_json, ask, with_socket
from agentcgroup.errors import HostError

_HELP = {"help_option_names": ["-h", "--help"]}
_SEEN_WITHIN_S = 3.0  # a session says that it has another priority
_LOOK_EVERY_S = 0.05


@click.group(context_settings=_HELP)
def command() -> None:
    """List and steer the sessions that have joined the daemon.

    Users see and steer their own sessions, root those of all. What is done to a session is recorded in its trace.

    \b
    Exit status: 0 done; 3 no daemon is running; 1 there is no such session, or it
    was refused; 2 wrong usage.

    \b
    Example: let one session wait while another one finishes:
      agentcgroup session list
      agentcgroup session freeze nightly --reason "the release goes first"
      agentcgroup session thaw nightly
    """


@command.command("list", context_settings=_HELP, short_help="List the sessions, the fullest first.")
@with_socket
@as_json
def list_(socket: Path | None, as_json: bool) -> None:
    """List the sessions, the fullest first.

    The columns are those of `agentcgroup status`.

    \b
    Example: the names of all sessions that hold more than a GiB:
      agentcgroup session list --json |
        jq -r '.sessions[] | select(.memory_bytes > 1073741824) | .name'
    """
    answer = ask("list", socket)
    if as_json:
        click.echo(json.dumps({"v": 1, **answer}))
    elif answer["sessions"]:
        from agentcgroup.cli.session_tables import print_sessions

        print_sessions(answer["sessions"])
    else:
        click.echo("no session has joined the daemon")


@command.command(context_settings=_HELP, short_help="Show a session and its calls.")
@click.argument("name")
@with_socket
@as_json
def show(name: str, socket: Path | None, as_json: bool) -> None:
    """Show the session NAME and its running calls.

    \b
    Example:
      agentcgroup session show nightly
      agentcgroup session show nightly --json | jq '.session.calls[].memory_bytes'
    """
    answer = ask("show", socket, name)
    if as_json:
        click.echo(json.dumps({"v": 1, **answer}))
        return
    from agentcgroup.cli.session_tables import print_session

    print_session(answer["session"])


@command.command("set-priority", context_settings=_HELP, short_help="Give a session another priority.")
@click.argument("name")
@click.argument("priority", type=click.Choice(["low", "normal", "high"]))
@with_socket
@as_json
def set_priority(name: str, priority: str, socket: Path | None, as_json: bool) -> None:
    """Give the session NAME another PRIORITY: low, normal or high.

    When memory gets short, calls of lower priority are slowed, frozen and killed first, and wait longer.
    With memory free, the priority changes nothing.

    \b
    Example:
      agentcgroup session set-priority nightly low
    """
    ask("set-priority", socket, name, priority)
    deadline = time.monotonic() + _SEEN_WITHIN_S
    while ask("show", socket, name)["session"]["priority"] != priority:
        if time.monotonic() > deadline:
            raise HostError(
                f"session {name} was told, and has not said yet that its priority is {priority}",
                f"`agentcgroup session show {name}` says when",
            )
        time.sleep(_LOOK_EVERY_S)
    _done(as_json, name, "set-priority", f"session {name} has priority {priority} now")


@command.command(context_settings=_HELP, short_help="Freeze all calls of a session.")
@click.argument("name")
@click.option("--reason", default="", metavar="TEXT", help="For the trace.")
@with_socket
@as_json
def freeze(name: str, reason: str, socket: Path | None, as_json: bool) -> None:
    """Freeze all calls of the session NAME, until `thaw`. The agent itself is never frozen.

    A frozen call keeps its memory and does nothing. Its agent may give it up when it takes longer than the agent's
    own timeout. When the daemon ends, or the session loses it, the calls go on by themselves.

    \b
    Example:
      agentcgroup session freeze nightly --reason "the release goes first"
    """
    ask("freeze", socket, name, reason)
    _done(as_json, name, "freeze", f"the calls of session {name} are being frozen; `agentcgroup session thaw {name}`")


@command.command(context_settings=_HELP, short_help="Let the calls of a frozen session go on.")
@click.argument("name")
@click.option("--reason", default="", metavar="TEXT", help="For the trace.")
@with_socket
@as_json
def thaw(name: str, reason: str, socket: Path | None, as_json: bool) -> None:
    """Let the calls of the session NAME go on that `freeze` has stopped.

    \b
    Example:
      agentcgroup session thaw nightly
    """
    ask("thaw", socket, name, reason)
    _done(as_json, name, "thaw", f"the calls of session {name} go on")


@command.command(context_settings=_HELP, short_help="End a session.")
@click.argument("name")
@click.option("--reason", default="", metavar="TEXT", help="For the trace.")
@with_socket
@as_json
def end(name: str, reason: str, socket: Path | None, as_json: bool) -> None:
    """End the session NAME: its agent gets SIGTERM, and SIGKILL when it is still there after 10 s.

    Then all its calls are ended too, as at the end of any session, and the trace is complete.

    \b
    Example:
      agentcgroup session end nightly --reason "it has looped for an hour"
    """
    ask("end", socket, name, reason)
    _done(as_json, name, "end", f"session {name} is being ended")


def _done(as_json: bool, name: str, what: str, text: str) -> None:
    click.echo(json.dumps({"v": 1, "session": name, "done": what}) if as_json else text)
