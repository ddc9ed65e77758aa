"""Fixtures of the client's tests: both builds of the client, a controller, a session."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import agentcgroup.client
from agentcgroup.client.image import ClientConfig
from tests.client.harness import Controller, Session, Tree, moved_to, unified_mount

SOURCES = Path(agentcgroup.client.__file__).parent


def _make(*targets: str) -> None:
    done = subprocess.run(["make", "-s", "-C", str(SOURCES), *targets], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def static_client() -> Path:
    """The client as it is shipped, built from the sources that are here."""
    _make("agentcgroup-client")
    return SOURCES / "agentcgroup-client"


@pytest.fixture(scope="session")
def checked_client() -> Path:
    """The same client with ASan and UBSan; any finding makes it exit 1 with a report on stderr."""
    _make("build/client-asan")
    return SOURCES / "build" / "client-asan"


@pytest.fixture(scope="session")
def fuzz_harness() -> Path:
    """The parsers with ASan and UBSan, fed through stdin."""
    _make("build/fuzz")
    return SOURCES / "build" / "fuzz"


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="acg-") as folder:
        yield Path(folder)


@pytest.fixture
def controller(short_path: Path) -> Iterator[Controller]:
    running = Controller(short_path / "s").start()
    yield running
    running.stop()


@pytest.fixture
def tree() -> Iterator[Tree]:
    """Cgroups of a session, with this process in its agent leaf."""
    mount = unified_mount()
    if mount is None:
        pytest.skip("no writable cgroup v2 hierarchy on this host")
    made = Tree(mount)
    try:
        with moved_to(mount, made.agent):
            yield made
    finally:
        made.remove()


@pytest.fixture
def session(short_path: Path, static_client: Path, tree: Tree) -> Session:
    """A session whose COMMAND is this test: every shell it starts is a call."""
    config = ClientConfig(
        real="/bin/sh",
        root_pid=os.getpid(),
        sock=str(short_path / "s"),
        journal=str(short_path / "journal"),
        agent_cgroup=tree.shown(tree.agent),
        calls_cgroup=tree.shown(tree.calls),
        calls_dir=str(tree.calls),
        rules="force\tcommand\n",
        deadline_ms=2000,
    )
    return Session(short_path, static_client, config, tree)
