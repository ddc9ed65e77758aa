"""Mount and user namespaces: unshare(2), mount(2), and the id maps of user_namespaces(7).

The client stands in for shells by bind mounts that only the session sees. As root that needs
CAP_SYS_ADMIN; without, a user namespace that maps just the own ids (many hosts allow it, some
forbid it: kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns).
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Literal

from agentcgroup.errors import HostError

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000

MS_RDONLY = 1 << 0
MS_NOSUID = 1 << 1
MS_NODEV = 1 << 2
MS_REMOUNT = 1 << 5
MS_BIND = 1 << 12
MS_REC = 1 << 14
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19

PrivateMounts = Literal["root", "userns"]


def unshare(flags: int) -> None:
    """Leave the namespaces in ``flags`` for new ones (unshare(2)); HostError with the fix when forbidden.

    CLONE_NEWUSER works in a process with one thread only: call it in a fresh child.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        number = ctypes.get_errno()
        raise HostError(f"unshare({flags:#x}) failed: {os.strerror(number)}", UNSHARE_FIX)


UNSHARE_FIX = (
    "run as root, or allow user namespaces: sysctl user.max_user_namespaces=15000, kernel.unprivileged_userns_clone=1 "
    "(Debian), kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu); docker: --security-opt seccomp=unconfined"
)


def mount(
    source: str | Path | None, target: str | Path, kind: str | None = None, flags: int = 0, data: str = ""
) -> None:
    """mount(2): a file system, or with MS_BIND ``source`` on ``target``. HostError says which mount failed."""
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    if libc.mount(*arguments, ctypes.c_ulong(flags), os.fsencode(data) if data else None) != 0:
        number = ctypes.get_errno()
        raise HostError(
            f"mount of {source} on {target} failed: {os.strerror(number)}", "check that both exist; needs CAP_SYS_ADMIN"
        )


def make_private(target: str | Path = "/") -> None:
    """Let mounts at and below ``target`` in this namespace receive those from outside, but not send any back."""
    mount(None, target, None, MS_REC | MS_SLAVE)


def write_id_maps(uid: int, gid: int, pid: int | str = "self") -> None:
    """Map only the own user and group into a new user namespace, to themselves.

    Pass the ids from before unshare(). setgroups must be denied first (user_namespaces(7), since 3.19).
    """
    process = Path("/proc") / str(pid)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        try:
            (process / name).write_text(text)
        except OSError as error:
            raise HostError(f"cannot write {process / name}: {error.strerror}", UNSHARE_FIX) from None


def can_private_mounts() -> PrivateMounts | None:
    """How a private mount namespace with a bind mount can be had here, by trying it in a child process.

    ``root``: with the privileges we have; ``userns``: in a user namespace; None: not at all.
    """
    if _try(userns=False):
        return "root"
    return "userns" if _try(userns=True) else None


def enter_private_mounts(*, userns: bool) -> None:
    """Give this process (one thread only) a mount namespace of its own, in a user namespace if ``userns``."""
    uid, gid = os.geteuid(), os.getegid()
    unshare(CLONE_NEWNS | (CLONE_NEWUSER if userns else 0))
    if userns:
        write_id_maps(uid, gid)
    make_private()


def _try(*, userns: bool) -> bool:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            enter_private_mounts(userns=userns)
            mount("/dev/null", "/dev/zero", None, MS_BIND)
            status = 0 if Path("/dev/zero").read_bytes() == b"" else 1
        except (HostError, OSError):
            pass
        finally:
            os._exit(status)  # no cleanup handlers of the parent may run here
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
