"""`agentcgroup call`: for the hooks of agents that type all their commands into one shell."""

from __future__ import annotations

import os
from pathlib import Path

import click

from agentcgroup.errors import UsageError


@click.group(short_help="Open and close a call in a shell that stays, from an agent's hooks.")
def command() -> None:
    """Tell the commands apart that an agent types into one shell, from its hooks.

    \b
    Before a command is typed and after it has ended:
      id=$(agentcgroup call open --pid "$SHELL_PID" --command "make test")
      agentcgroup call close "$id" --status "$?"

    In between what the shell starts is a call like any other: limited, metered, recorded. The shell itself is never
    killed with it. Only within a session of `agentcgroup run`.
    """


@command.command("open", short_help="A command is about to be typed; prints the id of its call.")
@click.option("--command", "text", required=True, metavar="TEXT", help="The command, for the record and for advice.")
@click.option("--pid", type=int, help="The shell it will be typed into.  [default: the parent of this process]")
@click.option("--tool-call-id", default="", metavar="ID", help="The agent's own id of this call.")
def open_(text: str, pid: int | None, tool_call_id: str) -> None:
    """Open a call in the shell PID, which stays. Prints its id when the shell is ready for the command."""
    from agentcgroup.client.hook import open_call

    hint = os.environ.get("AGENT_RESOURCE_HINT", "")
    click.echo(open_call(_socket(), os.getppid() if pid is None else pid, text, tool_call_id, hint))


@command.command(short_help="That command has ended; prints what the agent should be told, if anything.")
@click.argument("call_id", metavar="ID")
@click.option("--status", type=click.IntRange(0, 255), default=0, help="Its exit status.")
def close(call_id: str, status: int) -> None:
    """Close the call ID. Prints what the agent should be told of it: nothing, or two lines."""
    from agentcgroup.client.hook import close_call

    click.echo(close_call(_socket(), call_id, status), nl=False)


def _socket() -> Path:
    session = os.environ.get("AGENTCGROUP_SESSION", "")
    if not session:
        raise UsageError("this is no session of agentcgroup", "use it in what `agentcgroup run` has started")
    from agentcgroup.domain.rundir import socket_of

    return socket_of(session)
