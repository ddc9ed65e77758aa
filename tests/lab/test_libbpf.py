"""The guest's libbpf: fetched from a small apt repository made here, kept, and made known to the guest."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentcgroup.errors import LabError
from agentcgroup.kernel.libbpf import OVERRIDE
from agentcgroup.lab import cache, libbpf, sources
from agentcgroup.lab.sources import Source
from tests.lab import made_files
from tests.lab.test_kernel import _Trusting

FOLDER = "usr/lib/x86_64-linux-gnu"


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty mirror and an empty cache, on a host whose own libbpf will not do."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(OVERRIDE, str(tmp_path / "none.so"))
    root = tmp_path / "mirror"
    for suite in libbpf.SUITES:
        (root / suite).mkdir(parents=True)
    monkeypatch.setattr(sources, "host_sources", lambda: [Source(f"copy:{root}", "bookworm", ("main",))])
    monkeypatch.setattr(libbpf, "PrivateApt", _Trusting)
    return root


def _offer(mirror: Path, suite: str, files: dict[str, bytes]) -> None:
    deb = made_files.deb(mirror / suite, libbpf.PACKAGE, "1", files)
    made_files.repository(mirror, suite, [deb])


def test_it_is_fetched_once_and_the_guest_is_told(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert libbpf.find() is None
    _offer(mirror, libbpf.SUITES[0], {f"{FOLDER}/libbpf.so.1.4.6": b"library"})
    said: list[str] = []
    assert libbpf.prepare(said.append).startswith("1.4.6 for the guest")
    copy = libbpf.find()
    assert copy is not None
    assert copy.read_bytes() == b"library"
    assert not list(cache.root().glob("work.*"))
    assert len(said) == 1
    libbpf.prepare(said.append)
    assert len(said) == 1  # offline from now on
    monkeypatch.delenv(OVERRIDE)
    assert libbpf.environment() == {OVERRIDE: str(copy)}
    monkeypatch.setenv(OVERRIDE, "/somewhere/else.so")
    assert libbpf.environment() == {OVERRIDE: "/somewhere/else.so"}


def test_the_next_suite_is_tried(mirror: Path) -> None:
    _offer(mirror, libbpf.SUITES[1], {f"{FOLDER}/libbpf.so.1.5.0": b"library"})
    assert libbpf.prepare(lambda message: None).startswith("1.5.0")


def test_a_package_without_the_library_is_refused_in_words(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _offer(mirror, libbpf.SUITES[0], {f"{FOLDER}/libother.so.1": b"x"})
    with pytest.raises(LabError, match=rf"holds 0 libraries.*{OVERRIDE}"):
        libbpf.prepare(lambda message: None)
    assert libbpf.find() is None
    monkeypatch.delenv(OVERRIDE)
    assert libbpf.environment() == {}
