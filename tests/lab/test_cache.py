"""The cache: a kernel is there whole or not at all, and damage is noticed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agentcgroup.errors import LabError
from agentcgroup.lab import cache
from agentcgroup.lab.cache import Manifest


def _store(root: Path, version: str = "7.3.4-cloud") -> None:
    with cache.locked(root), cache.workspace(root) as work:
        kernel = work / "kernel"
        kernel.mkdir()
        (kernel / "vmlinux").write_bytes(b"kernel " + version.encode())
        (kernel / "initrd.cpio").write_bytes(b"initrd")
        files = {name: cache.describe(kernel / name) for name in ("vmlinux", "initrd.cpio")}
        cache.store(root, kernel, Manifest(version, "sid", {"p": "0"}, ("a note",), files))


def test_what_is_stored_is_loaded(tmp_path: Path) -> None:
    assert cache.load(tmp_path) is None
    _store(tmp_path)
    loaded = cache.load(tmp_path, full=True)
    assert loaded is not None
    kernel, manifest = loaded
    assert (kernel.version, kernel.initrd, manifest.notes) == ("7.3.4-cloud", b"initrd", ("a note",))
    assert kernel.image.read_bytes() == b"kernel 7.3.4-cloud"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["current", "kernels", "lock"]


def test_a_newer_kernel_takes_the_place_of_the_old_and_the_same_one_can_be_stored_again(tmp_path: Path) -> None:
    for version in ("1.0", "2.0", "2.0"):
        _store(tmp_path, version)
    loaded = cache.load(tmp_path)
    assert loaded is not None
    assert loaded[0].version == "2.0"
    assert [path.name for path in (tmp_path / "kernels").iterdir()] == ["2.0"]


def test_damage_is_noticed(tmp_path: Path) -> None:
    _store(tmp_path)
    image = tmp_path / "kernels/7.3.4-cloud/vmlinux"
    status = image.stat()
    image.write_bytes(b"Kernel 7.3.4-cloud")
    assert cache.load(tmp_path) is None  # another time: the hash decides
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert cache.load(tmp_path) is not None  # the cheap check cannot see this
    assert cache.load(tmp_path, full=True) is None
    image.write_bytes(b"kernel 7.3.4-cloud")
    assert cache.load(tmp_path) is not None  # a copied cache has other times and the same content
    image.unlink()
    assert cache.load(tmp_path) is None


@pytest.mark.parametrize("current", ["../../etc", "", "7.3.4/..", "a\nb"])
def test_a_pointer_out_of_the_cache_is_not_followed(tmp_path: Path, current: str) -> None:
    _store(tmp_path)
    (tmp_path / "current").write_text(current)
    assert cache.load(tmp_path) is None


def test_another_format_is_not_loaded(tmp_path: Path) -> None:
    _store(tmp_path)
    path = tmp_path / "kernels/7.3.4-cloud/manifest.json"
    data = json.loads(path.read_text())
    changes: list[object] = [
        {**data, "format": 2},
        {**data, "files": {}},
        [],
        {**data, "files": {"vmlinux": 1, "initrd.cpio": 2}},
    ]
    for changed in changes:
        path.write_text(json.dumps(changed))
        assert cache.load(tmp_path) is None


HOLD = """
import sys, time
from pathlib import Path
from agentcgroup.lab import cache
with cache.locked(Path(sys.argv[1])), cache.workspace(Path(sys.argv[1])) as work:
    (work / "half").write_bytes(b"x")
    print("holding", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def _holder(root: Path, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, root, str(seconds)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "holding\n"
    return process


def test_one_writer_waits_for_the_other(tmp_path: Path) -> None:
    with _holder(tmp_path, 0.5) as holder:
        started = time.monotonic()
        _store(tmp_path)
        assert time.monotonic() - started > 0.3
        assert holder.wait() == 0


def test_a_killed_writer_leaves_nothing_behind_that_matters(tmp_path: Path) -> None:
    _store(tmp_path, "1.0")
    with _holder(tmp_path, 60) as holder:
        holder.kill()
    assert list(tmp_path.glob("work.*/half"))
    loaded = cache.load(tmp_path, full=True)
    assert loaded is not None
    assert loaded[0].version == "1.0"
    _store(tmp_path, "2.0")
    assert not list(tmp_path.glob("work.*"))


def test_an_unwritable_cache_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LabError, match="XDG_CACHE_HOME"), cache.locked(tmp_path / "file"):
        pass


def test_the_place_follows_xdg_and_ignores_a_relative_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.root() == tmp_path / "agentcgroup/lab"
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache.root() == Path("/home/someone/.cache/agentcgroup/lab")
