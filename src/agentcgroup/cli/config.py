"""``agentcgroup config``: the configuration checked, or shown with where each value comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agentcgroup.errors import UsageError

if TYPE_CHECKING:
    from agentcgroup.daemon.config import Config

_HELP = {"help_option_names": ["-h", "--help"]}
_SET = click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="As for `agentcgroup daemon`.")


@click.group(context_settings=_HELP)
def command() -> None:
    """Check the configuration, or show it.

    Read in this order, the last one wins: /etc/agentcgroup/config.toml, ~/.config/agentcgroup/config.toml (or below
    $XDG_CONFIG_HOME), `--set KEY=VALUE`. Root's daemon reads the first one only. All is TOML, nothing in it is run.

    \b
    Example: a new policy, checked and then taken over by the daemon:
      agentcgroup config check new.toml && sudo cp new.toml /etc/agentcgroup/config.toml
      sudo systemctl reload agentcgroup
      agentcgroup config show
    """


@command.command(context_settings=_HELP)
@click.argument("file", required=False, type=click.Path(path_type=Path))
@_SET
def check(file: Path | None, sets: tuple[str, ...]) -> None:
    """Check FILE, or the files that are read here. Every fault is named with its line and how to mend it.

    A policy of your own (package.module:attribute) is not imported, so its settings are checked when it starts.

    \b
    Exit status: 0 sound; 2 not.

    \b
    Example:
      agentcgroup config check /etc/agentcgroup/config.toml
    """
    from agentcgroup.daemon.config import examine
    from agentcgroup.daemon.config_files import files_of_a_command
    from agentcgroup.trace.text import printable

    files = files_of_a_command()
    config, problems = examine(file, sets, files=files)
    for problem in problems[:-1]:
        click.echo(f"agentcgroup: {printable(str(problem))}", err=True)
    if problems:
        raise UsageError(printable(problems[-1].message), printable(problems[-1].fix))
    read = [file] if file is not None else [path for path in files if path.exists()]
    what = " and ".join(map(str, read)) if read else "there is no file: all keys have their defaults"
    click.echo(f"{what}: sound, policy {config.policy}" if read else what)


@command.command(context_settings=_HELP)
@click.option("--file", type=click.Path(path_type=Path), help="This file instead of those that are read here.")
@_SET
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for programs.")
def show(file: Path | None, sets: tuple[str, ...], as_json: bool) -> None:
    """Show every key: its value, and where that comes from.

    A key without a value is decided when it is needed, such as the budget of a session by the memory of the host.
    In JSON, sizes are bytes and durations seconds; `source` is null for a default.

    \b
    Exit status: 0 shown; 2 there is something wrong with it, as `config check` says.

    \b
    Example: what is not as delivered:
      agentcgroup config show --json | jq '.values[] | select(.source)'
    """
    from agentcgroup.daemon.config import load
    from agentcgroup.daemon.config_files import files_of_a_command

    files = files_of_a_command()
    config = load(file, sets, files=files)
    rows = list(_rows(config))
    if as_json:
        places = [{"path": str(path), "read": path.exists()} for path in ([file] if file else files)]
        values = [{"key": key, "value": value, "source": source} for key, value, source, _ in rows]
        click.echo(json.dumps({"v": 1, "files": places, "values": values}, default=str))
    else:
        _print(rows)


def _rows(config: Config) -> Iterator[tuple[str, Any, str | None, str]]:
    """Key, value, source and meaning of every key, in the order in which they are documented."""
    from agentcgroup.daemon.config_keys import KEYS, settings_of

    for key, one in KEYS.items():
        yield key, config.value(key), config.sources.get(key), one.about
    known = settings_of(config.policy)
    for name in config.settings if known is None else known:
        key = f"settings.{name}"
        yield key, config.value(key), config.sources.get(key), f"of the policy {config.policy}"


def _print(rows: list[tuple[str, Any, str | None, str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from agentcgroup.cli.asking import console
    from agentcgroup.trace.text import printable

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for head in ("key", "value", "from", "is"):
        table.add_column(head, no_wrap=head in ("key", "from"), overflow="fold")
    for key, value, source, about in rows:
        shown = Text(printable(_shown(key, value)))
        table.add_row(key, shown, Text(printable(source or "default"), "" if source else "dim"), Text(about))
    console(width=320).print(table)  # paths are to be copied whole


def _shown(key: str, value: Any) -> str:
    """A value as people write it."""
    from agentcgroup.units import format_duration, format_size

    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if key in _SIZES or key.endswith("_bytes"):
        return format_size(value)
    if key in _DURATIONS or key.endswith("_s"):
        return format_duration(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


_SIZES = ("reserve", "kill_log_size", "run.memory", "run.call_memory", "run.call_swap")
_DURATIONS = ("run.call_timeout", "run.keep_background")
