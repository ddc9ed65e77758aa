"""`run --scheduler sched_ext`, live: who is governed, and that a session goes on without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentcgroup.kernel.scx import POLICY, Enabled, enabled
from agentcgroup.model import Outcome
from agentcgroup.trace.records import Action
from bench.above import NAME, above
from tests.run.running import Ran, agent, run, shown

STATE = Path("/sys/kernel/sched_ext/state")
SLOWED = "slowed to 1% of a CPU by sched_ext"
POLICY_OF = "/usr/bin/python3 -Sc 'import os; print(os.sched_getscheduler(0))'"


def noted(ran: Ran) -> list[str]:
    """What the trace says of the scheduler."""
    found = [event.body for event in ran.trace.sessions[0].events if isinstance(event.body, Action)]
    return [action.reason for action in found if action.action == "scheduler"]


@pytest.mark.skipif(STATE.exists(), reason="this kernel has sched_ext")
def test_where_there_is_no_sched_ext_the_session_runs_and_is_told_once(tmp_path: Path) -> None:
    ran = run(tmp_path, agent(tmp_path, f"sh({POLICY_OF!r})"), "--scheduler", "sched_ext")
    assert str(shown(ran)[0][2]).strip() == "0"
    assert ran.stderr.count("cpu.weight alone divides the CPU") == 1
    assert noted(ran) == []


@pytest.mark.kernel
def test_the_agent_and_its_calls_are_governed_and_nothing_stays_behind(tmp_path: Path) -> None:
    source = f"""
        print(os.sched_getscheduler(0))
        sh({POLICY_OF!r})
    """
    ran = run(tmp_path, agent(tmp_path, source), "--scheduler", "sched_ext")
    assert int(ran.stdout.splitlines()[0]) == POLICY
    assert str(shown(ran)[0][2]).strip() == str(POLICY)
    assert ran.outcomes == [Outcome.OK]
    assert noted(ran) == ["sched_ext: the scheduler of agentcgroup divides the CPU"]
    assert STATE.read_text().strip() in ("disabled", "disabling")


@pytest.mark.kernel
def test_below_a_scheduler_that_lets_it_in_it_is_attached_to_the_session(tmp_path: Path) -> None:
    source = f"""
        sh({POLICY_OF!r})
        root = next(line.split()[1] for line in open("/proc/mounts") if line.split()[2] == "cgroup2")
        session = root + os.path.dirname(open("/proc/self/cgroup").read().rpartition("0::")[2].strip())
        open(session + "/cpu.max", "w").write("10000 100000")
        time.sleep(2)  # looks come once a second
        until, used_s = time.monotonic() + 2, time.process_time()
        while time.monotonic() < until: pass
        print("used", time.process_time() - used_s)
    """
    with above() as other:
        ran = run(tmp_path, agent(tmp_path, source), "--scheduler", "sched_ext")
        assert other.passed_on > 0
        assert other.exit_kind == 0
        assert enabled() == Enabled(NAME, open=True)
    assert str(shown(ran)[0][2]).strip() == str(POLICY)
    assert float(ran.stdout.rpartition("used")[2]) < 0.5, "of two seconds"
    assert ran.outcomes == [Outcome.OK]
    assert noted(ran) == [f"sched_ext: the scheduler of agentcgroup, attached below {NAME}, divides the CPU"]


@pytest.mark.kernel
def test_below_a_scheduler_that_lets_none_in_the_session_runs_and_is_told_once(tmp_path: Path) -> None:
    with above(open=False):
        ran = run(tmp_path, agent(tmp_path, f"sh({POLICY_OF!r})"), "--scheduler", "sched_ext")
    assert ran.outcomes == [Outcome.OK]
    assert ran.stderr.count(f"another sched_ext scheduler ({NAME}) is enabled and lets none attach below it") == 1
    assert noted(ran) == []


@pytest.mark.kernel
def test_with_its_brake_calls_are_slowed_while_there_is_some_room_and_frozen_when_there_is_none(tmp_path: Path) -> None:
    grow = 'import os, time; time.sleep(max(0, float(os.environ["AT"]) - time.time())); x = bytearray(100 << 20)'
    work = f"{grow}\nt = time.monotonic()\nwhile time.monotonic() < t + 3: pass"
    source = f"""
        os.environ["AT"] = str(time.time() + 12)  # all at once, however slowly they start
        many = [subprocess.Popen(["bash", "-c", {f"/usr/bin/python3 -Sc '{work}'"!r}], start_new_session=True)
                for _ in range(4)]
        print(sorted(process.wait() for process in many))
    """
    ran = run(tmp_path, agent(tmp_path, source), "--memory", "400m", "--scheduler", "sched_ext", "--enforcer", "scx")
    found = [event.body for event in ran.trace.sessions[0].events if isinstance(event.body, Action)]
    held = [action for action in found if action.action == "freeze"]
    assert held
    for action in held:
        assert (SLOWED in action.reason) == ("out of" not in action.reason), action
    killed = {action.call for action in found if action.action == "kill"}
    assert {action.call for action in held} - killed == {a.call for a in found if a.action == "thaw"} - killed
    assert ran.outcomes.count(Outcome.OK) >= 3, (ran.stdout, found)
    assert [action.reason.partition(":")[0] for action in found if action.action == "enforcer"] == ["scx"]


@pytest.mark.kernel
def test_a_call_that_is_slowed_stands_when_the_policy_wants_that(tmp_path: Path) -> None:
    script = tmp_path / "count.py"
    script.write_text("import time\nt = time.monotonic()\nwhile (at := time.monotonic()) < t + 10: print(at)\n")
    options = ("--policy", "tests.daemon.policies:Stiffening", "--scheduler", "sched_ext", "--enforcer", "scx")
    path = {"PYTHONPATH": str(Path(__file__).parents[2])}
    ran = run(tmp_path, agent(tmp_path, f'sh("/usr/bin/python3 -S {script}")'), *options, environment=path)
    done = [
        (event.mono_ns / 1e9, event.body.action, event.body.reason)
        for event in ran.trace.sessions[0].events
        if isinstance(event.body, Action) and event.body.action in ("freeze", "thaw")
    ]
    assert [each[1:] for each in done] == [("freeze", f"a test ({SLOWED})"), ("freeze", "a test"), ("thaw", "a test")]
    instants = [float(word) for word in str(shown(ran)[0][2]).split()]
    stands_s, goes_on_s = done[1][0] + 0.5, done[2][0]
    assert stands_s < goes_on_s < instants[-1]
    assert not [at for at in instants if stands_s < at < goes_on_s]


@pytest.mark.kernel
def test_when_the_kernel_ejects_it_the_session_goes_on_and_is_told_why(tmp_path: Path) -> None:
    source = """
        open("/proc/sysrq-trigger", "w").write("S")
        time.sleep(2.5)
        sh("echo on")
    """
    ran = run(tmp_path, agent(tmp_path, source), "--scheduler", "sched_ext")
    assert ran.status == 0
    assert ran.outcomes == [Outcome.OK]
    assert "sysrq" in noted(ran)[1].lower()
    assert "cpu.weight divides the CPU from now on" in ran.stderr
