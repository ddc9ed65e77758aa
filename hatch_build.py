"""Builds the static C client into the package: for wheels and editable installs, with the host's C compiler.

The flags are in src/agentcgroup/client/flags and flags.static, which the Makefile there uses as well.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CLIENT = Path("src/agentcgroup/client")
BINARY = CLIENT / "agentcgroup-client"


class ClientBuildHook(BuildHookInterface[Any]):
    """Compiles the client before the files of a wheel are collected, and tags the wheel with this machine."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the binary; ``version`` is "standard" or "editable"."""
        build_client(Path(self.root))
        machine = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{machine}"
        build_data["artifacts"].append(BINARY.as_posix())


def build_client(root: Path) -> Path:
    """Compile the client below ``root`` unless it is newer than all its sources; SystemExit says what is missing."""
    folder, binary = root / CLIENT, root / BINARY
    sources = sorted(folder.glob("*.c"))
    inputs = [*sources, *folder.glob("*.h"), folder / "flags", folder / "flags.static"]
    if binary.exists() and binary.stat().st_mtime_ns > max(path.stat().st_mtime_ns for path in inputs):
        return binary
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        raise SystemExit(f"agentcgroup: no C compiler ({compiler[0]}); install one (apt install gcc) or set CC")
    # A new file, moved into place: the old binary may be running.
    fresh = binary.with_name(binary.name + ".new")
    command = [*compiler, "@flags", "@flags.static", *(path.name for path in sources), "-o", fresh.name]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        reason = next((line for line in lines if "error" in line), lines[0])
        raise SystemExit(f"agentcgroup: {compiler[0]} cannot build the client: {reason}")
    fresh.replace(binary)
    return binary
