"""What a session does: curves, turns, and how long it takes alone."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.errors import UsageError
from agentcgroup.replay.script import Script, Task, Turn, curve
from agentcgroup.replay.synthetic import burst, sessions, steady

MIB = 1 << 20
points = st.lists(st.tuples(st.floats(0, 100), st.integers(0, 1 << 34)), min_size=1, max_size=60).map(sorted)


@given(points, st.integers(1, 64 * MIB))
def test_a_curve_rises_in_time_keeps_the_peak_and_stays_within_the_tolerance(
    raw: list[tuple[float, int]], tolerance: int
) -> None:
    made = curve(raw, tolerance)
    task = Task("t", made)  # which checks that it rises from 0
    assert task.peak_bytes == max(size for _, size in raw)
    exact = Task("t", curve(raw, 1))
    assert task.work_s == exact.work_s
    for at_s, size in exact.curve:
        assert abs(value(made, at_s) - size) <= tolerance + 2


def value(made: tuple[tuple[float, int], ...], at_s: float) -> float:
    for (t0, b0), (t1, b1) in pairwise(made):
        if at_s <= t1:
            return b0 + (b1 - b0) * (at_s - t0) / (t1 - t0)
    return float(made[-1][1])


def test_a_session_takes_its_thinking_and_the_longest_call_of_each_turn() -> None:
    turn = Turn(1.0, (steady("a", 2.0, MIB), Task("b", steady("b", 3.0, MIB).curve, offset_s=0.5)))
    script = Script("s", (turn, Turn(0.25, ()), Turn(0.0, (steady("c", 1.0, MIB),))), arrives_s=7.0)
    assert script.alone_s == pytest.approx(1.0 + 3.5 + 0.25 + 1.0)
    assert script.calls == 3
    assert script.work_s == pytest.approx(6.0)


@pytest.mark.parametrize("bad", [(), ((0.0, 1),), ((0.5, 1), (1.0, 1)), ((0.0, 1), (0.0, 2)), ((0.0, -1), (1.0, 1))])
def test_a_curve_that_is_none_is_refused(bad: tuple[tuple[float, int], ...]) -> None:
    with pytest.raises(UsageError):
        Task("t", bad)


def test_made_up_sessions_are_those_of_their_seed() -> None:
    assert sessions(3, 5) == sessions(3, 5)
    assert sessions(3, 5) != sessions(3, 6)
    assert sessions(5, 5)[:3] == sessions(3, 5), "the first ones do not depend on how many there are"
    script = sessions(1, 0, calls=400)[0]
    peaks = sorted(task.peak_bytes for turn in script.turns for task in turn.tasks)
    assert peaks[200] < 64 * MIB
    assert peaks[-1] > 300 * MIB


def test_a_burst_is_short_and_comes_back_down() -> None:
    task = burst("b", 10.0, 100 * MIB, 700 * MIB)
    high = [at_s for at_s, size in task.curve if size > 400 * MIB]
    assert high == [4.0]
    assert task.curve[-1] == (10.0, 100 * MIB)
