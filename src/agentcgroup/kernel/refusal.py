"""Why a cgroup v2 file or directory refused an operation, in words, and the line that mends it.

The meanings are those of kernel/cgroup/cgroup.c (cgroup_subtree_control_write, cgroup_mkdir,
__cgroup_procs_write, cgroup_rmdir) and Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from agentcgroup.errors import CgroupError

_SHOWN = 5  # processes named in a message


class CgroupFileError(CgroupError):
    """An operation on one cgroup file or directory failed; ``path`` and ``errno`` say which and how."""

    def __init__(self, path: Path, number: int, message: str, fix: str = "") -> None:
        super().__init__(message, fix)
        self.path = path
        self.errno = number


def refusal(cgroup: Path, file: str, doing: str, error: OSError) -> CgroupFileError:
    """The error for ``error``, with its reason and its fix.

    ``file`` is the interface file in ``cgroup``, empty when the directory itself refused; ``doing``
    is a phrase such as ``write '1' to`` that opens the message.
    """
    number = error.errno or 0
    path = cgroup / file if file else cgroup
    reason, fix = _explain(cgroup, file, number, error)
    return CgroupFileError(path, number, f"cannot {doing} {path}: {reason}", fix)


def _explain(cgroup: Path, file: str, number: int, error: OSError) -> tuple[str, str]:
    if number in (errno.EACCES, errno.EPERM):
        return _permission(cgroup, file)
    if number == errno.EROFS:
        return (
            "cgroup v2 is mounted read-only here",
            "in a container, start it with a writable cgroup namespace (docker: --privileged --cgroupns=private; "
            "podman: --security-opt unmask=/sys/fs/cgroup), else run `mount -o remount,rw` on the mount point as root",
        )
    if number == errno.EBUSY:
        return _busy(cgroup, file)
    if number == errno.ENOENT and file == "cgroup.subtree_control" and cgroup.exists():
        available = _text(cgroup / "cgroup.controllers") or "none"
        return (
            f"a controller is not delegated to it (cgroup.controllers: {available})",
            f"as root enable it in the parent: echo +memory > {cgroup.parent / 'cgroup.subtree_control'}",
        )
    if number in (errno.ENOENT, errno.ENODEV):
        return "it does not exist (any more)", "create the cgroup first, or check the path"
    return _rare(cgroup, file, number, error)


def _permission(cgroup: Path, file: str) -> tuple[str, str]:
    if file in ("cgroup.procs", "cgroup.threads"):
        return (
            "permission denied; moving a process needs write access to cgroup.procs of the cgroup that "
            "its old and its new place have in common",
            "start in a delegated subtree: systemd-run --user --scope -p Delegate=yes -- COMMAND",
        )
    if os.geteuid() == 0:
        return (
            "permission denied although we are root: the file belongs to the manager above the cgroup namespace, "
            "or a security module forbids it",
            "use a cgroup below the namespace root",
        )
    return (
        "permission denied: the cgroup is not delegated to this user",
        "run under systemd-run --user --scope -p Delegate=yes -- COMMAND, "
        f"or as root: chown -R {os.geteuid()}:{os.getegid()} {cgroup}",
    )


def _busy(cgroup: Path, file: str) -> tuple[str, str]:
    if file == "cgroup.subtree_control":
        return (
            f"processes are in it ({_processes(cgroup)}) and only leaves may hold processes",
            f"move them to a leaf below: mkdir {cgroup}/supervisor && echo PID > {cgroup}/supervisor/cgroup.procs",
        )
    if file in ("cgroup.procs", "cgroup.threads"):
        return (
            f"it has controllers enabled for its children ({_text(cgroup / 'cgroup.subtree_control')}), "
            "so it may hold no processes",
            "attach to a leaf below it",
        )
    inside = (
        f"processes ({_processes(cgroup)})" if _text(cgroup / "cgroup.procs") else "cgroups, or processes that end,"
    )
    return (
        f"{inside} are still in it",
        "end them first (echo 1 > cgroup.kill) and remove the cgroups below",
    )


def _rare(cgroup: Path, file: str, number: int, error: OSError) -> tuple[str, str]:
    if number == errno.EOPNOTSUPP:
        kind = _text(cgroup / "cgroup.type") or "unknown"
        return f"its cgroup.type is {kind!r}, which does not allow this", "use a cgroup whose cgroup.type is 'domain'"
    if number == errno.EAGAIN and not file:
        return (
            "a limit on the number of cgroups is reached",
            f"raise cgroup.max.descendants or cgroup.max.depth in {cgroup.parent} or above it",
        )
    if number == errno.ENOSPC:
        return (
            "the kernel has no identifier left for another cgroup, or its cpuset is empty",
            "remove cgroups that are no longer used (find /sys/fs/cgroup -type d | wc -l counts them)",
        )
    if number == errno.EEXIST:
        return "it exists already", "choose another name, or remove it with rmdir"
    if number == errno.ESRCH:
        return "the process has ended", ""
    if number in (errno.EINVAL, errno.ERANGE):
        return "the kernel does not accept this value here", "see Documentation/admin-guide/cgroup-v2.rst for the file"
    return error.strerror or str(error), ""


def _processes(cgroup: Path) -> str:
    pids = _text(cgroup / "cgroup.procs").split()
    if not pids:
        return "none visible from this PID namespace"
    named = [f"{pid} {_text(Path('/proc') / pid / 'comm') or '?'}" for pid in pids[:_SHOWN]]
    return ", ".join(named) + (f" and {len(pids) - _SHOWN} more" if len(pids) > _SHOWN else "")


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="surrogateescape").strip()
    except OSError:
        return ""
