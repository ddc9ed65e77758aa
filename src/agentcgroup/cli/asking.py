"""Asks the daemon for `status` and `session`: where it is looked for, what is said when there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from agentcgroup.errors import HostError

START = "start one with: agentcgroup daemon (or systemctl start agentcgroup)"

_F = TypeVar("_F", bound=Callable[..., Any])


class NoDaemon(HostError):
    """No daemon is running where it was looked for."""

    exit_status = 3


def with_socket(command: _F) -> _F:
    """Adds ``--socket PATH``."""
    return click.option(
        "--socket",
        type=click.Path(path_type=Path),
        help="Where the daemon listens.  [default: that of the host, then your own]",
    )(command)


def as_json(command: _F) -> _F:
    """Adds ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object for programs.")(command)


def ask(what: str, socket: Path | None, session: str | None = None, value: str = "") -> Mapping[str, Any]:
    """The daemon's answer. NoDaemon: there is none; HostError: it refused, with the way to mend it."""
    from agentcgroup.cli.defaults import configured, sockets
    from agentcgroup.daemon.messages import Question

    places = sockets(socket, None if socket is not None else configured())
    return _first(places, Question(what, session, value))


def _first(places: Sequence[Path], question: Any) -> Mapping[str, Any]:
    """The answer of the first daemon that there is."""
    from agentcgroup.daemon import ask as asking
    from agentcgroup.daemon.link import START as NONE_THERE

    unreachable: HostError | None = None
    for place in places:
        try:
            return cast("Mapping[str, Any]", asking.ask(question, place))
        except HostError as error:
            if error.fix != NONE_THERE:
                raise
            if "cannot reach" in error.message:  # it is there, and not for us
                unreachable = error
    if unreachable is not None:
        raise unreachable
    looked = " and ".join(map(str, places))
    raise NoDaemon(f"no daemon is running (looked at {looked}): each `agentcgroup run` decides for itself", START)


def sizes(memory: object, most: object = None) -> str:
    """Bytes in use for people, of a limit if there is one; ``-`` for what is not known."""
    from agentcgroup.units import format_size

    text = format_size(memory if isinstance(memory, int) else None)
    return f"{text} of {format_size(most)}" if isinstance(most, int) else text


def console(width: int = 160) -> Any:
    """Where tables are printed: as wide as the terminal, and ``width`` characters where there is none."""
    import sys

    from rich.console import Console

    return Console(highlight=False) if sys.stdout.isatty() else Console(width=width, highlight=False)
