"""Every session test must leave the host as it was."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.run.running import sessions_left


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No cgroup of a session may be there after a test that was not there before it."""
    before = set(sessions_left())
    yield
    deadline = time.monotonic() + 3
    while set(sessions_left()) - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert set(sessions_left()) <= before
