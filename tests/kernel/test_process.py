"""Processes as /proc shows them: real ones, odd ones and ended ones."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agentcgroup.kernel import process
from tests.kernel.conftest import Spawn

ENDED = 4_194_304  # above the largest pid there can be


def wait_until(condition: object, timeout: float = 5) -> None:
    assert callable(condition)
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_stat_of_ourselves_and_of_a_session_leader(spawn: Spawn) -> None:
    own = process.stat(os.getpid())
    assert own is not None
    assert (own.ppid, own.pgid, own.sid) == (os.getppid(), os.getpgrp(), os.getsid(0))
    leader = spawn("sleep", "100", start_new_session=True)
    seen = process.stat(leader.pid)
    assert seen is not None
    assert (seen.ppid, seen.pgid, seen.sid) == (os.getpid(), leader.pid, leader.pid)
    assert seen.start_ticks >= own.start_ticks


@pytest.mark.parametrize("comm", ["a) R 1 (b", "paren(", "sp ace", ") Z 0 0"])
def test_stat_with_a_name_made_to_confuse(tmp_path: Path, comm: str) -> None:
    code = f"import sys; open('/proc/self/comm', 'w').write({comm!r}); print(flush=True); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    seen = process.stat(child.pid)
    child.communicate()
    assert seen is not None
    assert (seen.comm, seen.ppid) == (comm, os.getpid())


def test_ended_processes_read_as_none() -> None:
    assert process.stat(ENDED) is None
    assert process.cmdline(ENDED) is None
    assert process.exe(ENDED) is None
    assert process.pss_bytes(ENDED) is None
    assert process.status_signals(ENDED) is None
    assert process.open_pidfd(ENDED) is None
    assert process.descendants(ENDED) == []
    assert process.pss_sum_bytes([ENDED]) is None


def test_cmdline_and_exe(spawn: Spawn) -> None:
    child = spawn("sleep", "100")
    wait_until(lambda: process.cmdline(child.pid) == ("sleep", "100"))
    assert Path(process.exe(child.pid) or "").name in ("sleep", "coreutils", "busybox")
    odd = b"\xff\n "
    code = "import sys; print(flush=True); sys.stdin.read()"
    words = [os.fsencode(word) for word in (sys.executable, "-S", "-c", code, "", os.fsdecode(odd))]
    echo = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert echo.stdout is not None
    echo.stdout.readline()
    assert process.cmdline(echo.pid) == (sys.executable, "-S", "-c", code, "", "\udcff\n ")
    echo.communicate()


def test_a_zombie_has_a_stat_but_no_command_line(spawn: Spawn) -> None:
    child = subprocess.Popen(["true"])
    wait_until(lambda: getattr(process.stat(child.pid), "state", "") == "Z")
    assert process.cmdline(child.pid) == ()
    assert process.pss_bytes(child.pid) in (None, 0)
    child.wait()
    assert process.stat(child.pid) is None


def test_signal_masks(spawn: Spawn) -> None:
    child = spawn("sh", "-c", "trap '' USR1; trap : USR2; echo; read x", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    masks = process.status_signals(child.pid)
    assert masks is not None
    assert signal.SIGUSR1 in masks.ignored
    assert signal.SIGUSR2 in masks.caught
    assert signal.SIGUSR1 not in masks.caught | masks.blocked


def test_descendants_are_found_over_sessions_parents_first(spawn: Spawn) -> None:
    top = spawn("sh", "-c", "setsid sh -c 'sleep 100; :' & wait")
    wait_until(lambda: len(process.descendants(top.pid)) >= 2)
    below = process.descendants(top.pid)
    seen = {pid: process.stat(pid) for pid in below}
    first = seen[below[0]]
    assert first is not None
    assert first.ppid == top.pid
    assert process.kill_descendants(top.pid) >= 2
    assert top.wait(5) == 0


def test_kill_descendants_outruns_a_forking_process(spawn: Spawn) -> None:
    code = (
        "import os, subprocess, sys; from agentcgroup.kernel import process as p; p.become_subreaper();"
        "subprocess.Popen(['sh', '-c', 'while :; do setsid sleep 0.3 & done']); import time; time.sleep(0.2);"
        "hit = p.kill_descendants(os.getpid());"
        "alive = [d for d in p.descendants(os.getpid()) if (s := p.stat(d)) and s.state not in 'ZX'];"
        "print(hit, len(alive))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    hit, alive = map(int, done.stdout.split())
    assert hit > 5
    assert alive == 0


def test_a_subreaper_gets_the_orphans() -> None:
    code = (
        "import os, subprocess, sys; from agentcgroup.kernel import process as p; p.become_subreaper();"
        "out = subprocess.run(['sh', '-c', 'sleep 5 >/dev/null & echo $!'], stdout=subprocess.PIPE).stdout;"
        "print(p.stat(int(out)).ppid == os.getpid()); p.kill_descendants(os.getpid())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "True"


def test_pdeathsig_ends_a_child_with_its_parent(tmp_path: Path) -> None:
    child = (
        "from agentcgroup.kernel import process as p; import time;p.set_pdeathsig(9); print(flush=True); time.sleep(99)"
    )
    parent = (
        f"import subprocess, sys; c = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE);"
        "c.stdout.readline(); print(c.pid, flush=True)"
    )
    done = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, timeout=30, check=True)
    pid = int(done.stdout)
    wait_until(lambda: getattr(process.stat(pid), "state", "Z") == "Z")


def test_pidfd_signals_and_polls(spawn: Spawn) -> None:
    child = spawn("sleep", "100")
    pidfd = process.open_pidfd(child.pid)
    assert pidfd is not None
    assert select.select([pidfd], [], [], 0)[0] == []
    assert process.signal_pidfd(pidfd, signal.SIGTERM)
    assert select.select([pidfd], [], [], 5)[0] == [pidfd]
    assert child.wait() == -signal.SIGTERM
    assert not process.signal_pidfd(pidfd, signal.SIGTERM)
    os.close(pidfd)


def test_pss_counts_what_a_process_touches() -> None:
    code = "import sys; b = b'x' * (30 << 20); print(flush=True); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    size = process.pss_bytes(child.pid)
    both = process.pss_sum_bytes([child.pid, ENDED, os.getpid()])
    child.communicate()
    assert size is not None
    assert both is not None
    assert 30 << 20 <= size < 60 << 20
    assert both > size


def test_pss_falls_back_to_the_resident_size(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7/statm").write_text("100 25 5 1 0 10 0\n")
    assert process.pss_bytes(7, tmp_path) == 25 * os.sysconf("SC_PAGESIZE")
