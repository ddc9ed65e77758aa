"""``agentcgroup kill-log``: what was killed, when, why, and on whose word."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentcgroup.errors import UsageError

if TYPE_CHECKING:
    from agentcgroup.trace.kill_log import KillRecord


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--since", metavar="WHEN", help="Only kills since then: a duration (2h, 3d) ago, or a date (and time).")
@click.option("--session", metavar="NAME", help="Only kills in this session.")
@click.option(
    "--file",
    type=click.Path(path_type=Path),
    help="The log.  [default: `kill_log` of the configuration, else /var/lib/agentcgroup/kill-log.jsonl for root and "
    "~/.local/state/agentcgroup/kill-log.jsonl for others]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, for programs.")
def command(since: str | None, session: str | None, file: Path | None, as_json: bool) -> None:
    """Show the calls that a policy has had killed, oldest first.

    Every `agentcgroup run` writes the kills of its own calls into the log of its user. Root's log also has those of
    all users whose sessions have joined root's daemon. What the kernel's OOM killer ended by itself is not in it:
    that is the outcome `oom` in the trace.

    \b
    The columns:
      when      UTC
      session   and the call in it, as in its trace
      rule      a stable word of the policy
      memory    when it was killed, of its limit
      pressure  percent of the last 10 s in which some task of the session stalled
                on memory
      command   the beginning of it
      reason    in words (the line below)

    \b
    Exit status: 0 shown, also when nothing was killed; 1 the log cannot be read;
    2 wrong usage.

    \b
    Example: what was killed since yesterday, and by which rules this week:
      agentcgroup kill-log --since 1d
      agentcgroup kill-log --since 7d --json | jq -r .rule | sort | uniq -c
    """
    from agentcgroup.cli.defaults import configured
    from agentcgroup.trace.kill_log import default_path, read_kill_log, record_to_json

    begin = None if since is None else instant(since, datetime.now(UTC))
    if file is None:
        config = configured()
        file = (config.kill_log if config else None) or default_path()
    kills = read_kill_log(file, session)
    records = [record for record in kills.records if begin is None or _when(record) >= begin]
    if as_json:
        for record in records:
            click.echo(json.dumps(record_to_json(record)))
    elif records:
        _print(records)
    else:
        where = f" in session {session}" if session else ""
        click.echo(f"no call was killed{where}{f' since {begin:%Y-%m-%d %H:%M} UTC' if begin else ''} ({file})")
    if kills.damaged:
        click.echo(f"agentcgroup: {file}: skipped {kills.damaged} damaged line(s)", err=True)


def instant(text: str, now: datetime) -> datetime:
    """The instant that ``--since`` names: a duration before ``now``, or ISO 8601 (local time unless it says so)."""
    from agentcgroup.units import parse_duration

    try:
        return now - timedelta(seconds=parse_duration(text))
    except (UsageError, OverflowError):
        pass
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"--since {text!r} is no instant", "give a duration such as 2h, or a date such as 2026-11-30T14:00"
        ) from None


def _when(record: KillRecord) -> datetime:
    """When a kill was; the beginning of time where its record does not say."""
    try:
        found = datetime.fromisoformat(record.wall)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime.min.replace(tzinfo=UTC)


def _print(records: Sequence[KillRecord]) -> None:
    from rich.table import Table
    from rich.text import Text

    from agentcgroup.cli.asking import console, sizes
    from agentcgroup.trace.text import printable, shorten

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for head in ("when (UTC)", "session", "call", "rule", "memory", "pressure", "command"):
        table.add_column(head, no_wrap=head != "command", overflow="fold")
    for record in records:
        pressure = record.pressure_percent
        table.add_row(
            Text(printable(record.wall[:19].replace("T", " "))),
            Text(printable(record.session)),
            Text(printable(record.call)),
            Text(printable(record.rule)),
            sizes(record.memory_bytes, record.limit_bytes),
            "-" if pressure is None else f"{pressure:.0f} %",
            Text(f"{shorten(printable(record.command), 60)}\n{printable(record.reason)}"),
        )
    console().print(table)
