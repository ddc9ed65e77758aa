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
from bench.above import NAME, above, attached
from tests.daemon.daemons import Daemons, Process, until
from tests.run.running import agent, start

STATE = Path("/sys/kernel/sched_ext/state")
OURS = "scheduler=sched_ext"
_LOADED_WITHIN_S = 60  # two of them at once, in an emulator that another one slows down
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
def test_below_another_scheduler_each_session_has_one_of_its_own(daemons: Daemons, tmp_path: Path) -> None:
    with above() as other:
        daemon = daemons.start(OURS)
        assert daemons.ask("status")["scheduler"] == "sched_ext"

        def meanwhile() -> None:
            asyncio.run(until(lambda: attached() == ["agentcgroup"] * 2, _LOADED_WITHIN_S))
            other.ending = next(each for each in other.below if each)
            asyncio.run(until(lambda: attached() == ["agentcgroup"], _LOADED_WITHIN_S))
            asyncio.run(until(lambda: f"{NAME} has its tasks" in daemons.log))
            assert daemons.ask("status")["scheduler"] == "sched_ext"

        for folder, stdout, stderr in two_sessions(daemons, tmp_path, daemon, meanwhile):
            assert int(stdout.splitlines()[0]) == POLICY
            assert noted(folder) == ["sched_ext: the scheduler of agentcgroup, held by the daemon, divides the CPU"]
            assert "cpu.weight alone" not in stderr
        asyncio.run(until(lambda: attached() == []))
        assert other.exit_kind == 0
    asyncio.run(until(lambda: daemons.ask("status")["scheduler"] == "default"))
    assert f"the scheduler above has ended: {NAME}" in daemons.ask("status")["scheduler_why"]
    assert daemons.log.count("the kernel ended the scheduler of") == 1


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


SPINNER = """
    sh("/usr/bin/python3 -Sc 'import time; until = time.monotonic() + 10\\nwhile time.monotonic() < until: pass'")
"""


@pytest.mark.kernel
def test_what_the_policy_freezes_softly_is_slowed_instead(daemons: Daemons, tmp_path: Path) -> None:
    """Enforcer ``scx``: the leaf is not frozen, and hardly gets on; until the policy wants it to stand."""
    daemons.start("enforcer=scx", "policy=tests.daemon.policies:Stiffening")
    asyncio.run(until(lambda: daemons.ask("status")["enforcer"] == "scx", 30))
    options = ("--name", "one", "--daemon", "require", "--daemon-socket", str(daemons.socket))
    run = start(tmp_path, agent(tmp_path, SPINNER), *options, "--scheduler", "sched_ext")
    try:
        frozen, used_s = asyncio.run(_while_slowed(daemons))
    finally:
        _, stderr = run.communicate(timeout=60)
    assert run.returncode == 0, stderr
    assert not frozen
    assert used_s < 0.15, "of a second, at most a trickle"
    found = [
        event.body for event in read_trace(tmp_path / "trace").sessions[0].events if isinstance(event.body, Action)
    ]
    reasons = [action.reason for action in found if action.action == "freeze"]
    assert reasons == ["a test (slowed to 1% of a CPU by sched_ext)", "a test"]
    assert [action.action for action in found if action.action in ("freeze", "thaw")] == ["freeze", "freeze", "thaw"]


async def _while_slowed(daemons: Daemons) -> tuple[bool, float]:
    """Whether the leaf stood already after a second, as it must later; the CPU time that it used in that second."""

    def slowed() -> bool:
        return any(call["frozen"] for session in daemons.ask("list")["sessions"] for call in shown(session["name"]))

    def shown(name: str) -> list[dict[str, object]]:
        return list(daemons.ask("show", name)["session"]["calls"])

    await until(slowed, 30)
    [leaf] = [
        path.parent
        for path in Path("/sys/fs/cgroup").rglob("one/calls/c*/cgroup.freeze")
        if "populated 1" in (path.parent / "cgroup.events").read_text()
    ]

    def stands() -> bool:
        return "frozen 1" in (leaf / "cgroup.events").read_text()

    await asyncio.sleep(0.1)
    before = _used_s(leaf)
    await asyncio.sleep(1.0)
    used_s, frozen = _used_s(leaf) - before, stands()
    await until(stands, 10)
    return frozen, used_s


def _used_s(leaf: Path) -> float:
    lines = (leaf / "cpu.stat").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("usage_usec"))) / 1e6
