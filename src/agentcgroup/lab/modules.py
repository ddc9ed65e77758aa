"""Kernel modules for the first root file system: found, unpacked and put in loading order.

Debian's module package carries no modules.dep (depmod makes it at installation), so the order comes from
the ``depends=`` entry in each module's own .modinfo section.
"""

from __future__ import annotations

import gzip
import lzma
import subprocess
from collections.abc import Iterable
from pathlib import Path

from agentcgroup.errors import LabError
from agentcgroup.lab import elf

# What the guest cannot do without, where it is not built in; then what --swap needs.
BOOT_MODULES = ("virtio_pci", "virtio_console", "virtiofs", "overlay")
SWAP_MODULES = ("zram",)
_SUFFIXES = (".ko", ".ko.xz", ".ko.gz", ".ko.zst")


def collect(directory: Path, wanted: Iterable[str]) -> list[tuple[str, bytes]]:
    """(name, content) of the modules ``wanted`` and of all they depend on, in loading order.

    ``directory`` is lib/modules/VERSION. A name that has no file there is taken as built in.
    """
    available = {_name(path): path for path in sorted((directory / "kernel").rglob("*.ko*")) if _is_module(path)}
    loaded: dict[str, bytes] = {}
    for name in wanted:
        _add(name, available, loaded)
    return list(loaded.items())


def _add(name: str, available: dict[str, Path], loaded: dict[str, bytes]) -> None:
    if name in loaded or name not in available:
        return
    content = _unpacked(available[name])
    for needed in _depends(content):
        _add(needed, available, loaded)
    loaded[name] = content


def _is_module(path: Path) -> bool:
    return path.name.endswith(_SUFFIXES)


def _name(path: Path) -> str:
    return path.name.partition(".")[0].replace("-", "_")


def _depends(module: bytes) -> list[str]:
    for entry in (elf.section(module, ".modinfo") or b"").split(b"\0"):
        key, _, value = entry.partition(b"=")
        if key == b"depends":
            return [name.replace("-", "_") for name in value.decode("ascii", "replace").split(",") if name]
    return []


def _unpacked(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(content)
    if path.suffix == ".gz":
        return gzip.decompress(content)
    if path.suffix == ".zst":
        return zstd(content)
    return content


def zstd(content: bytes) -> bytes:
    """``content`` unpacked by zstd(1), which Python 3.11 has no module for; LabError if it cannot be."""
    try:
        done = subprocess.run(["zstd", "-dc"], input=content, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise LabError("zstd is not installed", "run: apt-get install zstd") from error
    if done.returncode != 0:
        raise LabError(f"zstd cannot unpack it: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
