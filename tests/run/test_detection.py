"""The kernel tells of stalls, the session that is served acts at once, and the trace says which enforcer ruled."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentcgroup.trace.records import Action
from tests.run.running import Ran, agent, run

pytestmark = pytest.mark.kernel

PUSHED = "somebody of higher priority stalls for memory, and there is no room for the calls of the session"
# A call of low priority that keeps what it has, and one of high priority that grows beside it until it is tight,
# slowly enough not to look like one that is about to use up the rest, for whose sake the ladder freezes by itself.
GROW = """
import time
kept = []
for step in range({mib}):
    kept.append(b"x" * (1 << 20))
    time.sleep({pace})
time.sleep({stay})
"""
SCENE = f"""
    def start(priority, source):
        environment = {{**os.environ, "AGENT_RESOURCE_HINT": "priority:" + priority}}
        open(priority + ".py", "w").write(source)
        line = ["bash", "-c", "/usr/bin/python3 -S " + priority + ".py; exit $?"]
        return subprocess.Popen(line, start_new_session=True, env=environment)
    low = start("low", {GROW.format(mib=240, pace=0, stay=20)!r})
    time.sleep(2)
    high = start("high", {GROW.format(mib=385, pace=0.02, stay=0.5)!r})
    print(high.wait(), low.wait())
"""


def actions(ran: Ran, kind: str) -> list[Action]:
    found = [event.body for event in ran.trace.sessions[0].events if isinstance(event.body, Action)]
    return [action for action in found if action.action == kind]


@pytest.mark.parametrize("wanted", ["auto", "cgroup"])
def test_who_is_of_lower_priority_gives_way_to_a_task_that_stalls(tmp_path: Path, wanted: str) -> None:
    ran = run(tmp_path, agent(tmp_path, SCENE), "--memory", "800m", "--enforcer", wanted)
    (ruled,) = actions(ran, "enforcer")
    pushed = [action for action in actions(ran, "freeze") if action.reason == PUSHED]
    print(ran.stdout, [event.body for event in ran.trace.sessions[0].events if isinstance(event.body, Action)])
    if wanted == "cgroup":
        assert ruled.reason == "cgroup: it was asked for"
        assert not pushed
    else:
        assert ruled.reason.startswith("bpf: ")
        assert {action.call for action in pushed} == {ran.calls[0].id}
        assert actions(ran, "thaw")
    assert "enforcer" not in ran.stderr
    assert ran.stdout.split() == ["0", "0"]


def test_a_command_that_is_over_at_once_loads_nothing(tmp_path: Path) -> None:
    assert actions(run(tmp_path, ["true"], "--enforcer", "bpf"), "enforcer") == []


def test_an_enforcer_that_cannot_be_had_costs_a_line_and_nothing_else(tmp_path: Path) -> None:
    ran = run(tmp_path, ["sleep", "15"], "--enforcer", "memcg_bpf")  # it is loaded meanwhile
    (ruled,) = actions(ran, "enforcer")
    assert ruled.reason.startswith("bpf: memcg_bpf was asked for; no memcg_bpf: ")
    assert ran.stderr.count("the enforcer is bpf: memcg_bpf was asked for") == 1
