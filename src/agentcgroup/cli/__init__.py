"""The command line. Commands are imported only when they are called, so that `--help` stays fast."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from agentcgroup import __version__
from agentcgroup.errors import AgentcgroupError

# verb -> module with a click command or group named `command`, one line for the overview
_COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("agentcgroup.cli.run", "Run an agent; every tool call gets a domain of its own."),
    "call": ("agentcgroup.cli.call", "Open and close a call in a shell that stays, from an agent's hooks."),
    "show": ("agentcgroup.cli.show", "Show a trace: sessions, calls, one call."),
    "export": ("agentcgroup.cli.export", "Export a trace to perfetto, csv or parquet."),
    "daemon": ("agentcgroup.cli.daemon", "Decide for all sessions of this host, as a service."),
    "status": ("agentcgroup.cli.status", "Show the daemon and the sessions that it decides for."),
    "session": ("agentcgroup.cli.sessions", "List and steer the sessions that have joined the daemon."),
    "kill-log": ("agentcgroup.cli.kill_log", "Show what was killed, and why."),
    "config": ("agentcgroup.cli.config", "Check the configuration, or show it."),
    "study": ("agentcgroup.cli.study", "Characterize sessions from their traces."),
    "simulate": ("agentcgroup.cli.simulate", "Play sessions against policies in virtual time."),
    "plan": ("agentcgroup.cli.plan", "Say how many agents such as those in traces a host carries."),
    "doctor": ("agentcgroup.cli.doctor", "Say what this host offers and how to get the rest."),
    "lab": ("agentcgroup.cli.lab", "Run a command on a modern kernel in a small virtual machine."),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = importlib.import_module(_COMMANDS[cmd_name][0]).command
        if not isinstance(command, click.Command):
            raise TypeError(f"{_COMMANDS[cmd_name][0]}.command is not a click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="agentcgroup")
def cli() -> None:
    """Keep the tool calls of AI agents from taking down the agent or the host.

    \b
    Example: contain every command of an agent, 2 GiB a command:
      agentcgroup run --memory 4g --call-memory 2g -- claude -p "run the tests"
    """


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point: runs a command, prints an AgentcgroupError as one line, exits with its status."""
    try:
        cli.main(args=argv, prog_name="agentcgroup")
    except AgentcgroupError as error:
        click.echo(f"agentcgroup: {error}", err=True)
        sys.exit(error.exit_status)
