"""Where the lab keeps its kernels, and how a kernel gets there whole or not at all.

$XDG_CACHE_HOME/agentcgroup/lab/      (~/.cache/agentcgroup/lab)
  lock                                held by whoever writes
  current                             the name of the kernel to boot
  kernels/VERSION/                    vmlinux, initrd.cpio, manifest.json
  libbpf/libbpf.so.VERSION            for the guest, where the host's own is too old
  work.*/                             a download in progress; left by a killed one, removed by the next
  apt/SUITE/                          lists of the private apt
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from agentcgroup.errors import LabError

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~_-]*")
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the cache as it was written."""

    size: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a kernel directory holds and where it came from."""

    version: str  # uname -r
    suite: str
    packages: dict[str, str]  # name_version of each package -> sha256 of its .deb
    notes: tuple[str, ...]  # kernels that were passed over, and why
    files: dict[str, StoredFile]


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel ready to boot: its image and the first root file system with its modules."""

    version: str
    image: Path
    initrd: bytes
    origin: str  # in words


def root() -> Path:
    """The cache directory (not created)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "agentcgroup" / "lab"


@contextlib.contextmanager
def locked(cache: Path) -> Iterator[None]:
    """Hold the cache's lock; waits for another prepare. The kernel drops it when this process dies."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(cache / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LabError(f"cannot write to the cache {cache}: {error.strerror}", "set XDG_CACHE_HOME") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def workspace(cache: Path) -> Iterator[Path]:
    """A directory to build a kernel in, removed at the end; under the lock, so older ones are leftovers."""
    for leftover in cache.glob("work.*"):
        shutil.rmtree(leftover, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix="work.", dir=cache))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def store(cache: Path, work: Path, manifest: Manifest) -> None:
    """Move the kernel directory ``work`` to its place and make it the current one; drops the others."""
    check_name(manifest.version)
    (work / "manifest.json").write_text(json.dumps({"format": _FORMAT, **asdict(manifest)}, indent=1) + "\n")
    for path in work.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    kernels = cache / "kernels"
    kernels.mkdir(exist_ok=True)
    target = kernels / manifest.version
    if target.exists():
        target.rename(work.parent / "replaced")  # inside the workspace: goes with it
    work.rename(target)
    pointer = cache / "current.new"
    pointer.write_text(manifest.version + "\n")
    pointer.replace(cache / "current")
    for other in kernels.iterdir():
        if other.name != manifest.version:
            shutil.rmtree(other, ignore_errors=True)


def describe(path: Path) -> StoredFile:
    """Size, time and SHA-256 of a file."""
    status = path.stat()
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return StoredFile(status.st_size, status.st_mtime_ns, digest)


def load(cache: Path, full: bool = False) -> tuple[Kernel, Manifest] | None:
    """The current kernel if it is there and sound, else None.

    Size and time of the files are compared with the manifest; only where they differ, or with ``full``,
    the hashes are.
    """
    try:
        version = check_name((cache / "current").read_text().strip())
        directory = cache / "kernels" / version
        manifest = _manifest(json.loads((directory / "manifest.json").read_text()))
        if manifest.version != version or not all(
            _sound(directory / name, stored, full) for name, stored in manifest.files.items()
        ):
            return None
        initrd = (directory / "initrd.cpio").read_bytes()
    except (OSError, ValueError, LabError):
        return None
    origin = f"Debian {manifest.suite}, in the cache {cache}"
    return Kernel(version, directory / "vmlinux", initrd, origin), manifest


def check_name(version: str) -> str:
    """``version`` if it can be a file name; it comes from a package index or a file."""
    if not _VERSION.fullmatch(version):
        raise LabError(f"{version!r} is not a kernel version")
    return version


def _sound(path: Path, stored: StoredFile, full: bool) -> bool:
    status = path.stat()
    if status.st_size != stored.size:
        return False
    if status.st_mtime_ns == stored.mtime_ns and not full:
        return True
    return describe(path).sha256 == stored.sha256


def _manifest(data: object) -> Manifest:
    try:
        if not isinstance(data, dict) or data["format"] != _FORMAT or set(data["files"]) != {"vmlinux", "initrd.cpio"}:
            raise ValueError("another format")
        files = {name: StoredFile(**stored) for name, stored in data["files"].items()}
        return Manifest(data["version"], data["suite"], data["packages"], tuple(data["notes"]), files)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a manifest: {error}") from error
