"""Every way for the lab to end: no QEMU, no virtiofsd and no file is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

LAB = [sys.executable, "-m", "agentcgroup", "lab", "run"]


class Lab:
    """A running `agentcgroup lab run` and what it started."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.directory = directory
        self.process = subprocess.Popen(
            [*LAB, *arguments],
            env={**os.environ, "TMPDIR": str(directory)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.helpers: set[int] = set()

    def wait_for_output(self) -> None:
        """Until the command in the guest has written a line; remembers the helpers that run then."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"started\n"
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self.helpers = {int(child) for child in children}
        names = sorted(Path(f"/proc/{child}/comm").read_text().strip() for child in self.helpers)
        assert names == ["qemu-system-x86", "virtiofsd", "virtiofsd"]

    def assert_nothing_left(self) -> None:
        """No helper runs (a killed lab's are given a moment), and no file is left."""
        until = time.monotonic() + 5
        while (left := {child for child in self.helpers if _runs(child)}) and time.monotonic() < until:
            time.sleep(0.02)
        assert left == set()
        assert list((self.directory).iterdir()) == []


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "share").mkdir()
    yield tmp_path
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["share", "tmp"]


def _start(place: Path, *options: str) -> Lab:
    command = "echo kept >f; sync; echo started; exec sleep 1000"
    return Lab(
        place / "tmp", *options, "--share", str(place / "share"), "--", "sh", "-c", f"cd {place}/share; {command}"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_ends_all_and_the_lab_dies_of_it(place: Path, number: signal.Signals) -> None:
    lab = _start(place)
    lab.wait_for_output()
    sent = time.monotonic()
    lab.process.send_signal(number)
    _, err = lab.process.communicate(timeout=20)
    assert time.monotonic() - sent < 3
    assert lab.process.returncode == -number
    assert err == b""
    lab.assert_nothing_left()
    assert (place / "share/f").read_text() == "kept\n"


def test_a_timeout_is_status_124_and_says_so(place: Path) -> None:
    lab = _start(place, "--timeout", "3s")
    lab.wait_for_output()
    _, err = lab.process.communicate(timeout=20)
    assert lab.process.returncode == 124
    assert b"did not end within 3.0 s" in err
    lab.assert_nothing_left()


def test_a_reader_that_goes_away_ends_the_lab_as_it_ends_a_pipe(place: Path) -> None:
    lab = Lab(place / "tmp", "--", "sh", "-c", "echo started; exec yes")
    lab.helpers = set()
    assert lab.process.stdout is not None
    assert lab.process.stdout.readline() == b"started\n"
    lab.process.stdout.close()
    assert lab.process.wait(timeout=20) == -signal.SIGPIPE
    assert lab.process.stderr is not None
    assert lab.process.stderr.read() == b""
    lab.process.stderr.close()
    lab.assert_nothing_left()


def test_a_lost_virtiofsd_is_the_labs_trouble(place: Path) -> None:
    lab = _start(place)
    lab.wait_for_output()
    daemon = next(pid for pid in lab.helpers if Path(f"/proc/{pid}/comm").read_text() == "virtiofsd\n")
    os.kill(daemon, signal.SIGKILL)
    _, err = lab.process.communicate(timeout=20)
    assert lab.process.returncode == 125
    assert b"virtiofsd" in err
    assert b"ended before the command did" in err
    lab.assert_nothing_left()


def test_a_signal_while_the_guest_boots_leaves_nothing(place: Path) -> None:
    lab = _start(place)
    children = Path(f"/proc/{lab.process.pid}/task/{lab.process.pid}/children")
    until = time.monotonic() + 20
    while len(lab.helpers) < 3 and time.monotonic() < until:
        lab.helpers = {int(child) for child in children.read_text().split()}
        time.sleep(0.01)
    lab.process.send_signal(signal.SIGTERM)
    out, _ = lab.process.communicate(timeout=20)
    assert out == b""
    assert lab.process.returncode == -signal.SIGTERM
    lab.assert_nothing_left()
