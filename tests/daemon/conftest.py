"""Daemons for tests: real processes, real sockets."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.daemons import Daemons, Nursery
from tests.daemon.users import end_all


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """The process that forks the daemons."""
    with Nursery() as found:
        yield found


@pytest.fixture
def daemons(nursery: Nursery) -> Iterator[Daemons]:
    """Starts daemons at one socket, in a folder that other users may enter; ends them with the test."""
    folder = Path(tempfile.mkdtemp(prefix="agentcgroup-test-"))
    folder.chmod(0o755)
    found = Daemons(nursery, folder)
    try:
        yield found
    finally:
        end_all()
        found.close()
        shutil.rmtree(folder)
