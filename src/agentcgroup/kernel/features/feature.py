"""One thing a host offers or lacks, and the small readers the probes share."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agentcgroup.errors import HostError


@dataclass(frozen=True, slots=True)
class Feature:
    """One thing a host offers or lacks."""

    name: str  # stable: programs read it (docs/reference/doctor.md)
    available: bool | None  # None: it could not be told
    detail: str  # what was found
    enables: str  # what of agentcgroup works because of it
    fix: str = ""  # how to get it; empty when it is there


def guarded(name: str, probe: Callable[[], Feature]) -> Feature:
    """The probe's answer; where this host is so odd that it fails, that it could not be told, and why."""
    try:
        return probe()
    except (HostError, OSError) as error:
        return Feature(name, None, f"could not be told: {error}", "", "")


def read_text(path: Path) -> str | None:
    """The text of a file, stripped; None when it cannot be read, for whatever reason."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def present(path: Path) -> bool:
    """Whether a path exists and can be seen by us."""
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def kernel_version(root: Path) -> tuple[int, int]:
    """Major and minor of the running kernel; (0, 0) when it does not say."""
    match = re.match(r"(\d{1,5})\.(\d{1,5})", read_text(root / "proc/sys/kernel/osrelease") or "", re.ASCII)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def effective_capabilities(root: Path) -> int:
    """The CapEff mask of this process (capabilities(7)); 0 when it cannot be read."""
    status = read_text(root / "proc/self/status") or ""
    match = re.search(r"^CapEff:\s*([0-9a-fA-F]{1,16})\s*$", status, re.MULTILINE)
    return int(match[1], 16) if match else 0
