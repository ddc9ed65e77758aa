"""Stand-ins: the block is where and what config.h says, and a bad value is refused with its remedy."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from agentcgroup.client import image
from agentcgroup.client.image import ClientConfig, client_binary, write_stand_in, write_stand_ins
from agentcgroup.errors import AgentcgroupError, HostError, UsageError

CONFIG = ClientConfig(real="/bin/sh", root_pid=4711, sock="/s", rules="force\tcommand\n", deadline_ms=50)


def _block(path: Path) -> bytes:
    data = path.read_bytes()
    assert data.count(image.MAGIC) == 1
    offset = data.index(image.MAGIC)
    assert offset % 16 == 0
    return data[offset : offset + image.BLOCK_SIZE]


def test_fields_lie_where_the_document_says(static_client: Path, tmp_path: Path) -> None:
    config = ClientConfig(
        real="/r", root_pid=7, sock="/s", pool="/p", journal="/j", agent_cgroup="/a", calls_cgroup="/c",
        calls_dir="/d", rules="R", deadline_ms=51, no_cgroup=True,
    )  # fmt: skip
    write_stand_in(static_client, tmp_path / "sh", config)
    block, about = _block(tmp_path / "sh"), (tmp_path / "sh").stat()
    assert struct.unpack_from("<16sIIII", block) == (image.MAGIC, 1, 1, 7, 51)
    assert struct.unpack_from("<QQ", block, 32) == (about.st_ino, 0)
    assert struct.unpack_from("<Q", block, 96) == (about.st_dev,)
    strings = {128: "/r", 384: "/s", 640: "/p", 896: "/j", 1152: "/a", 1664: "/c", 2176: "/d", 4096: "R"}
    for offset, text in strings.items():
        assert block[offset : offset + 3].rstrip(b"\0") == text.encode()


def test_stand_ins_know_each_other(static_client: Path, tmp_path: Path) -> None:
    write_stand_ins(static_client, {tmp_path / "bash": CONFIG, tmp_path / "sh": CONFIG})
    inodes = tuple((tmp_path / name).stat().st_ino for name in ("bash", "sh"))
    for name in ("bash", "sh"):
        assert struct.unpack_from("<3Q", _block(tmp_path / name), 32) == (*inodes, 0)
    assert {p.name for p in tmp_path.iterdir()} == {"bash", "sh"}


def test_a_running_stand_in_can_be_replaced(static_client: Path, tmp_path: Path) -> None:
    for _ in range(2):
        write_stand_in(static_client, tmp_path / "sh", CONFIG)
        assert (tmp_path / "sh").stat().st_mode & 0o7777 == 0o755
        subprocess.run([tmp_path / "sh", "-c", "true"], check=True)


@pytest.mark.parametrize(
    "change",
    [
        {"sock": "/" + "x" * 107},
        {"real": "sh"},
        {"real": "/" + "x" * 255},
        {"calls_dir": "/" + "é" * 300},
        {"rules": "x" * 16384},
        {"journal": "/a\0b"},
    ],
)
def test_what_does_not_fit_is_refused(static_client: Path, tmp_path: Path, change: dict[str, str]) -> None:
    values = {name: getattr(CONFIG, name) for name in CONFIG.__dataclass_fields__} | change
    with pytest.raises(UsageError) as caught:
        write_stand_in(static_client, tmp_path / "sh", ClientConfig(**values))
    assert caught.value.fix
    assert list(tmp_path.iterdir()) == []


def test_the_longest_socket_path_fits(static_client: Path, tmp_path: Path) -> None:
    values = {name: getattr(CONFIG, name) for name in CONFIG.__dataclass_fields__} | {"sock": "/" + "x" * 106}
    write_stand_in(static_client, tmp_path / "sh", ClientConfig(**values))


def test_a_source_that_is_no_client(tmp_path: Path) -> None:
    (tmp_path / "no").write_bytes(b"\x7fELF")
    for source in (tmp_path / "no", tmp_path / "missing", Path("/bin/true")):
        with pytest.raises(HostError) as caught:
            write_stand_in(source, tmp_path / "sh", CONFIG)
        assert caught.value.fix


def test_a_target_that_cannot_be_written(static_client: Path, tmp_path: Path) -> None:
    with pytest.raises(HostError):
        write_stand_in(static_client, tmp_path / "no" / "sh", CONFIG)


def test_a_missing_client_says_how_to_build_it(static_client: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client_binary() == static_client
    monkeypatch.setattr(image, "__file__", "/nonexistent/image.py")
    with pytest.raises(AgentcgroupError, match="make -C"):
        client_binary()


def test_the_unpatched_client_says_what_it_is(static_client: Path) -> None:
    done = subprocess.run([static_client, "-c", "true"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "agentcgroup run" in done.stderr
    assert done.stderr.count("\n") == 1
