"""Scripts from traces."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentcgroup.errors import UsageError
from agentcgroup.model import Priority
from agentcgroup.policy import registry
from agentcgroup.replay import recorded
from agentcgroup.replay.memory import Host
from agentcgroup.replay.simulator import simulate
from tests.trace import build
from tests.trace.build import GIB, MIB


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build.write_trace(tmp_path / "one")
    return tmp_path


def test_calls_keep_their_times_their_overlap_and_their_exact_peak(folder: Path) -> None:
    (script,) = recorded.scripts(folder / "one", 16 * GIB)
    assert script.calls == 7
    tasks = {task.name: task for turn in script.turns for task in turn.tasks}
    assert tasks["c000002"].peak_bytes == 700 * MIB
    assert tasks["c000002"].work_s == pytest.approx(0.9, abs=0.01)
    together = next(turn for turn in script.turns if len(turn.tasks) == 2)
    assert [task.name for task in together.tasks] == ["c000002", "c000003"]
    assert together.tasks[1].offset_s == pytest.approx(0.1, abs=0.01)


def test_played_back_alone_it_takes_the_recorded_time(folder: Path) -> None:
    (script,) = recorded.scripts(folder, 16 * GIB)
    (session,) = simulate([script], registry.policy("none"), Host(1 << 50)).sessions
    assert session.seconds == session.alone_s
    assert session.seconds == pytest.approx(2.9, abs=0.1)  # the last call begins at 2.7 s and takes 0.2


def test_a_fleet_takes_scripts_and_priorities_in_turn(folder: Path) -> None:
    found = recorded.scripts(folder, 16 * GIB, 4 * GIB)
    fleet = recorded.fleet(found, 5, 3, [Priority.HIGH, Priority.LOW])
    assert [script.priority for script in fleet] == [Priority.HIGH, Priority.LOW] * 2 + [Priority.HIGH]
    assert len({script.name for script in fleet}) == 5
    assert {script.budget_bytes for script in fleet} == {4 * GIB}
    assert fleet == recorded.fleet(found, 5, 3, [Priority.HIGH, Priority.LOW])
    assert fleet != recorded.fleet(found, 5, 4, [Priority.HIGH, Priority.LOW])
    with pytest.raises(UsageError, match="no session to simulate"):
        recorded.fleet([], 5, 3)
