"""Daemons for the tests of the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.daemons import Host, until
from tests.run.running import sessions_left


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """Starts daemons and sessions, and ends them with the test; no cgroup of them may be left."""
    before = set(sessions_left())
    found = Host(tmp_path)
    try:
        yield found
    finally:
        found.close()
    until(lambda: set(sessions_left()) <= before, "the cgroups of the sessions are gone")
