from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.errors import UsageError
from agentcgroup.model import Priority
from agentcgroup.plan.session import Session, cut, session
from agentcgroup.policy.registry import policy
from agentcgroup.replay.memory import Host
from agentcgroup.replay.script import Script, Task, Turn, curve
from agentcgroup.replay.simulator import Simulation, simulate
from agentcgroup.replay.synthetic import sessions as synthetic
from tests.plan.made import GIB, MIB, idle


def twelve_seconds() -> Session:
    task = Task("c", ((0.0, 0), (2.0, 200 * MIB), (4.0, 200 * MIB)), offset_s=1.0)
    turns = (Turn(3.0, (task,)), Turn(2.0, (), 50 * MIB))
    return session(Script("s", turns, agent_bytes=100 * MIB), 12.0, 0.5)


def test_a_line_is_the_most_in_each_second() -> None:
    line = [size // MIB for size in twelve_seconds().line]
    # It thinks for three seconds and one more until the call begins, which rises for two; then the agent is smaller.
    assert line == [100, 100, 100, 100, 200, 300, 300, 300, 50, 50, 50, 50]


def test_a_session_without_memory_or_without_end_is_refused() -> None:
    with pytest.raises(UsageError, match="no memory"):
        idle(0)
    with pytest.raises(UsageError, match="longer than a month"):
        idle(MIB, 40 * 86_400.0)


def together(pieces: list[list[Turn]]) -> Script:
    return Script("s", tuple(turn for piece in pieces for turn in piece), agent_bytes=100 * MIB)


@given(st.floats(0.1, 11.9))
def test_pieces_take_as_long_as_the_whole(at_s: float) -> None:
    whole = twelve_seconds()
    script = together([list(cut(whole, 0, at_s, "a")), list(cut(whole, at_s, 12, "b"))])
    assert script.alone_s == pytest.approx(12.0)
    assert max(task.peak_bytes for turn in script.turns for task in turn.tasks) <= 200 * MIB
    size = sum(task.work_s for turn in script.turns for task in turn.tasks)
    assert size == pytest.approx(4.0, abs=1e-6)


@given(st.integers(0, 50), st.floats(0, 60), st.floats(5, 100))
def test_a_cut_uses_what_its_line_says_when_it_is_played(seed: int, from_s: float, length_s: float) -> None:
    (script,) = synthetic(1, seed, calls=20)
    whole = session(script, script.alone_s, None)
    turns = tuple(cut(whole, from_s, from_s + length_s, ""))
    if not turns:
        assert from_s >= whole.length_s
        return
    played = Script("s", turns, agent_bytes=turns[0].agent_bytes or 0)
    assert played.alone_s == pytest.approx(min(length_s, whole.length_s - from_s), abs=1e-3)
    host = simulate([played], policy("none"), Host(64 * GIB))
    line = max(whole.line[int(from_s) : int(from_s + length_s) + 1])
    assert host.peak_bytes <= line + MIB


def test_the_agent_of_a_turn_may_be_more_than_there_is_and_then_dies() -> None:
    turns = (Turn(5.0, (), 100 * MIB), Turn(5.0, (), 700 * MIB), Turn(5.0, (), 10 * MIB))
    simulation = Simulation(
        [Script("s", turns, agent_bytes=100 * MIB, priority=Priority.NORMAL)], policy("none"), Host(512 * MIB)
    )
    result = simulation.run()
    (found,) = result.sessions
    assert not found.agent_alive
    assert found.seconds == pytest.approx(5.0)
    assert simulation.kernel.pool.bytes == 0


def test_a_task_is_cut_where_its_curve_is() -> None:
    task = Task("c", curve([(0.0, 0), (10.0, 100 * MIB)]))
    whole = session(Script("s", (Turn(0.0, (task,)),), agent_bytes=MIB), 10.0, None)
    (turn,) = cut(whole, 4.0, 6.0, "p")
    ((first, low), (last, high)) = turn.tasks[0].curve
    assert (first, last) == (0.0, 2.0)
    assert (low, high) == (40 * MIB, 60 * MIB)
