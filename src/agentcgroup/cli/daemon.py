"""``agentcgroup daemon``: one service that decides for all sessions of a host."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--socket",
    type=click.Path(path_type=Path),
    help="Where to listen.  [default: `socket` of the configuration, else /run/agentcgroup-daemon/socket for root "
    "and $XDG_RUNTIME_DIR/agentcgroup-daemon/socket for others]",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Read this file and no other.  [default: /etc/agentcgroup/config.toml, and unless it is root's daemon "
    "~/.config/agentcgroup/config.toml]",
)
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="A key of the configuration, such as policy=static or settings.freeze_s=20; counts more than the files.",
)
def command(socket: Path | None, config: Path | None, sets: tuple[str, ...]) -> None:
    """Decide for all sessions of this host: one policy that sees them all, and all of the memory.

    Each `agentcgroup run` finds the daemon by its socket when it starts, reports to it and does what it says.
    Root's daemon decides for everybody, a user's for this user alone. It needs no privilege: what it decides is
    carried out by each session, in its own cgroups.

    It stays in the foreground and says on stderr where it listens, once it does; under systemd it reports
    that it is ready. When it ends or is killed, nothing stays frozen or queued: every session decides for
    itself until a daemon is back.

    \b
    SIGHUP             read the configuration again, without touching running calls;
                       when it is wrong, all stays as it was, and one line says why
    SIGTERM, SIGINT    end

    \b
    Exit status: 0 ended by a signal; 1 the socket cannot be had, or another daemon
    has it; 2 wrong usage or configuration.

    \b
    Example: a daemon of your own with a shorter freeze, and a session that joins it:
      agentcgroup daemon --set settings.freeze_s=10 &
      agentcgroup run --daemon require -- claude -p "run the tests"
      agentcgroup status
    """
    from agentcgroup.daemon.service import run

    run(config.absolute() if config else None, sets, socket.absolute() if socket else None)
