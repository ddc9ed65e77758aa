"""What a session may say of its cgroup: its own, or nothing."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.daemon.territory import confirmed
from agentcgroup.kernel.hierarchy import own_cgroup, unified_mounts

_USER, _OTHER = 4321, 4322


@pytest.fixture
def session() -> Iterator[tuple[str, Path]]:
    """A cgroup of ``_USER``, as /proc would show it, and where it is."""
    mounts = [mount for mount in unified_mounts() if not mount.read_only and mount.cgroup == "/"]
    if os.geteuid() != 0 or not mounts:
        pytest.skip("needs root and a writable cgroup v2 hierarchy: agentcgroup lab run")
    name = f"s{uuid.uuid4().hex[:12]}"
    path = mounts[0].point / name
    path.mkdir()
    os.chown(path, _USER, _USER)
    yield f"/{name}", path
    path.rmdir()


def test_a_users_own(session: tuple[str, Path]) -> None:
    claim, path = session
    assert confirmed(claim, path.name, _USER) == path
    assert confirmed(claim, path.name, 0) == path


def test_that_of_another_user(session: tuple[str, Path]) -> None:
    claim, path = session
    assert confirmed(claim, path.name, _OTHER) is None


def test_it_is_called_as_the_session_is(session: tuple[str, Path]) -> None:
    claim, _ = session
    assert confirmed(claim, "another", _USER) is None
    assert confirmed(claim, "another", 0) is None


def test_roundabout_ways(session: tuple[str, Path]) -> None:
    claim, path = session
    for odd in (f"/..{claim}", f"/.{claim}", f"/{claim}", f"{claim}/", claim[1:], f"{claim}\0", f"/x/..{claim}"):
        assert confirmed(odd, path.name, _USER) is None


def test_it_has_to_be_there(session: tuple[str, Path]) -> None:
    claim, _ = session
    assert confirmed(f"{claim}/gone", "gone", 0) is None


def test_own_cgroup_of_a_process_is_no_session_of_another_name() -> None:
    assert confirmed(own_cgroup(), "no-session-has-this-name", os.geteuid()) is None


@given(st.text(max_size=60), st.text(max_size=20))
def test_any_text(claim: str, name: str) -> None:
    assert confirmed(claim, name, _OTHER) is None


def test_characters_that_no_path_can_have() -> None:
    assert confirmed("/\ud800/s1", "s1", 0) is None
