"""Says whether the lab can boot on this host, and how to mend what keeps it from doing so."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from agentcgroup.errors import LabError
from agentcgroup.lab import accel, cache, packages, sources, virtiofs

_CACHE_SPACE = 300 << 20  # a fetch needs 250 MB for a moment, 65 MB stay


@dataclass(frozen=True, slots=True)
class Check:
    """One thing the lab needs, or is faster with."""

    name: str  # stable: programs read it
    ok: bool
    needed: bool  # without it the lab does not work
    detail: str
    fix: str = ""


def checks() -> list[Check]:
    """All checks, in the order in which they should be mended."""
    return [_architecture(), *_programs(), _virtiofsd_user(), _kvm(), _kernel(), _mirror(), _disk()]


def works(found: list[Check]) -> bool:
    """Whether nothing that the lab needs is missing."""
    return all(check.ok for check in found if check.needed)


def _architecture() -> Check:
    machine = platform.machine()
    return Check("architecture", machine == "x86_64", True, machine, "use an x86-64 host")


def _programs() -> Iterator[Check]:
    missing = packages.missing()
    for program in packages.PACKAGES:
        place = packages.find(program)
        detail = str(place) if place else "not installed"
        if place and program == packages.QEMU:
            detail += _qemu_version(str(place))
        elif program == "busybox" and not place and shutil.which(program):
            detail = "installed, but not the static one"
        yield Check(
            program, place is not None, True, detail, f"run: {packages.install_line(missing)}" if missing else ""
        )


def _qemu_version(program: str) -> str:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    match = re.search(r"version (\d+)\.(\d+)", done.stdout)
    if match is None:
        return ""
    old = (int(match[1]), int(match[2])) < (7, 2)
    return f", {match[0]}" + (" (before 7.2: no AVX2 when emulated, polars will not start)" if old else "")


def _virtiofsd_user() -> Check:
    program = packages.find("virtiofsd")
    ok = program is None or os.geteuid() == 0 or virtiofs.is_rust(program)
    detail = "root" if os.geteuid() == 0 else "not root"
    return Check("user", ok, True, detail, "run the lab as root, or install the Rust virtiofsd (QEMU 8.0 and later)")


def _kvm() -> Check:
    if packages.find(packages.QEMU) is None:
        return Check("kvm", False, False, "cannot be tried without QEMU", "install QEMU first")
    trouble = accel.kvm_trouble()
    return Check(
        "kvm",
        not trouble,
        False,
        trouble or "works",
        "the CPU is emulated, 2 to 30 times slower; KVM needs a host with virtualization and access to /dev/kvm",
    )


def _kernel() -> Check:
    loaded = cache.load(cache.root(), full=True)
    if loaded is None:
        return Check("kernel", False, False, f"none in {cache.root()}", "run: agentcgroup lab prepare")
    return Check("kernel", True, False, f"{loaded[0].version} from {loaded[1].suite}, hashes checked")


def _mirror() -> Check:
    try:
        mirror = sources.debian_mirror(sources.host_sources())
    except LabError as error:
        have = cache.load(cache.root()) is not None
        return Check("mirror", False, not have, error.message, error.fix)
    return Check("mirror", True, False, mirror.uri)


def _disk() -> Check:
    place = cache.root()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    fix = f"free some space, or set XDG_CACHE_HOME; the lab needs {_CACHE_SPACE >> 20} MB to fetch a kernel"
    return Check("disk", free >= _CACHE_SPACE, False, f"{free >> 20} MB free at {place}", fix)
