"""How the client comes to stand in for the shells of one process tree.

``mount``: a private mount namespace in which every real shell file is covered by its stand-in, so that absolute paths,
``env -i`` and shebangs are caught too. As root, or in a user namespace that maps only the own user and group.
``path``: a folder with stand-ins in front of PATH, and the variables by which agents choose their shell. An absolute
``/bin/bash`` is not caught there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from agentcgroup.client.image import ClientConfig, client_binary, write_stand_ins
from agentcgroup.domain.rundir import RunDir
from agentcgroup.domain.shells import Shell
from agentcgroup.kernel import namespace

MAX_STAND_INS = 8  # as many inodes fit into the client's configuration block


class Placement(StrEnum):
    """The ways to stand in, best first."""

    MOUNT = "mount"  # private mount namespace, as root
    USERNS = "userns"  # private mount namespace inside a user namespace
    PATH = "path"  # variables and a folder in front of PATH


@dataclass(frozen=True, slots=True)
class StandIns:
    """The prepared stand-ins of one session."""

    placement: Placement
    run: RunDir
    shells: tuple[Shell, ...]

    def prepare(self, config: ClientConfig) -> None:
        """Write one patched client per shell; ``config`` is complete but for ``real``."""
        files = {
            self.run.stand_ins / name: replace(config, real=str(self._real(shell)))
            for name, shell in self._files().items()
        }
        # All at once: each must know the others' inodes to see that it is called from inside a call.
        write_stand_ins(client_binary(), files)

    def enter(self) -> None:
        """In the child that becomes COMMAND: make the private namespace and cover the shells. Nothing for ``path``."""
        if self.placement is Placement.PATH:
            return
        namespace.enter_private_mounts(userns=self.placement is Placement.USERNS)
        for shell in self.shells:
            kept = self._real(shell)
            kept.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
            kept.touch(mode=0o755)
            namespace.mount(shell.path, kept, None, namespace.MS_BIND)
            namespace.mount(self.run.stand_ins / shell.key, shell.path, None, namespace.MS_BIND)

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """The variables that ``path`` needs on top of ``base``; none for the others."""
        if self.placement is not Placement.PATH:
            return {}
        folder = str(self.run.stand_ins)
        bash = f"{folder}/bash"
        return {
            "PATH": f"{folder}:{base.get('PATH', os.defpath)}",
            "SHELL": bash,
            "CLAUDE_CODE_SHELL": bash,
        }

    def _files(self) -> dict[str, Shell]:
        """File name -> shell: by key for mounts, by every name it is called by for PATH."""
        if self.placement is Placement.PATH:
            return {name: shell for shell in self.shells for name in shell.names}
        return {shell.key: shell for shell in self.shells}

    def _real(self, shell: Shell) -> Path:
        """Where the real shell is executed; the file name is what `ps` and `pgrep` show of it."""
        if self.placement is Placement.PATH:
            return shell.path
        return self.run.real / shell.key / shell.names[0]


def choose(wanted: str) -> Placement:
    """The placement for ``--placement auto|mount|path`` on this host, by really trying a namespace."""
    if wanted == "path":
        return Placement.PATH
    possible = namespace.can_private_mounts()
    if possible == "root":
        return Placement.MOUNT
    return Placement.USERNS if possible == "userns" else Placement.PATH
