"""A cgroup subtree that is ours to write, however this host hands one out.

cgroup v2 has one writer per subtree. Who may hand a subtree to us differs between hosts, so there
is a *plan* (found by looking only; `doctor` prints it) and an *acquisition* that carries it out:

    given           a path was given, or we were started in a delegated cgroup (user.delegate set,
                    or owned by us), or we are in a call of a session or below limits that we must not leave
    systemd-system  root under systemd: a scope with Delegate=yes in agentcgroup.slice
    systemd-user    a user manager with a bus: the same there
    container       a writable cgroup namespace: its own processes move to the leaf ``init``
    plain           root at the root of a hierarchy that no manager owns

The sessions live in ``<delegated>/agentcgroup``, because processes may be in leaves only and the
delegated cgroup keeps ours in a leaf of their own.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from agentcgroup.errors import HostError
from agentcgroup.kernel import hierarchy, systemd
from agentcgroup.kernel.cgroup import Cgroup, CgroupFileError

WANTED = ("memory", "pids", "cpu", "io")
SESSIONS = "agentcgroup"  # the cgroup of all sessions below the delegated one
SUPERVISOR = "supervisor"  # the leaf of the controller, and of whatever else was in the delegated cgroup
INIT = "init"  # the same in a container, where it holds the container's own processes
_LIMITS = ("memory.max", "memory.high", "memory.swap.max", "pids.max", "cpu.max")
_EVICT_ROUNDS = 50


class How(StrEnum):
    """How this host hands out a cgroup subtree."""

    GIVEN = "given"
    SYSTEMD_SYSTEM = "systemd-system"
    SYSTEMD_USER = "systemd-user"
    CONTAINER = "container"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Plan:
    """What acquire_root would do here. ``controllers`` are those it can expect for the sessions."""

    how: How
    cgroup: Path  # the delegated cgroup; for systemd, the cgroup of the manager that makes the scope
    controllers: frozenset[str]
    evict_to: str = ""  # the leaf its processes have to move to; empty: none has to


@dataclass(slots=True)
class Root:
    """The cgroup that holds the sessions, ours until release()."""

    cgroup: Cgroup
    controllers: frozenset[str]  # enabled for the sessions
    how: How
    want: tuple[str, ...] = WANTED
    notes: list[str] = field(default_factory=list)  # controllers that exist but were refused, and why

    def session(self, name: str) -> Cgroup:
        """Create the cgroup of a session. Makes the root again if another run has just removed it as empty."""
        for _ in range(10):
            try:
                return self.cgroup.create(name)
            except CgroupFileError as error:
                if error.errno != errno.ENOENT:
                    raise
                _prepare(self.cgroup, self.want, self.notes)
        return self.cgroup.create(name)

    def release(self) -> None:
        """Remove the root cgroup if no session is left in it; a scope ends by itself with its last process."""
        with suppress(CgroupFileError):
            self.cgroup.remove()


def plan_root(path: Path | None = None, *, root: Path = Path("/"), uid: int | None = None) -> Plan:
    """How a subtree can be had here, without doing anything. Raises HostError with the fix where none can.

    ``path`` is a cgroup directory that the user gave; ``root`` and ``uid`` are for tests of odd hosts.
    """
    user = os.geteuid() if uid is None else uid
    if path is not None:
        return _given(path, user)
    mounts = hierarchy.unified_mounts(root)
    if not mounts:
        raise HostError(
            "cgroup v2 is not mounted",
            "boot with systemd.unified_cgroup_hierarchy=1, or as root: mount -t cgroup2 none /sys/fs/cgroup/unified "
            "(make the directory first)",
        )
    name = hierarchy.own_cgroup(root=root)
    own = hierarchy.locate(name, root)
    found = own and (
        _in_session(own, name, user) or _delegated(own, user) or _systemd(user, root) or _limited(own, name, user)
    )
    return found or _owned(own, user) or _hierarchy_root(mounts[0], user)


async def acquire_root(*, name: str, want: Iterable[str] = WANTED, path: Path | None = None) -> Root:
    """Make this host hand us a subtree and prepare it: ``<delegated>/agentcgroup`` with ``want`` enabled below.

    ``name`` is the session's; under systemd it names the scope this process moves to. Controllers
    that the host lacks are left out (see Root.controllers). Raises HostError when nothing can be had.
    """
    plan = plan_root(path)
    delegated = Cgroup(plan.cgroup)
    if plan.how in (How.SYSTEMD_SYSTEM, How.SYSTEMD_USER):
        address = systemd.user_bus() if plan.how is How.SYSTEMD_USER else None
        await systemd.start_scope(systemd.scope_name(name), address=address)
        delegated = Cgroup(_located(hierarchy.own_cgroup()))
    if plan.evict_to:
        evict(delegated, plan.evict_to)
    notes: list[str] = []
    sessions = delegated.child(SESSIONS)
    controllers = _prepare(sessions, tuple(want), notes)
    return Root(sessions, controllers, plan.how, tuple(want), notes)


def acquire_root_sync(*, name: str, want: Iterable[str] = WANTED, path: Path | None = None) -> Root:
    """acquire_root for callers without an event loop."""
    return asyncio.run(acquire_root(name=name, want=want, path=path))


def evict(cgroup: Cgroup, leaf: str) -> Cgroup:
    """Move all processes directly in ``cgroup`` to its child ``leaf``, until none is left that we can see."""
    target = cgroup.create(leaf, exist_ok=True)
    for _ in range(_EVICT_ROUNDS):  # what forks while we move it appears in the next round
        pids = cgroup.procs()
        for pid in pids:
            try:
                target.attach(pid)
            except CgroupFileError as error:
                if error.errno != errno.ESRCH:
                    raise
        if not pids:
            break
    return target


def _prepare(sessions: Cgroup, want: tuple[str, ...], notes: list[str]) -> frozenset[str]:
    delegated = Cgroup(sessions.path.parent)
    _enable_each(delegated, want, notes)
    delegated.create(sessions.path.name, exist_ok=True)
    _enable_each(sessions, want, notes)
    return sessions.enabled() & frozenset(want)


def _enable_each(cgroup: Cgroup, want: tuple[str, ...], notes: list[str]) -> None:
    for controller in want:
        try:
            cgroup.enable([controller])
        except CgroupFileError as error:
            # One refused controller (cpu with realtime processes, io in a threaded domain) must not cost the others.
            notes.append(str(error))


def _given(path: Path, user: int) -> Plan:
    cgroup = Cgroup(path)
    if not cgroup.exists:
        raise HostError(f"{path} is not a cgroup v2 directory", "give a directory below the cgroup v2 mount point")
    if not _writable(path):
        raise HostError(
            f"the cgroup {path} is not delegated to user {user}",
            f"as root: chown -R {user} {path}, and start inside it",
        )
    return Plan(How.GIVEN, path, cgroup.controllers(), SUPERVISOR if _is_inner(path) else "")


def _delegated(own: Path, user: int) -> Plan | None:
    """Our own cgroup, or the one above our supervisor leaf, if systemd marks it as delegated (v251: user.delegate)."""
    for candidate in (own, own.parent) if own.name in (SUPERVISOR, INIT) else (own,):
        if (
            (_marked_delegated(candidate) or _is_our_scope(candidate))
            and _writable(candidate)
            and not candidate.name.startswith("user@")
        ):
            return _given(candidate, user)
    return None


def _systemd(user: int, root: Path) -> Plan | None:
    mount = hierarchy.find_unified_mount(root)
    if mount is None or not systemd.is_booted(root):
        return None
    if user == 0:
        if not systemd.has_system_bus(root):
            raise HostError(
                "systemd runs here, but there is no system bus to ask it for a cgroup",
                "install and start dbus, or run: systemd-run --scope -p Delegate=yes -- agentcgroup run …",
            )
        return Plan(How.SYSTEMD_SYSTEM, mount, Cgroup(mount).controllers(), SUPERVISOR)
    manager = mount / f"user.slice/user-{user}.slice/user@{user}.service"
    if systemd.user_bus(root, user) is None or not manager.is_dir():
        return None
    return Plan(How.SYSTEMD_USER, manager, Cgroup(manager).controllers(), SUPERVISOR)


def _in_session(own: Path, name: str, user: int) -> Plan | None:
    """Inside a call of another session: a session in there must not escape the limits of that call."""
    parts = Path(name).parts
    if SESSIONS not in parts or not _writable(own):
        return None
    if parts[-1] == "agent":
        raise HostError(
            "this is the agent leaf of another session, which cannot be divided",
            "start the inner session as a command of the agent, or from outside",
        )
    return _given(own.parent if own.name == SUPERVISOR else own, user)


def _limited(own: Path, name: str, user: int) -> Plan | None:
    """Root, no systemd, and a limit on our cgroup or above it: stay there, as leaving it would undo the limit."""
    if user != 0 or not _writable(own):
        return None
    above = [own, *own.parents][: len(Path(name).parts) - 1]
    if not any(_has_limit(cgroup) for cgroup in above):
        return None
    return _given(own.parent if own.name == SUPERVISOR and len(above) > 1 else own, user)


def _owned(own: Path | None, user: int) -> Plan | None:
    """Not root, no user manager: a subtree that an administrator gave by chown and put us into."""
    if own is None or user == 0:
        return None
    for candidate in (own.parent, own) if own.name in (SUPERVISOR, INIT) else (own,):
        if _is_inner(candidate) and candidate.stat().st_uid == user and _writable(candidate):
            return _given(candidate, user)
    return None


def _hierarchy_root(mount: hierarchy.UnifiedMount, user: int) -> Plan:
    cgroup = Cgroup(mount.point)
    if not mount.read_only and _writable(mount.point):
        if _is_inner(mount.point):
            return Plan(How.CONTAINER, mount.point, cgroup.controllers(), INIT)
        if user == 0:
            return Plan(How.PLAIN, mount.point, cgroup.controllers())
    if mount.read_only:
        raise HostError(
            f"cgroup v2 is mounted read-only at {mount.point}",
            "start the container with a writable cgroup namespace (docker: --privileged --cgroupns=private; "
            "podman: --security-opt unmask=/sys/fs/cgroup)",
        )
    raise _no_delegation(mount.point, user)


def _no_delegation(point: Path, user: int) -> HostError:
    own = point / f"agentcgroup-{user}"
    return HostError(
        f"no cgroup is delegated to user {user}",
        "run `systemd-run --user --scope -p Delegate=yes -- agentcgroup run …`, or as root, without systemd: "
        f"mkdir -p {own}/supervisor && chown -R {user} {own} && echo {os.getppid()} > {own}/supervisor/cgroup.procs",
    )


def _located(name: str) -> Path:
    path = hierarchy.locate(name)
    if path is None:
        raise HostError(f"the cgroup {name} is below no mount of cgroup v2", "mount cgroup v2 at /sys/fs/cgroup")
    return path


def _is_inner(path: Path) -> bool:
    return (path / "cgroup.type").exists()  # every cgroup but the real root of the hierarchy has it


def _writable(path: Path) -> bool:
    return all(os.access(path / file, os.W_OK) for file in ("", "cgroup.procs", "cgroup.subtree_control"))


def _marked_delegated(path: Path) -> bool:
    for attribute in ("user.delegate", "trusted.delegate"):
        with suppress(OSError):
            if os.getxattr(path, attribute) == b"1":
                return True
    return False


def _is_our_scope(path: Path) -> bool:
    # The user manager of systemd 252 sets neither attribute: the scopes we asked for are known by their names.
    return path.name.startswith("agentcgroup-") and path.suffix == ".scope"


def _has_limit(path: Path) -> bool:
    texts = (Cgroup(path).read(file) for file in _LIMITS)
    return any(text is not None and text.split()[:1] != ["max"] for text in texts)
