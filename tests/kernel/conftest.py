"""Cgroups for tests, below the real unified hierarchy of this machine, removed afterwards."""

import itertools
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.hierarchy import find_unified_mount

_NUMBERS = itertools.count()

Spawn = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def unified() -> Path:
    """The mount point of cgroup v2, which these tests need writable."""
    mount = find_unified_mount()
    assert mount is not None, "these tests need cgroup v2: mount -t cgroup2 none /sys/fs/cgroup/unified"
    return mount


@pytest.fixture
def cgroup(unified: Path) -> Iterator[Cgroup]:
    """An empty cgroup with all controllers there are enabled for its children."""
    top = Cgroup(unified)
    top.enable(("memory", "pids", "cpu", "io"))
    made = top.create(f"agentcgroup-test-{os.getpid()}-{next(_NUMBERS)}")
    made.enable(("memory", "pids", "cpu", "io"))
    yield made
    made.remove_tree(10)


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Start a command, optionally in a cgroup from its beginning; what still runs at the end is killed and reaped."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*argv: str, into: Cgroup | None = None, **options: object) -> subprocess.Popen[bytes]:
        words = ["sh", "-c", 'echo 0 > "$0/cgroup.procs" && exec "$@"', str(into.path), *argv] if into else list(argv)
        process: subprocess.Popen[bytes] = subprocess.Popen(words, **options)  # type: ignore[call-overload]
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """A temporary directory that other users can reach, unlike tmp_path."""
    with tempfile.TemporaryDirectory(prefix="agentcgroup-test-") as name:
        path = Path(name)
        path.chmod(0o777)
        yield path
