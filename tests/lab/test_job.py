"""What is put into the guest: the environment, the shares, and words that no shell changes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.errors import UsageError
from agentcgroup.lab import job
from agentcgroup.lab.job import Job


@given(st.lists(st.binary(max_size=40).filter(lambda word: b"\0" not in word), max_size=5))
def test_a_shell_gives_every_word_back_unchanged(words: list[bytes]) -> None:
    script = b"printf '%s\\0' " + b" ".join(job.quoted(os.fsdecode(word)) for word in [b"first", *words])
    done = subprocess.run(["/bin/sh"], input=script, capture_output=True, check=True)
    assert done.stdout.split(b"\0")[1:-1] == words


def test_a_nul_byte_is_refused() -> None:
    with pytest.raises(UsageError):
        job.quoted("a\0b")


def test_the_environment_is_short_and_can_be_added_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/some/bin")
    monkeypatch.setenv("SECRET", "x")
    made = job.environment({"TERM": "vt100", "MORE": "a b"}, Path("/here"))
    assert made["PATH"] == "/some/bin"
    assert "SECRET" not in made
    assert (made["TERM"], made["MORE"], made["PWD"], made["AGENTCGROUP_LAB"]) == ("vt100", "a b", "/here", "1")


@pytest.mark.parametrize("name", ["", "A B", "1A", "A-B", "X;rm"])
def test_a_name_that_no_shell_takes_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="variable"):
        job.environment({name: "x"}, Path("/"))


def test_shares_are_real_directories_once_and_outer_ones_first(tmp_path: Path) -> None:
    inner = tmp_path / "in ner"
    inner.mkdir()
    (tmp_path / "link").symlink_to(inner)
    assert job.checked_shares([inner, tmp_path / "link", tmp_path]) == [tmp_path, inner]


@pytest.mark.parametrize("share", ["/", "/proc", "/sys/fs", "/dev/shm", "/run", "/nonexistent", "/bin/sh"])
def test_what_cannot_be_shared_is_refused(share: str) -> None:
    with pytest.raises(UsageError, match="cannot share"):
        job.checked_shares([share])


def test_the_directory_to_start_in_must_be_visible(tmp_path: Path) -> None:
    assert job.checked_cwd(tmp_path, []) == tmp_path
    with pytest.raises(UsageError, match="--share"):
        job.checked_cwd("/proc", [])
    with pytest.raises(UsageError, match="existing"):
        job.checked_cwd("relative", [])


def test_the_archive_is_what_the_guest_expects(tmp_path: Path) -> None:
    order = Job(["echo", "it's"], Path("/a b"), {"X": "1"}, [Path("/s'h")], 4096, True, "token-0")
    subprocess.run(["busybox", "cpio", "-i"], input=job.archive(order), cwd=tmp_path, capture_output=True, check=True)
    assert (tmp_path / "job/shares").read_text() == "share share0 '/s'\\''h'\n"
    assert (tmp_path / "job/settings").read_text() == "token=token-0\nmerge=1\nswap_bytes=4096\n"
    command = (tmp_path / "job/command").read_text().splitlines()
    assert command[0] == "cd -- '/a b' || exit 125"
    assert command[-1] == "exec 'echo' 'it'\\''s'"
    for script in ("init", "job/stage2", "job/command"):
        subprocess.run(["busybox", "sh", "-n", tmp_path / script], check=True)
