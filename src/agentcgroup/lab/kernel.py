"""The lab's kernel: chosen and fetched from Debian, or the user's own.

Newest first from the backports, then from unstable, and only one whose type information is sound: some
Debian builds describe sched_ext's functions wrongly (agentcgroup.kernel.btf), the one that the
metapackage resolved to in November 2026 among them.
"""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentcgroup.errors import HostError, LabError, UsageError
from agentcgroup.kernel import btf
from agentcgroup.lab import bzimage, cache, cpio, modules, packages, sources
from agentcgroup.lab.apt import PrivateApt
from agentcgroup.lab.cache import Kernel, Manifest

SUITES = ("trixie-backports", "sid")
# Looked at per suite; more would only fetch kernels older than anybody wants.
_CANDIDATES = 6
_BINARY = re.compile(r"linux-binary-(?:unsigned-)?(\d+\.\d+\S*-cloud-amd64)")
# kfunc -> parameters in a sound kernel
NEEDED_KFUNCS = {**btf.SCHED_EXT_PARAMETERS, "bpf_mem_cgroup_usage": 1}

_SUITE = re.compile(r"[a-z][a-z0-9-]*")

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Search:
    suites: tuple[str, ...]
    wanted: str
    report: Report


def obtain(report: Report, suites: Sequence[str] = ()) -> Kernel:
    """The kernel in the cache, fetched first when there is none that is sound and from ``suites``, if given."""
    loaded = cache.load(cache.root())
    if loaded and (not suites or loaded[1].suite in suites):
        return loaded[0]
    return prepare(report, suites=suites)[0]


def prepare(
    report: Report, *, suites: Sequence[str] = (), wanted: str = "", refresh: bool = False
) -> tuple[Kernel, Manifest]:
    """Make sure that a sound kernel is in the cache.

    ``suites`` of Debian are searched in order (default SUITES). ``wanted`` prefers versions that begin so
    (``7.3``) and says so when a suite has none. ``refresh`` looks for a newer one than is there.
    Offline, a good cache is enough. LabError tells what is missing otherwise.
    """
    for suite in suites:
        if not _SUITE.fullmatch(suite):
            raise UsageError(f"{suite!r} is not a Debian suite", "use a name such as trixie-backports or sid")
    if platform.machine() != "x86_64":
        raise LabError(f"the lab needs an x86-64 host, this is {platform.machine()}", "run it on another machine")
    directory = cache.root()
    with cache.locked(directory):
        loaded = cache.load(directory, full=True)
        good = loaded is not None and _is(loaded[0].version, wanted) and (loaded[1].suite in suites or not suites)
        if loaded and good and not refresh:
            return loaded
        for program in ("busybox", "zstd"):
            packages.need(program)
        mirror = sources.debian_mirror(sources.host_sources())
        with cache.workspace(directory) as work:
            fetched = _fetch(directory, work, mirror, _Search(tuple(suites) or SUITES, wanted, report))
            cache.store(directory, work / "kernel", fetched)
        loaded = cache.load(directory)
    if loaded is None:
        raise LabError(f"the kernel just stored in {directory} cannot be read back", "check the disk")
    return loaded


def own(path: Path) -> Kernel:
    """A kernel of the user's: a bzImage or vmlinux whose modules are beside it or in /lib/modules."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LabError(f"cannot read the kernel {path}: {error.strerror}", "give a vmlinuz or vmlinux file") from error
    version = bzimage.version(data)
    if not version:
        raise LabError(f"{path} is not a Linux kernel for x86-64", "give a vmlinuz or vmlinux file")
    cache.check_name(version)
    beside = path.resolve().parent
    places = [beside / "modules", beside, Path("/lib/modules") / version]
    directory = next((place for place in places if (place / "kernel").is_dir()), Path("/nonexistent"))
    modules_from = str(directory) if (directory / "kernel").is_dir() else f"none, as there is no {places[-1]}"
    return Kernel(version, path.resolve(), _initrd(directory), f"{path} (modules: {modules_from})")


def _fetch(directory: Path, work: Path, mirror: sources.Source, search: _Search) -> Manifest:
    notes: list[str] = []
    trouble: list[str] = []
    for suite in search.suites:
        search.report(f"reading the package index of {suite}")
        apt = PrivateApt(directory / "apt" / suite, mirror, suite)
        try:
            apt.update()
        except LabError as error:
            trouble.append(str(error))
            continue
        for version, package in _candidates(apt, search, notes):
            search.report(f"checking kernel {version} from {suite}")
            deb, image = _image(apt, package, version, work)
            problems = _problems(image)
            if problems:
                notes.append(f"{version} from {suite} passed over: {', '.join(problems)}")
                search.report(notes[-1])
                continue
            search.report(f"fetching the modules of {version}")
            return _build(apt, version, deb, image, work, tuple(notes))
    raise LabError(
        f"no usable kernel in {' or '.join(search.suites)}: {'; '.join([*notes, *trouble]) or 'none is offered'}",
        "check the network, or give a kernel of your own: agentcgroup lab run --kernel PATH -- COMMAND",
    )


def _candidates(apt: PrivateApt, search: _Search, notes: list[str]) -> Iterator[tuple[str, str]]:
    """(version, package) of the kernels whose modules are there too, the wanted ones first, newest first."""
    by_version: dict[str, str] = {}
    for package in sorted(apt.packages(_BINARY), key=len, reverse=True):  # the signed one, shorter, wins
        match = _BINARY.fullmatch(package)
        if match:
            by_version[cache.check_name(match[1])] = package
    newest = sorted(by_version, key=_order, reverse=True)
    if search.wanted and not any(_is(version, search.wanted) for version in newest):
        notes.append(f"{apt.suite} does not have kernel {search.wanted} any more: taking the newest that is sound")
        search.report(notes[-1])
    newest.sort(key=lambda version: not _is(version, search.wanted))
    with_modules = (version for version in newest if apt.has(f"linux-modules-{version}"))
    for _, version in zip(range(_CANDIDATES), with_modules, strict=False):
        yield version, by_version[version]


def _is(version: str, wanted: str) -> bool:
    """Whether ``version`` is ``wanted`` or begins so: 7.1 is 7.1 and 7.1.13, not 7.10."""
    return version.startswith(wanted) and not (wanted[-1:].isdigit() and version[len(wanted) :][:1].isdigit())


def _order(version: str) -> tuple[list[int], int]:
    """A key that puts 7.3-rc7 before 7.3, and 7.3 before 7.3.4 and 7.10."""
    upstream, _, rest = version.partition("+")[0].partition("-")
    candidate = re.match(r"rc(\d+)", rest)
    return [int(number) for number in re.findall(r"\d+", upstream)], int(candidate[1]) if candidate else 1000


def _image(apt: PrivateApt, package: str, version: str, work: Path) -> tuple[Path, bytes]:
    """The .deb of a kernel and the ELF kernel in it."""
    deb = apt.download(package, work / package)
    unpacked = work / f"{package}.root"
    unpack(deb, unpacked)
    images = sorted(unpacked.rglob("vmlinuz*"))
    if not images:
        raise LabError(f"the package {package} holds no kernel", "try again later; the archive may be in motion")
    return deb, bzimage.vmlinux(images[0].read_bytes())


def _problems(image: bytes) -> list[str]:
    try:
        found = btf.function_params(btf.from_elf(image), NEEDED_KFUNCS)
    except HostError as error:
        return [str(error)]
    return [
        f"{name} is missing" if found[name] is None else f"{name} has {found[name]} parameters instead of {count}"
        for name, count in NEEDED_KFUNCS.items()
        if found[name] != count
    ]


def _build(apt: PrivateApt, version: str, deb: Path, image: bytes, work: Path, notes: tuple[str, ...]) -> Manifest:
    modules_deb = apt.download(f"linux-modules-{version}", work / "modules")
    unpacked = work / "modules.root"
    unpack(modules_deb, unpacked)
    kernel = work / "kernel"
    kernel.mkdir()
    (kernel / "vmlinux").write_bytes(image)
    (kernel / "initrd.cpio").write_bytes(_initrd(unpacked / "usr/lib/modules" / version))
    debs = {path.stem.partition("_amd64")[0]: cache.describe(path).sha256 for path in (deb, modules_deb)}
    files = {name: cache.describe(kernel / name) for name in ("vmlinux", "initrd.cpio")}
    return Manifest(version, apt.suite, debs, notes, files)


def unpack(deb: Path, directory: Path) -> None:
    """Lay the files of a Debian package out below ``directory``; LabError when it is damaged."""
    done = subprocess.run(["dpkg-deb", "-x", str(deb), str(directory)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"cannot unpack {deb.name}: {done.stderr.strip()}", "try again")


def _initrd(directory: Path) -> bytes:
    """busybox and the modules; the scripts that boot the guest are added for each run (agentcgroup.lab.job)."""
    files = {"bin/busybox": (0o755, packages.need("busybox").read_bytes())}
    boot = modules.collect(directory, modules.BOOT_MODULES)
    names = {name for name, _ in boot}
    swap = [(name, content) for name, content in modules.collect(directory, modules.SWAP_MODULES) if name not in names]
    for group, found in (("boot", boot), ("swap", swap)):
        for number, (name, content) in enumerate(found):
            files[f"mods/{group}/{number:02}-{name}.ko"] = (0o644, content)
    directories = ("bin", "mods", "mods/boot", "mods/swap", "proc", "sys", "dev", "host", "over", "new", "run")
    return cpio.archive(files, directories)
