"""The build of the client: what comes out, and what is said when it cannot be made."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from agentcgroup.client import image

pytest.importorskip("hatchling", reason="the build hook needs hatchling")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The client's sources in another place, without what was built."""
    target = tmp_path / "src/agentcgroup/client"
    shutil.copytree(
        Path(image.__file__).parent, target, ignore=shutil.ignore_patterns("agentcgroup-client", "build", "__pycache__")
    )
    return tmp_path


def _build(root: Path, **env: str) -> subprocess.CompletedProcess[str]:
    program = "import sys; sys.path.insert(0, sys.argv[1]); import hatch_build, pathlib\n"
    program += "print(hatch_build.build_client(pathlib.Path(sys.argv[2])))"
    argv = [sys.executable, "-c", program, str(ROOT), str(root)]
    return subprocess.run(argv, env={"PATH": "/usr/bin:/bin", **env}, capture_output=True, text=True, check=False)


def test_the_binary_is_small_static_and_not_writable_code(static_client: Path) -> None:
    data = static_client.read_bytes()
    assert len(data) < 64 * 1024  # half of it is the configuration block
    offset, size, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
    kinds: dict[int, list[int]] = {}
    for index in range(count):
        kind, flags = struct.unpack_from("<II", data, offset + index * size)
        kinds.setdefault(kind, []).append(flags)
    assert 3 not in kinds, "PT_INTERP: it needs a dynamic loader"
    assert all(flags & 3 != 3 for flags in kinds[1]), "a segment is writable and executable"
    assert kinds[0x6474E551] == [6], "PT_GNU_STACK: the stack is executable"


def test_the_build_hook_builds_and_does_not_build_again(copy: Path) -> None:
    first = _build(copy)
    assert first.returncode == 0, first.stderr
    binary = Path(first.stdout.strip())
    built = binary.stat().st_mtime_ns
    assert image.MAGIC in binary.read_bytes()
    assert _build(copy).returncode == 0
    assert binary.stat().st_mtime_ns == built
    assert not list(binary.parent.glob("*.new"))


def test_without_a_compiler_one_line_says_so(copy: Path) -> None:
    done = _build(copy, CC="no-such-compiler")
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1
    assert "install one" in done.stderr


def test_a_compiler_that_fails_is_quoted(copy: Path) -> None:
    (copy / "src/agentcgroup/client/main.c").write_text("#error told you\n")
    done = _build(copy)
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1
    assert "told you" in done.stderr
