"""Which cgroup a session has, as the daemon may believe it: what the kernel says of it, not what the session says.

A session sends the path of its cgroup as /proc/PID/cgroup shows it. It is a claim. The daemon takes it only when the
cgroup exists in its own view of the hierarchy, is called as the session is, and belongs to the user at the other end
of the socket: delegation (cgroup-v2.rst, "Delegation") gives a user the directories of their subtree and no others, and
in cgroupfs there are no links and no renaming. Else the session is served without: in the files of its cgroup it acts
for itself, only what the daemon does in the kernel for all sessions passes it by.
"""

from __future__ import annotations

from pathlib import Path

from agentcgroup.kernel.hierarchy import locate

_MOST = 4096  # PATH_MAX


def confirmed(claim: str, name: str, uid: int) -> Path | None:
    """The directory of the cgroup ``claim`` of the session ``name`` of ``uid``; None when it is not theirs, or none."""
    parts = claim.split("/")
    if not claim.startswith("/") or len(claim) > _MOST or "\0" in claim or {"", ".", ".."} & set(parts[1:]):
        return None
    if parts[-1] != name:
        return None
    path = locate(claim)
    try:
        if path is None or not path.is_dir() or path.is_symlink() or not (path / "cgroup.procs").exists():
            return None
        return path if uid in (0, path.stat().st_uid) else None
    except (OSError, ValueError):  # ValueError: characters that no path can have
        return None
