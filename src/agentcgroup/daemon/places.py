"""Where the daemon listens: one for the host, else one for the user."""

from __future__ import annotations

import os
from pathlib import Path

SYSTEM_SOCKET = Path("/run/agentcgroup-daemon/socket")  # a folder of its own: systemd removes and makes it
VARIABLE = "AGENTCGROUP_DAEMON"


def own_socket() -> Path:
    """Where a daemon of this user listens unless it is told otherwise."""
    if os.geteuid() == 0:
        return SYSTEM_SOCKET
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime, "agentcgroup-daemon", "socket")
    return Path(f"/tmp/agentcgroup-daemon-{os.geteuid()}/socket")  # noqa: S108 (members check who listens)


def candidates(given: Path | None = None) -> tuple[Path, ...]:
    """The sockets to try, in order: the one that was given, or AGENTCGROUP_DAEMON, or the host's and the user's."""
    if given is not None:
        return (given,)
    if named := os.environ.get(VARIABLE):
        return (Path(named),)
    return tuple(dict.fromkeys((SYSTEM_SOCKET, own_socket())))
