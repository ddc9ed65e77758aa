"""Probes of cgroup v2: mounted, delegated, its controllers and its newer files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from agentcgroup.errors import HostError
from agentcgroup.kernel import hierarchy
from agentcgroup.kernel.delegation import How, Plan, plan_root
from agentcgroup.kernel.features.feature import Feature, kernel_version, present, read_text

_BOOT = "add systemd.unified_cgroup_hierarchy=1 (systemd) or cgroup_no_v1=all to the kernel command line and reboot"
_LOOKED_AT = 200  # cgroups searched for one that shows a file

#: Controller -> what it is for here.
CONTROLLERS = {
    "memory": "memory limits of calls and sessions, exact peaks, an OOM that stays inside its call",
    "pids": "a fork bomb ends at the limit of its call",
    "cpu": "CPU weights of sessions and calls",
    "io": "weights of sessions and calls on disks (not used by this version)",
}


@dataclass(frozen=True, slots=True)
class _File:
    file: str
    since: tuple[int, int]
    needs: str  # the file is in every cgroup that has this one, on a kernel that is new enough
    enables: str
    without: str


#: Feature name -> the interface file that shows it.
FILES = {
    "cgroup-freeze": _File(
        "cgroup.freeze", (5, 2), "cgroup.type", "stopping a call at a safe point", "calls cannot be frozen"
    ),
    "cgroup-kill": _File(
        "cgroup.kill",
        (5, 14),
        "cgroup.type",
        "ending a call with all it forked, at once",
        "a freeze-and-kill loop does it",
    ),
    "memory-peak": _File(
        "memory.peak", (5, 19), "memory.current", "the exact peak of a call however short it is", "peaks are sampled"
    ),
}


def planned(root: Path) -> Plan | HostError:
    """How a cgroup subtree would be had here, or why not."""
    try:
        return plan_root(root=root)
    except HostError as error:
        return error
    except OSError as error:
        return HostError(f"cgroup v2 cannot be looked at: {error}", "check the permissions below /sys/fs/cgroup")


def mounted(root: Path) -> Feature:
    """Whether cgroup v2 is mounted, and whether v1 holds controllers beside it."""
    enables = "grouping each call, freezing it, killing it whole"
    mounts = hierarchy.unified_mounts(root)
    if not mounts:
        return Feature("cgroup-v2", False, "not mounted", enables, _BOOT)
    v1 = hierarchy.v1_controllers(root)
    beside = f"; cgroup v1 holds {', '.join(sorted(v1))}" if v1 else ""
    read_only = ", read-only" if mounts[0].read_only else ""
    return Feature("cgroup-v2", True, f"at {mounts[0].point}{read_only}{beside}", enables)


def delegation(plan: Plan | HostError, root: Path) -> Feature:
    """Whether a cgroup subtree can be had, and how."""
    enables = "sessions and calls in cgroups of their own"
    if isinstance(plan, HostError):
        return Feature("delegation", False, plan.message, enables, plan.fix)
    names = ", ".join(sorted(plan.controllers)) or "none"
    return Feature("delegation", True, f"{plan.how} in {plan.cgroup}; controllers: {names}", enables)


def controller(name: str, plan: Plan | HostError, root: Path) -> Feature:
    """Whether a controller can be had for the sessions."""
    feature, enables = f"{name}-controller", CONTROLLERS[name]
    if isinstance(plan, Plan) and name in plan.controllers:
        return Feature(feature, True, "delegated to us", enables)
    if name in hierarchy.v1_controllers(root) or (name == "io" and "blkio" in hierarchy.v1_controllers(root)):
        return Feature(feature, False, "held by cgroup v1", enables, _BOOT)
    mount = hierarchy.find_unified_mount(root)
    at_root = (read_text(mount / "cgroup.controllers") or "").split() if mount else []
    if name not in at_root:
        option = " or boot with cgroup_enable=memory" if name == "memory" else ""
        fix = f"use a kernel with this controller{option}" if mount else _BOOT
        return Feature(feature, False, "the kernel does not offer it", enables, fix)
    return Feature(feature, False, "on this host, but not delegated to us", enables, _delegate_fix(name, plan))


def interface_file(feature: str, plan: Plan | HostError, root: Path) -> Feature:
    """Whether the kernel has an interface file: seen in some cgroup, else judged by the kernel's version."""
    about = FILES[feature]
    version = ".".join(map(str, about.since))
    if about.needs == "memory.current" and not (isinstance(plan, Plan) and "memory" in plan.controllers):
        return Feature(
            feature,
            False,
            f"no memory controller; {about.without}",
            about.enables,
            controller("memory", plan, root).fix,
        )
    for cgroup in islice(_some_cgroups(plan, root), _LOOKED_AT):
        if present(cgroup / about.needs):
            if present(cgroup / about.file):
                return Feature(feature, True, f"{about.file} (Linux {version})", about.enables)
            return Feature(feature, False, about.without, about.enables, f"use Linux {version} or newer")
    if kernel_version(root) >= about.since:
        return Feature(feature, True, f"by the kernel's version (Linux {version})", about.enables)
    return Feature(feature, False, about.without, about.enables, f"use Linux {version} or newer")


def _some_cgroups(plan: Plan | HostError, root: Path) -> Iterator[Path]:
    if isinstance(plan, Plan):
        yield plan.cgroup
    for mount in hierarchy.unified_mounts(root):
        yield mount.point
        for below in mount.point.rglob("cgroup.procs"):
            yield below.parent


def _delegate_fix(name: str, plan: Plan | HostError) -> str:
    if isinstance(plan, Plan) and plan.how is How.SYSTEMD_USER:
        drop_in = "/etc/systemd/system/user@.service.d"
        return (
            f"as root: mkdir -p {drop_in} && printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' "
            f"> {drop_in}/delegate.conf && systemctl daemon-reload, and log in again"
        )
    if isinstance(plan, Plan):
        return f"as root: echo +{name} > {plan.cgroup.parent / 'cgroup.subtree_control'}"
    return "get a delegated cgroup first (see delegation)"
