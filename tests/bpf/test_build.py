"""The build of the BPF objects: the same bytes everywhere, and what is said when they cannot be made."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agentcgroup.kernel import bpf

pytest.importorskip("hatchling", reason="the build hook needs hatchling")
ROOT = Path(__file__).parents[2]
SOURCES = sorted(bpf.FOLDER.glob("*.bpf.c"))


def _copy(to: Path) -> Path:
    shutil.copytree(bpf.FOLDER, to / "src/agentcgroup/bpf", ignore=shutil.ignore_patterns("*.o", "__pycache__"))
    return to


def _build(root: Path, **env: str) -> subprocess.CompletedProcess[str]:
    program = "import sys; sys.path.insert(0, sys.argv[1]); import hatch_build, pathlib\n"
    program += "print(*hatch_build.build_bpf(pathlib.Path(sys.argv[2])), sep='\\n')"
    argv = [sys.executable, "-c", program, str(ROOT), str(root)]
    environment = {"PATH": "/usr/bin:/bin", **env}
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)


def _objects(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "src/agentcgroup/bpf").glob("*.bpf.o")}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = _copy(tmp_path_factory.mktemp("one"))
    done = _build(root)
    if "no clang" in done.stderr:
        pytest.skip("no clang here: install what tools/apt-packages.txt names")
    assert done.returncode == 0, done.stderr
    return root


def test_every_source_becomes_an_object_and_is_not_built_again(built: Path) -> None:
    made = _objects(built)
    assert sorted(made) == [source.with_suffix(".o").name for source in SOURCES] != []
    times = [path.stat().st_mtime_ns for path in built.rglob("*.bpf.o")]
    assert _build(built).returncode == 0
    assert [path.stat().st_mtime_ns for path in built.rglob("*.bpf.o")] == times


def test_another_place_gives_the_same_bytes_and_no_place_is_named(built: Path, tmp_path: Path) -> None:
    deeper = _copy(tmp_path / "a/deeper/place")
    assert _build(deeper).returncode == 0
    assert _objects(deeper) == _objects(built)
    for data in _objects(built).values():
        assert str(built).encode() not in data
        assert b".BTF.ext" in data


def test_a_changed_header_builds_anew(tmp_path: Path, built: Path) -> None:
    shutil.copytree(built / "src", tmp_path / "src")
    (tmp_path / "src/agentcgroup/bpf/exec.h").open("a").write("/* changed */\n")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.bpf.o")}
    assert _build(tmp_path).returncode == 0
    assert all(path.stat().st_mtime_ns > time for path, time in before.items())


def test_without_clang_one_line_says_so_and_no_old_object_stays(tmp_path: Path) -> None:
    root = _copy(tmp_path)
    (root / "src/agentcgroup/bpf/exec.bpf.o").write_bytes(b"of other sources")
    (root / "src/agentcgroup/bpf/exec.h").touch()
    done = _build(root, PATH=str(tmp_path / "nothing"))
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert "apt install clang" in done.stderr
    assert _objects(root) == {}


def test_a_clang_that_is_too_old_is_none(tmp_path: Path) -> None:
    root = _copy(tmp_path)
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, version in (("clang", "13.0.1"), ("clang-9", "9.0.0")):
        (folder / name).write_text(f"#!/bin/sh\necho 'Debian clang version {version}'\n")
        (folder / name).chmod(0o755)
    done = _build(root, PATH=f"{folder}:/nonexistent")
    assert done.returncode == 0
    assert "no clang 14 or newer" in done.stderr


def test_what_clang_says_is_quoted(tmp_path: Path, built: Path) -> None:
    root = _copy(tmp_path)
    (root / "src/agentcgroup/bpf/exec.h").open("a").write("#error told you\n")
    done = _build(root)
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1
    assert "told you" in done.stderr


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_every_source_opens_with_what_it_does_and_where_it_is_weak(source: Path) -> None:
    text = source.read_text()
    assert text.startswith("/* ")
    opening = text[: text.index("*/")]
    assert len(opening.split()) > 80
    assert "weakness" in opening
