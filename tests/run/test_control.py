"""Control over the calls of one session, live: hints, queueing, the ladder, feedback. Needs the memory controller."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from agentcgroup.model import Outcome
from agentcgroup.trace.records import Action
from tests.run.running import Ran, agent, processes_with, run, shown, start

pytestmark = pytest.mark.kernel

HOLD = "/usr/bin/python3 -S -c 'import time; x = b\"x\" * ({mib} << 20); time.sleep({seconds})'"
CGROUP = "d=/sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)"


def actions(ran: Ran, kind: str = "") -> list[Action]:
    """What was done in the session, in order."""
    found = [event.body for event in ran.trace.sessions[0].events if isinstance(event.body, Action)]
    return [action for action in found if kind in ("", action.action)]


def together(count: int, mib: int, seconds: float, hint: str = "") -> str:
    """Source of an agent that starts ``count`` calls at once, each holding memory for a while."""
    command = hint + HOLD.format(mib=mib, seconds=seconds)
    return f"""
        command = {command!r}
        many = [subprocess.Popen(["bash", "-c", command], start_new_session=True) for _ in range({count})]
        print(sorted(process.wait() for process in many))
    """


def test_a_call_in_a_roomy_session_is_left_alone(tmp_path: Path) -> None:
    ran = run(tmp_path, agent(tmp_path, together(3, 20, 0.5)), "--memory", "1g")
    assert ran.outcomes == [Outcome.OK] * 3
    assert [action for action in actions(ran) if action.call is not None] == []


def test_a_hint_moves_the_limits_of_its_call_only(tmp_path: Path) -> None:
    read = f"{CGROUP}; sleep 0.5; cat $d/memory.high $d/memory.max"
    source = f"""
        sh({read!r})
        sh({"# resource: memory:64m" + chr(10) + read!r})
    """
    ran = run(tmp_path, agent(tmp_path, source), "--memory", "1g", "--call-memory", "512m")
    plain, hinted = (str(line[2]).split() for line in shown(ran))
    assert plain == ["max", str(512 << 20)]
    assert hinted[0] != "max"
    assert 64 << 20 <= int(hinted[0]) < 512 << 20
    assert len(actions(ran, "limit")) == 1


@pytest.mark.parametrize("policy", ["ladder", "none"])
def test_a_call_that_asks_nobody_gets_the_first_limit_of_its_kind(tmp_path: Path, policy: str) -> None:
    """vcs: twice what nearly all such commands need; only the policy that takes it off again sets it."""
    source = f"""
        sh({"git --version; " + CGROUP + "; sleep 0.5; cat $d/memory.high"!r})
    """
    ran = run(tmp_path, agent(tmp_path, source), "--memory", "2g", "--policy", policy)
    (line,) = shown(ran)
    assert str(line[2]).split()[-1] == {"ladder": str(1 << 30), "none": "max"}[policy]
    assert [action.reason for action in actions(ran, "limit")] == ["expected by its kind"] * (policy == "ladder")


def test_a_malformed_hint_runs_and_is_answered(tmp_path: Path) -> None:
    source = 'sh("AGENT_RESOURCE_HINT=memory:lots,time:10m echo ran")'
    ran = run(tmp_path, agent(tmp_path, source), "--memory", "1g")
    (line,) = shown(ran)
    assert line[1:3] == [0, "ran\n"]
    assert "lots" in str(line[3])
    assert "agentcgroup" in str(line[3])


def test_declared_calls_that_do_not_fit_together_wait_for_each_other(tmp_path: Path) -> None:
    source = together(12, 90, 1, "AGENT_RESOURCE_HINT=memory:100m ")
    ran = run(tmp_path, agent(tmp_path, source), "--memory", "512m")
    assert ran.outcomes == [Outcome.OK] * 12, ran.stderr
    assert actions(ran, "queue")
    assert len(actions(ran, "admit")) == len(actions(ran, "queue"))
    assert actions(ran, "kill") == []


@pytest.mark.parametrize("policy", ["ladder", "none"])
def test_calls_that_each_fit_but_together_do_not(tmp_path: Path, policy: str) -> None:
    seconds = 12 if policy == "none" else 2  # without control they must be there together, however slow the machine
    ran = run(tmp_path, agent(tmp_path, together(8, 60, seconds)), "--memory", "400m", "--policy", policy)
    assert ran.status == 0
    if policy == "none":
        assert Outcome.OOM in ran.outcomes
    else:
        assert ran.outcomes == [Outcome.OK] * 8, (ran.stdout, actions(ran))
        assert actions(ran, "queue") or actions(ran, "freeze")


def test_calls_that_grow_late_are_frozen_in_turn(tmp_path: Path) -> None:
    late = 'import os, time; time.sleep(max(0, float(os.environ["AT"]) - time.time())); x'
    source = together(4, 100, 2).replace("import time; x", late)
    at = 'os.environ["AT"] = str(time.time() + 12)  # all at once, however slowly they start'
    ran = run(tmp_path, agent(tmp_path, f"        {at}\n{source}"), "--memory", "400m")
    assert ran.status == 0
    assert ran.outcomes.count(Outcome.OK) >= 3, (ran.stdout, actions(ran))  # all four, but for an unlucky moment
    frozen = {action.call for action in actions(ran, "freeze")}
    assert frozen
    killed = {action.call for action in actions(ran, "kill")}
    assert frozen - killed == {action.call for action in actions(ran, "thaw")} - killed


def test_the_agent_knows_its_budget(tmp_path: Path) -> None:
    source = 'print(os.environ["AGENTCGROUP_BUDGET"]); print(open(os.environ["AGENTCGROUP_BUDGET_FILE"]).read())'
    ran = run(tmp_path, agent(tmp_path, source), "--memory", "1g", "--call-memory", "512m")
    line, *text = ran.stdout.splitlines()
    assert "512 MiB" in line
    assert any("AGENT_RESOURCE_HINT" in part for part in text)


def test_nothing_stays_frozen_when_the_controller_is_killed(tmp_path: Path) -> None:
    mark = f"{tmp_path.name}-frozen"
    command = f"for n in 1 2 3 4 5 6; do sleep 1; done; : {mark}"
    options = ("--memory", "1g", "--policy", "tests.daemon.policies:Pausing")
    path = {"PYTHONPATH": str(Path(__file__).parents[2])}
    process = start(tmp_path, agent(tmp_path, f"sh({command!r})"), *options, environment=path)
    records = tmp_path / "trace" / "records.jsonl"
    deadline = time.monotonic() + 60
    while b'"freeze"' not in (records.read_bytes() if records.exists() else b""):
        assert time.monotonic() < deadline, "it was not frozen"
        time.sleep(0.05)
    process.kill()
    process.wait()
    while processes_with(mark) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not processes_with(mark)  # it went on, and ended
    again = tmp_path / "again"
    again.mkdir()
    assert run(again, ["true"]).status == 0  # and removes what the killed one left


def test_a_busy_cpu_is_noted_and_nobody_is_held_for_it(tmp_path: Path) -> None:
    burn = "timeout 8 sh -c 'for i in 1 2 3 4 5 6; do while :; do :; done & done; wait'"
    ran = run(tmp_path, agent(tmp_path, f"sh({burn!r})"), "--memory", "1g")
    assert actions(ran, "cpu-pressure")
    assert not [action for action in actions(ran) if action.call is not None]


def test_what_the_agents_environment_declares_holds_for_commands_that_do_not_get_it(tmp_path: Path) -> None:
    source = 'subprocess.run(["env", "-u", "AGENT_RESOURCE_HINT", "bash", "-c", "sleep 0.5"], start_new_session=True)'
    ran = run(tmp_path, agent(tmp_path, source), "--memory", "1g", environment={"AGENT_RESOURCE_HINT": "memory:much"})
    assert ran.outcomes == [Outcome.OK]
    assert "much" in ran.stderr
