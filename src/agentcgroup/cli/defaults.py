"""What the configuration says about the options of `agentcgroup run` and its siblings; the command line wins.

The configuration is imported only where there is a file of it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentcgroup.daemon.config_files import files_of_a_command
from agentcgroup.daemon.places import VARIABLE, candidates

if TYPE_CHECKING:
    from agentcgroup.daemon.config import Config


def configured() -> Config | None:
    """The configuration of this host and user; None where there is no file. UsageError: the first thing wrong in it."""
    files = files_of_a_command()
    if not any(os.path.lexists(file) for file in files):
        return None
    from agentcgroup.daemon.config import load

    return load(files=files)


def with_configured(options: Mapping[str, Any], given: Collection[str]) -> dict[str, Any]:
    """``options`` of `run`, those that were not ``given`` on the command line as configured.

    Adds ``sockets``, where to look for the daemon, and ``configured_settings``, of the policy; those of another policy
    than the one on the command line are left out.
    """
    config = configured()
    merged = {**options, "sockets": sockets(options["daemon_socket"], config), "configured_settings": {}}
    if config is None:
        return merged
    merged.update({name: value for name, value in config.run.items() if name not in given})
    if "policy" not in given:
        merged["policy"] = config.policy
    if merged["policy"] == config.policy:
        merged["configured_settings"] = dict(config.settings)
    merged["kill_log"], merged["kill_log_bytes"] = config.kill_log, config.kill_log_bytes
    return merged


def sockets(given: Path | None, config: Config | None) -> tuple[Path, ...]:
    """Where a daemon may listen, in the order in which to try."""
    if given is not None or VARIABLE in os.environ or config is None or config.socket is None:
        return candidates(given)
    return tuple(dict.fromkeys((config.socket, *candidates())))
