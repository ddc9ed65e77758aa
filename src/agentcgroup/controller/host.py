"""The ground a session stands on: what this host gives it, taken before COMMAND starts and given back at the end."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from agentcgroup.controller.settings import Settings
from agentcgroup.domain import placement, rundir
from agentcgroup.domain.placement import Placement, StandIns
from agentcgroup.domain.rundir import RunDir
from agentcgroup.domain.shells import find_shells
from agentcgroup.domain.tree import SessionTree, remove_stale
from agentcgroup.errors import CgroupError, HostError
from agentcgroup.kernel.delegation import Root, acquire_root
from agentcgroup.kernel.hierarchy import unified_mounts, v1_controllers
from agentcgroup.model import Support

_DOCTOR = "`agentcgroup doctor` says how to get the rest"


@dataclass(frozen=True, slots=True)
class Ground:
    """What a session has. Without cgroups ``tree`` is None; ``cgroup_path`` is as /proc/PID/cgroup shows it."""

    support: Support
    root: Root | None
    tree: SessionTree | None
    run: RunDir
    stand_ins: StandIns
    cgroup_path: str

    @property
    def counts_memory(self) -> bool:
        """Whether the kernel counts memory for the domains."""
        return self.support is Support.FULL

    def give_back(self) -> None:
        """Kill what is left in the session, remove its cgroups and its folder."""
        try:
            if self.tree is not None:
                self.tree.end()
            if self.root is not None:
                self.root.release()
        finally:
            self.run.remove()


async def occupy(settings: Settings, say: Callable[[str], None]) -> Ground:
    """Take what the host gives, and ``say`` in one line what it does not; with ``strict`` that is a HostError."""
    run = rundir.create(settings.session)
    root: Root | None = None
    tree: SessionTree | None = None
    try:
        try:
            root = await acquire_root(name=settings.session)
            remove_stale(root.cgroup, rundir.live_sessions())
            tree = SessionTree.create(root, settings.session, settings.budget, settings.baseline_bytes)
        except HostError as error:
            if settings.strict:
                raise
            root = None
            say(f"no cgroups here ({error.message}): calls are process groups without limits; {_DOCTOR}")
        rundir.remove_stale(_names_in_use(root))
        support = _support(root)
        if root is not None and support is not Support.FULL:
            missing = _why_no_memory()
            if settings.strict:
                raise HostError(missing, _DOCTOR)
            say(f"{missing}: calls are grouped, timed and killed whole, but their memory is not limited; {_DOCTOR}")
        stand_ins = StandIns(_placement(settings, say), run, tuple(find_shells()))
        return Ground(support, root, tree, run, stand_ins, _seen_by_proc(tree))
    except BaseException:
        if tree is not None:
            tree.end()
        if root is not None:
            root.release()
        run.remove()
        raise


def _names_in_use(root: Root | None) -> frozenset[str]:
    return frozenset() if root is None else frozenset(session.path.name for session in root.cgroup.children())


def _support(root: Root | None) -> Support:
    if root is None:
        return Support.PROCESS
    return Support.FULL if "memory" in root.controllers else Support.GROUPING


def _why_no_memory() -> str:
    if "memory" in v1_controllers():
        return "cgroup v1 holds the memory controller here"
    return "the memory controller is not available to cgroup v2 here"


def _placement(settings: Settings, say: Callable[[str], None]) -> Placement:
    chosen = placement.choose(settings.placement)
    if chosen is Placement.PATH and settings.placement != "path":
        why = "no private mount namespace can be had here"
        if settings.strict or settings.placement == "mount":
            raise HostError(why, "run as root or allow user namespaces, or give --placement path")
        say(f"{why}: shells are caught by PATH and SHELL only, not by absolute path; {_DOCTOR}")
    return chosen


def _seen_by_proc(tree: SessionTree | None) -> str:
    """The session's cgroup as a process in it reads it from /proc/self/cgroup."""
    if tree is None:
        return ""
    for mount in unified_mounts():
        if tree.session.path.is_relative_to(mount.point):
            below = tree.session.path.relative_to(mount.point)
            return os.path.join(mount.cgroup.rstrip("/") or "/", str(below))  # noqa: PTH118 (not a file)
    raise CgroupError(f"{tree.session.path} is not below a mount of cgroup v2", "report this as a bug")
