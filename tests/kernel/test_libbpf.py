"""Finding libbpf: what is said of a library that is none, too old, or not whole."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from agentcgroup.kernel import bpf, libbpf
from agentcgroup.kernel.libbpf import BpfError, Obstacle


def _library(folder: Path, source: str) -> Path:
    path = folder / "libmade.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-xc", "-", "-o", path], input=source, text=True, check=True)
    return path


def _refused(monkeypatch: pytest.MonkeyPatch, path: Path | str) -> BpfError:
    monkeypatch.setenv(libbpf.OVERRIDE, str(path))
    with pytest.raises(BpfError) as caught:
        libbpf.load()
    assert libbpf.OVERRIDE in caught.value.fix
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_library_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    error = _refused(monkeypatch, tmp_path / "none.so")
    assert error.obstacle is Obstacle.NO_LIBRARY
    assert str(tmp_path / "none.so") in error.message
    assert error.log  # the dynamic loader's own words


def test_a_library_of_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _refused(monkeypatch, "libc.so.6").obstacle is Obstacle.OLD_LIBRARY


@pytest.mark.parametrize(("major", "minor"), [(0, 8), (1, 1), (1, 3)])
def test_an_old_one_is_named_by_its_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, major: int, minor: int
) -> None:
    source = (
        f"int libbpf_major_version(void) {{ return {major}; }} int libbpf_minor_version(void) {{ return {minor}; }}"
    )
    error = _refused(monkeypatch, _library(tmp_path, source))
    assert error.obstacle is Obstacle.OLD_LIBRARY
    assert error.message == f"libbpf {major}.{minor} is too old"


def test_a_new_one_that_lacks_a_function(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = "int libbpf_major_version(void) { return 9; } int libbpf_minor_version(void) { return 0; }"
    error = _refused(monkeypatch, _library(tmp_path, source))
    assert error.obstacle is Obstacle.OLD_LIBRARY
    assert "libbpf_version_string" in error.message


def test_an_object_that_was_not_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bpf, "FOLDER", tmp_path)
    with pytest.raises(BpfError) as caught:
        bpf.object_path("exec")
    assert caught.value.obstacle is Obstacle.NO_OBJECT
    assert "clang" in caught.value.fix


@pytest.mark.parametrize(
    ("status", "btf", "obstacle"),
    [
        ("CapEff:\t000001ffffffffff\n", False, Obstacle.NO_BTF),
        ("CapEff:\t0000000000000000\n", True, Obstacle.NO_CAPABILITY),
        ("CapEff:\t0000008000000000\n", True, Obstacle.NO_CAPABILITY),  # CAP_BPF alone
        ("", True, Obstacle.NO_CAPABILITY),
    ],
)
def test_what_the_host_lacks(tmp_path: Path, status: str, btf: bool, obstacle: Obstacle) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/status").write_text(status)
    if btf:
        (tmp_path / "sys/kernel/btf").mkdir(parents=True)
        (tmp_path / "sys/kernel/btf/vmlinux").write_bytes(b"")
    with pytest.raises(BpfError) as caught:
        bpf.check(tmp_path)
    assert caught.value.obstacle is obstacle
    assert caught.value.fix


@pytest.mark.parametrize(("mask", "enough"), [(1 << 21, True), (1 << 39 | 1 << 38, True), (1 << 38, False), (0, False)])
def test_which_capabilities_are_enough(mask: int, enough: bool) -> None:
    assert bpf.may_load(mask) is enough
