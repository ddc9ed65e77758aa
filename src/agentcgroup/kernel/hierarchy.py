"""Where cgroup v2 is mounted, which cgroup a process is in, and where that is in the file system.

Sources: /proc/PID/mountinfo (proc_pid_mountinfo(5)) and /proc/PID/cgroup (cgroups(7)). ``root`` is
the directory that holds ``proc`` and ``sys``; anything but ``/`` is for tests of odd hosts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from agentcgroup.errors import HostError

_PREFERRED = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")


@dataclass(frozen=True, slots=True)
class UnifiedMount:
    """One mount of the cgroup v2 hierarchy."""

    point: Path  # where it is mounted, as seen through ``root``
    cgroup: str  # the cgroup at the mount point, relative to our cgroup namespace: ``/`` unless bind-mounted
    read_only: bool


def unified_mounts(root: Path = Path("/")) -> list[UnifiedMount]:
    """All reachable mounts of cgroup v2, the customary places first."""
    found: dict[str, UnifiedMount] = {}
    for line in _lines(root / "proc/self/mountinfo"):
        before, dash, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if not dash or len(fields) < 6:
            continue
        point = _unescape(fields[4])
        found.pop(point, None)  # a later mount on the same point hides the earlier one
        if kind[:1] == ["cgroup2"]:
            found[point] = UnifiedMount(_below(root, point), _unescape(fields[3]), "ro" in fields[5].split(","))
    order = {point: number for number, point in enumerate(_PREFERRED)}
    return [found[point] for point in sorted(found, key=lambda point: order.get(point, len(order)))]


def find_unified_mount(root: Path = Path("/")) -> Path | None:
    """The mount point of cgroup v2 (``/sys/fs/cgroup``, ``/sys/fs/cgroup/unified`` on hybrid hosts, or other)."""
    mounts = unified_mounts(root)
    return mounts[0].point if mounts else None


def own_cgroup(pid: int | str = "self", root: Path = Path("/")) -> str:
    """The v2 cgroup of a process, as the ``0::`` line of /proc/PID/cgroup shows it from our cgroup namespace.

    Raises HostError when the process is gone or the kernel has no cgroup v2.
    """
    for line in _lines(root / "proc" / str(pid) / "cgroup"):
        if line.startswith("0::/"):
            return line[3:]
    raise HostError(
        f"process {pid} has no cgroup v2 membership",
        "mount cgroup v2 (mount -t cgroup2 none /sys/fs/cgroup/unified) on a kernel built with CONFIG_CGROUPS",
    )


def locate(cgroup: str, root: Path = Path("/")) -> Path | None:
    """The directory of a cgroup given as /proc shows it; None when no mount reaches it.

    A path that begins with ``/..`` lies outside of our cgroup namespace.
    """
    if cgroup.startswith("/..") or cgroup.endswith(" (deleted)"):
        return None
    for mount in unified_mounts(root):
        base = mount.cgroup.rstrip("/")
        if cgroup == mount.cgroup or cgroup.startswith(f"{base}/"):
            return mount.point / cgroup[len(base) :].lstrip("/")
    return None


def v1_controllers(root: Path = Path("/")) -> frozenset[str]:
    """The controllers that a cgroup v1 hierarchy holds, so that v2 cannot have them."""
    names: set[str] = set()
    for line in _lines(root / "proc/self/cgroup"):
        parts = line.split(":", 2)
        if len(parts) == 3 and parts[0] != "0":
            names.update(name for name in parts[1].split(",") if name and not name.startswith("name="))
    return frozenset(names)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []


def _unescape(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def _below(root: Path, absolute: str) -> Path:
    return root / absolute.lstrip("/")
