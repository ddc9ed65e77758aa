"""The guest's libbpf: the host's own where it is new enough, else a copy fetched for the lab alone.

Distributions of 2023 and 2024 have one that is too old (agentcgroup.kernel.libbpf says why that matters). The backport
was built for the oldest C library of those, so it runs on all newer ones.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from agentcgroup.errors import LabError
from agentcgroup.kernel import libbpf
from agentcgroup.lab import cache, kernel, sources
from agentcgroup.lab.apt import PrivateApt

SUITES = ("bookworm-backports", "trixie")
PACKAGE = "libbpf1"
_FILE = re.compile(r"libbpf\.so\.(\d+\.\d+\.\d+)")


def find() -> Path | None:
    """The copy in the lab's cache, or None."""
    directory = cache.root() / "libbpf"
    copies = [path for path in directory.glob("libbpf.so.*") if _FILE.fullmatch(path.name)]
    return max(copies, default=None)


def environment() -> dict[str, str]:
    """What the guest must be told to find its libbpf: nothing where there is no copy, and what the user set stays."""
    if named := os.environ.get(libbpf.OVERRIDE):
        return {libbpf.OVERRIDE: named}
    copy = find()
    return {libbpf.OVERRIDE: str(copy)} if copy else {}


def prepare(report: kernel.Report) -> str:
    """Make sure that the guest will find a libbpf; returns which, in words. LabError when it cannot be had."""
    try:
        return f"{libbpf.load().version_text}, this host's own"
    except libbpf.BpfError:
        pass  # none here, or too old
    directory = cache.root()
    with cache.locked(directory):
        copy = find() or _fetch(directory, report)
    return f"{copy.name.removeprefix('libbpf.so.')} for the guest, in {copy.parent}"


def _fetch(directory: Path, report: kernel.Report) -> Path:
    mirror = sources.debian_mirror(sources.host_sources())
    trouble: list[str] = []
    for suite in SUITES:
        report(f"fetching libbpf from {suite}")
        try:
            apt = PrivateApt(directory / "apt" / suite, mirror, suite)
            apt.update()
            with cache.workspace(directory) as work:
                kernel.unpack(apt.download(PACKAGE, work / PACKAGE), work / "root")
                return _store(directory, work / "root")
        except LabError as error:
            trouble.append(f"{suite}: {error}")
    raise LabError(
        f"no libbpf for the guest: {'; '.join(trouble)}", f"set {libbpf.OVERRIDE} to the path of libbpf 1.4 or newer"
    )


def _store(directory: Path, unpacked: Path) -> Path:
    """Move the library to its place, whole; the links to it stay behind."""
    found = [path for path in unpacked.rglob("libbpf.so.*") if _FILE.fullmatch(path.name) and not path.is_symlink()]
    if len(found) != 1:
        raise LabError(f"the package {PACKAGE} holds {len(found)} libraries", "try again later")
    target = directory / "libbpf" / found[0].name
    target.parent.mkdir(exist_ok=True)
    return found[0].rename(target)
