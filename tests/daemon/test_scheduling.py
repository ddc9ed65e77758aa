"""One scheduler for all sessions of a host, held by the daemon: who is governed, and what happens when it goes."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agentcgroup.kernel.scx import POLICY
from agentcgroup.trace.reader import read_trace
from agentcgroup.trace.records import Action
from tests.daemon.daemons import Daemons, Process, until
from tests.run.running import agent, start

STATE = Path("/sys/kernel/sched_ext/state")
OURS = "scheduler=sched_ext"
SOURCE = """
    print(os.sched_getscheduler(0), flush=True)
    sh("/usr/bin/python3 -Sc 'import os; print(os.sched_getscheduler(0))'")
    while not os.path.exists({stop!r}): time.sleep(0.1)
    sh("echo on")
"""


def noted(folder: Path) -> list[str]:
    """What the trace of a session says of the scheduler."""
    found = [event.body for event in read_trace(folder / "trace").sessions[0].events if isinstance(event.body, Action)]
    return [action.reason for action in found if action.action == "scheduler"]


def two_sessions(
    daemons: Daemons, folder: Path, daemon: Process, meanwhile: Callable[[], None]
) -> list[tuple[Path, str, str]]:
    """Run two sessions at once and do something while both are there; folder, stdout and stderr of each."""
    stop = folder / "stop"
    runs = []
    for name in ("one", "two"):
        (folder / name).mkdir()
        command = agent(folder / name, SOURCE.format(stop=str(stop)))
        options = ("--name", name, "--daemon", "require", "--daemon-socket", str(daemons.socket))
        runs.append((folder / name, start(folder / name, command, *options, "--scheduler", "sched_ext")))

    def both() -> bool:
        return all(run.poll() is not None for _, run in runs) or len(daemons.ask("list")["sessions"]) == 2

    asyncio.run(until(both, 30))
    try:
        time.sleep(1.5)  # the agents have said what they are
        meanwhile()
    finally:
        stop.touch()
        ended = [(place, *run.communicate(timeout=60)) for place, run in runs]
    assert [run.returncode for _, run in runs] == [0, 0], (ended, daemons.log)
    return ended


@pytest.mark.skipif(STATE.exists(), reason="this kernel has sched_ext")
def test_a_host_without_it_is_served_without_and_told_why(daemons: Daemons) -> None:
    daemons.start(OURS)
    status = daemons.ask("status")
    assert status["scheduler"] == "default"
    assert "sched_ext" in status["scheduler_why"]
    assert "cpu.weight alone divides the CPU" in daemons.log


def test_by_default_the_daemon_holds_none(daemons: Daemons) -> None:
    daemons.start()
    status = daemons.ask("status")
    assert (status["scheduler"], status["scheduler_why"]) == ("default", "")


@pytest.mark.kernel
def test_sessions_share_the_scheduler_of_the_daemon(daemons: Daemons, tmp_path: Path) -> None:
    daemon = daemons.start(OURS)
    seen = []

    def meanwhile() -> None:
        seen.append((daemons.ask("status")["scheduler"], STATE.read_text().strip()))

    for folder, stdout, stderr in two_sessions(daemons, tmp_path, daemon, meanwhile):
        assert int(stdout.splitlines()[0]) == POLICY
        assert str(POLICY) in stdout.splitlines()[1]
        assert noted(folder) == ["sched_ext: the scheduler of agentcgroup, held by the daemon, divides the CPU"]
        assert "cpu.weight alone" not in stderr
    assert seen == [("sched_ext", "enabled")]
    daemon.send(signal.SIGTERM)
    asyncio.run(daemon.end())
    asyncio.run(until(lambda: STATE.read_text().strip() == "disabled"))


@pytest.mark.kernel
def test_when_the_kernel_ejects_it_status_and_log_say_why(daemons: Daemons, tmp_path: Path) -> None:
    daemon = daemons.start(OURS)

    def meanwhile() -> None:
        Path("/proc/sysrq-trigger").write_text("S")
        asyncio.run(until(lambda: daemons.ask("status")["scheduler"] == "default"))

    two_sessions(daemons, tmp_path, daemon, meanwhile)
    assert "sysrq" in daemons.ask("status")["scheduler_why"].lower()
    assert "cpu.weight divides the CPU from now on" in daemons.log


@pytest.mark.kernel
def test_a_killed_daemon_takes_it_along_and_the_sessions_go_on(daemons: Daemons, tmp_path: Path) -> None:
    daemon = daemons.start(OURS)

    def meanwhile() -> None:
        daemon.send(signal.SIGKILL)
        asyncio.run(until(lambda: STATE.read_text().strip() == "disabled"))

    for _, stdout, _ in two_sessions(daemons, tmp_path, daemon, meanwhile):
        assert "on\\n" in stdout
