"""What memory the host has and has left: /proc/meminfo (proc_meminfo(5)).

Inside a container the file usually shows the whole machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agentcgroup.errors import HostError
from agentcgroup.kernel.counters import parse_int

_KIB = 1024  # the "kB" of the file


@dataclass(frozen=True, slots=True)
class MemInfo:
    """Bytes. ``available`` is what can be had without swapping: MemAvailable, an estimate of the kernel (3.14)."""

    total_bytes: int
    available_bytes: int
    swap_total_bytes: int = 0
    swap_free_bytes: int = 0


def parse_meminfo(text: str) -> MemInfo | None:
    """The numbers in the text of /proc/meminfo; None without the two that matter. No swap reads as 0."""
    values: dict[str, int] = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        number = parse_int(rest.removesuffix(" kB"))
        if number is not None:
            values[name] = number * _KIB
    if "MemTotal" not in values or "MemAvailable" not in values:
        return None
    return MemInfo(values["MemTotal"], values["MemAvailable"], values.get("SwapTotal", 0), values.get("SwapFree", 0))


def read_meminfo(path: Path = Path("/proc/meminfo")) -> MemInfo:
    """The memory of the host now; HostError when the file is not there or says nothing of it."""
    try:
        found = parse_meminfo(path.read_text(encoding="ascii", errors="replace"))
    except OSError as error:
        raise HostError(f"cannot read {path}: {error.strerror}", "mount proc: mount -t proc proc /proc") from None
    if found is None:
        raise HostError(f"{path} has no MemTotal and MemAvailable", "use Linux 3.14 or newer, with /proc mounted")
    return found
