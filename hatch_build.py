"""Builds what is compiled into the package, for wheels and editable installs.

The static C client, with the host's C compiler; the flags are in src/agentcgroup/client/flags and flags.static, which
the Makefile there uses as well. The BPF objects, with clang (flags in src/agentcgroup/bpf/flags); where there is no
clang the package is built without them, and `agentcgroup doctor` says so.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CLIENT = Path("src/agentcgroup/client")
BINARY = CLIENT / "agentcgroup-client"
BPF = Path("src/agentcgroup/bpf")
OLDEST_CLANG = 14


class ClientBuildHook(BuildHookInterface[Any]):
    """Compiles what there is to compile before a wheel is packed, and tags the wheel with this machine."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build all; ``version`` is "standard" or "editable"."""
        build_client(Path(self.root))
        build_bpf(Path(self.root))
        machine = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{machine}"
        build_data["artifacts"] += [BINARY.as_posix(), f"{BPF.as_posix()}/*.bpf.o"]


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


def build_bpf(root: Path) -> list[Path]:
    """Compile the BPF objects below ``root`` unless they are newer than the sources; without clang there are none.

    The same sources and the same clang give the same bytes, wherever the checkout is. SystemExit when clang fails.
    """
    folder = root / BPF
    sources = sorted(folder.glob("*.bpf.c"))
    objects = [source.with_suffix(".o") for source in sources]
    newest = max(path.stat().st_mtime_ns for path in [*sources, *folder.glob("*.h"), folder / "flags"])
    if all(path.exists() and path.stat().st_mtime_ns > newest for path in objects):
        return objects
    for path in folder.glob("*.bpf.o"):
        path.unlink()  # never an object of other sources
    clang = find_clang()
    if clang is None:
        print(
            f"agentcgroup: no clang {OLDEST_CLANG} or newer, so built without BPF objects, which run in the kernel: "
            "install one (apt install clang) or set CLANG",
            file=sys.stderr,
        )
        return []
    for source, target in zip(sources, objects, strict=True):
        command = [clang, "@flags", "-c", source.name, "-o", target.name]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            reason = next((line for line in done.stderr.splitlines() if "error" in line), "it said nothing")
            raise SystemExit(f"agentcgroup: {clang} cannot build {source.name}: {reason}")
    return objects


def find_clang() -> str | None:
    """The newest clang on the path, as clang or clang-NN, if it is new enough; $CLANG if that is set."""
    if named := os.environ.get("CLANG"):
        return named
    names = {"clang"}
    for folder in os.get_exec_path():
        if Path(folder).is_dir():
            names.update(path.name for path in Path(folder).glob("clang-*") if re.fullmatch(r"clang-\d+", path.name))
    found = [(version, name) for name in sorted(names) if (version := _clang_version(name)) >= OLDEST_CLANG]
    return max(found)[1] if found else None


def _clang_version(name: str) -> int:
    """Its major version; 0 when it cannot be run."""
    try:
        done = subprocess.run([name, "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return 0
    match = re.search(r"clang version (\d+)", done.stdout)
    return int(match[1]) if match else 0
