"""`agentcgroup run`: an agent under control. Parses and checks; the work is in controller/."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from agentcgroup.errors import UsageError
from agentcgroup.units import parse_duration, parse_size

_EPILOG = """\b
Examples:
  agentcgroup run -- claude -p "fix the failing test"
  agentcgroup run --memory 4g --call-memory 2g --call-timeout 10m -- npx codex exec "run the tests"
  agentcgroup run --trace traces/today --json -- python my_agent.py
  agentcgroup run --daemon require --priority high -- claude -p "deploy"

\b
Exit status: that of COMMAND; 128 + N when signal N killed it; 2 for wrong usage;
126 when COMMAND cannot be executed, 127 when it is not found.
"""


class _Converted(click.ParamType[Any]):
    """An option whose text is parsed by one of our own functions, which say how to mend it."""

    def __init__(self, name: str, parse: Any) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except UsageError as error:
            raise UsageError(f"{param.opts[0] if param else 'value'}: {error.message}", error.fix) from None


SIZE = _Converted("SIZE", parse_size)
DURATION = _Converted("DURATION", parse_duration)


@click.command(
    epilog=_EPILOG,
    context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False},
    short_help="Run an agent; every tool call gets a domain of its own.",
)
@click.option("--memory", type=SIZE, help="Memory budget of the session, such as 4g.  [default: 80% of the host's]")
@click.option("--call-memory", type=SIZE, help="Most memory of one call.  [default: all that the calls may use]")
@click.option("--call-swap", type=SIZE, help="Most swap of one call.  [default: none]")
@click.option(
    "--cpu-weight",
    type=int,
    metavar="N",
    help="cgroup v2 cpu.weight of the session, 1 to 10000.  [default: by --priority: 25, 100 or 400]",
)
@click.option("--pids", type=int, metavar="N", default=4096, show_default=True, help="Most processes of the session.")
@click.option(
    "--call-pids", type=int, metavar="N", help="Most processes of one call.  [default: half of the session's]"
)
@click.option("--call-timeout", type=DURATION, help="Longest time of one call, such as 10m.  [default: no limit]")
@click.option(
    "--keep-background",
    type=DURATION,
    default="1h",
    show_default=True,
    help="How long what a call started to stay (nohup, setsid) may stay; 0 keeps nothing.",
)
@click.option(
    "--agent",
    default="auto",
    show_default=True,
    help="auto, claude, codex, opencode, gemini, mini, openhands, swe-rex, aider, inspect, generic or "
    "command (COMMAND itself is the agent, even if it is a shell script).",
)
@click.option("--name", help="Name of the session.  [default: made from the time]")
@click.option("--trace", type=click.Path(path_type=Path), help="Folder for the trace; must not exist or be empty.")
@click.option("--sample-hz", type=float, default=10.0, show_default=True, help="Samples per second, 0 for none.")
@click.option(
    "--placement",
    type=click.Choice(["auto", "mount", "path"]),
    default="auto",
    show_default=True,
    help="How shells are caught: in a private mount namespace, or by PATH and SHELL.",
)
@click.option(
    "--track",
    type=click.Choice(["auto", "on", "off"]),
    default="auto",
    show_default=True,
    help="Catch commands that run past our stand-ins for the shells, by what the kernel tells (root, libbpf 1.4).",
)
@click.option(
    "--scheduler",
    type=click.Choice(["default", "sched_ext"]),
    default="default",
    show_default=True,
    help="Who divides the CPU among calls: the kernel's scheduler, or ours in the kernel (Linux 6.12, root).",
)
@click.option(
    "--enforcer",
    type=click.Choice(["auto", "memcg_bpf", "bpf", "scx", "cgroup"]),
    default="auto",
    show_default=True,
    help="How the kernel helps when memory gets short: the best there is, or one of these where the host offers it.",
)
@click.option(
    "--policy",
    default="ladder",
    show_default=True,
    metavar="NAME",
    help="Who decides when memory gets short: ladder, user-space, static, none, or package.module:attribute.",
)
@click.option(
    "--set", "policy_settings", multiple=True, metavar="KEY=VALUE", help="A setting of the policy, such as freeze_s=20."
)
@click.option(
    "--priority",
    type=click.Choice(["low", "normal", "high"]),
    default="normal",
    show_default=True,
    help="Of this session among those of the host.",
)
@click.option(
    "--daemon",
    type=click.Choice(["auto", "require", "off"]),
    default="auto",
    show_default=True,
    help="Whether the daemon of the host decides: auto, if there is one; require, or nothing runs; off, never.",
)
@click.option(
    "--daemon-socket",
    type=click.Path(path_type=Path),
    help="Where the daemon listens.  [default: that of the host, then your own]",
)
@click.option("--strict", is_flag=True, help="Refuse to run where memory cannot be controlled.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one line of JSON.")
@click.option("--quiet", is_flag=True, help="Print no summary.")
@click.option("--client-deadline", type=DURATION, default="50ms", hidden=True)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Run COMMAND (an agent) and give every shell command it starts a domain of its own.

    Each tool call runs in its own cgroup: it is metered exactly by the kernel, limited, ended whole
    (nothing is left behind) and recorded. A call that runs out of memory dies alone; the agent lives.
    Where this host cannot do a part of that, COMMAND still runs, and one line says what is missing.

    The summary goes to stderr when COMMAND has ended; the trace is read with `agentcgroup show`.

    Defaults are taken from /etc/agentcgroup/config.toml and ~/.config/agentcgroup/config.toml; what is given
    here counts more. `agentcgroup config show` names them.
    """
    from agentcgroup.cli.session import run_session

    default = click.core.ParameterSource.DEFAULT
    given = frozenset(name for name in options if ctx.get_parameter_source(name) is not default)
    sys.exit(run_session(options, given))
