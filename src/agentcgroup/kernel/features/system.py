"""Probes of the rest of the kernel: privileges, namespaces, pressure information, swap."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from agentcgroup.kernel import namespace, psi
from agentcgroup.kernel.features.feature import Feature, effective_capabilities, kernel_version, read_text
from agentcgroup.units import format_size

_CAP_SYS_RESOURCE = 1 << 24


def privileges(root: Path) -> Feature:
    """Whether we are root; rootless everything works that a user manager delegates."""
    enables = "controllers of the whole host, mounts without a user namespace, BPF"
    if os.geteuid() == 0:
        return Feature("root", True, "running as root", enables)
    fix = "not needed for containing calls when the controllers are delegated; else run with sudo"
    return Feature("root", False, f"rootless (uid {os.geteuid()})", enables, fix)


def private_mounts(root: Path) -> Feature:
    """Whether a private mount namespace can be had, by making one in a child process."""
    enables = "catching every shell of an agent, absolute paths and shebangs included"
    how = namespace.can_private_mounts()
    if how:
        detail = "with our privileges" if how == "root" else "in a user namespace"
        return Feature("private-mounts", True, detail, enables)
    detail = "forbidden; shells are caught by SHELL and PATH only"
    return Feature("private-mounts", False, detail, enables, namespace.UNSHARE_FIX)


def clone_into_cgroup(root: Path) -> Feature:
    """Whether a process can be born in its cgroup (clone3 with CLONE_INTO_CGROUP), by the kernel's version."""
    enables = "a call is in its cgroup from its first instruction"
    if kernel_version(root) >= (5, 7):
        return Feature("clone-into-cgroup", True, "by the kernel's version (Linux 5.7)", enables)
    return Feature(
        "clone-into-cgroup", False, "a call moves itself before it starts", enables, "use Linux 5.7 or newer"
    )


def pressure(root: Path) -> Feature:
    """Whether the kernel accounts stalls, and how fine its triggers can be."""
    enables = "saying whether a limit hurts: stall times in every record"
    if psi.read_pressure(root / "proc/pressure/memory") is None:
        return Feature("psi", False, "no /proc/pressure", enables, "boot with psi=1 (needs CONFIG_PSI, Linux 4.20)")
    fine = effective_capabilities(root) & _CAP_SYS_RESOURCE
    return Feature(
        "psi", True, f"triggers with windows of {'any length up to 10 s' if fine else '2, 4, 6, 8 or 10 s'}", enables
    )


def swap(root: Path) -> Feature:
    """Whether there is swap: without it, memory.high can only stall a call that grows."""
    enables = "slowing a call that grows instead of stalling it"
    match = re.search(r"^SwapTotal:\s+(\d{1,18}) kB", read_text(root / "proc/meminfo") or "", re.MULTILINE)
    size = int(match[1]) * 1024 if match else 0
    if size:
        return Feature("swap", True, format_size(size), enables)
    return Feature(
        "swap",
        False,
        "none",
        enables,
        "as root: fallocate -l 4G /swapfile && chmod 600 /swapfile && mkswap /swapfile && swapon /swapfile",
    )


#: Feature name -> probe, in the order of the table.
PROBES: dict[str, Callable[[Path], Feature]] = {
    "root": privileges,
    "private-mounts": private_mounts,
    "clone-into-cgroup": clone_into_cgroup,
    "psi": pressure,
    "swap": swap,
}
