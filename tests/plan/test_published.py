from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.plan.load import load
from agentcgroup.plan.published import ShellCall, script
from agentcgroup.plan.session import session
from agentcgroup.study.find import Wanted
from tests.plan.made import GIB, MIB
from tests.study import build
from tests.trace import build as recorded

ROOT = Path(__file__).resolve().parents[2]
TRACES = Path(os.environ.get("AGENTCGROUP_TRACES", ROOT.parent / "shared" / "traces"))


def test_a_burst_in_a_call_is_the_calls_and_all_else_the_agents() -> None:
    sizes = [100] * 5 + [100, 400, 700, 120] + [100] * 3 + [300] * 4
    samples = [(float(n), size * MIB) for n, size in enumerate(sizes)]
    made = script("s", samples, [ShellCall(5.5, 7.5, "pytest -q")], 8 * GIB)
    (task,) = [task for turn in made.turns for task in turn.tasks]
    assert task.peak_bytes == 600 * MIB
    assert task.work_s == pytest.approx(2.0)
    assert task.expected_by == "kind"
    levels = [turn.agent_bytes for turn in made.turns if turn.agent_bytes is not None]
    assert levels[-1] == 300 * MIB  # outside of any call: nobody can slow it
    assert made.alone_s == pytest.approx(15.0)


def test_what_a_command_needed_is_expected_of_it_again() -> None:
    samples = [(float(n), (500 if n in (3, 8) else 100) * MIB) for n in range(12)]
    calls = [ShellCall(2.5, 3.5, "pytest -q"), ShellCall(7.5, 8.5, "pytest -q")]
    first, second = (task for turn in script("s", samples, calls, 8 * GIB).turns for task in turn.tasks)
    assert (first.expected_by, second.expected_by) == ("kind", "history")
    assert second.expected_bytes == 400 * MIB


def test_calls_without_a_sample_inside_use_nothing() -> None:
    samples = [(float(n), 100 * MIB) for n in range(5)]
    made = script("s", samples, [ShellCall(1.2, 1.4, "ls"), ShellCall(1.5, 1.7, "ls")], GIB)
    assert made.calls == 0


@given(
    st.lists(st.integers(50, 2000), min_size=3, max_size=60),
    st.lists(st.tuples(st.floats(0, 60), st.floats(0, 20)), max_size=6),
)
def test_the_demand_of_the_samples_is_kept(sizes: list[int], spans: list[tuple[float, float]]) -> None:
    samples = [(float(n), size * MIB) for n, size in enumerate(sizes)]
    calls = [ShellCall(start, start + length, "make") for start, length in spans]
    made = script("s", samples, calls, GIB)
    line = session(made, samples[-1][0], None).line
    assert made.alone_s == pytest.approx(samples[-1][0], abs=0.1)
    # In the second in which a call ends and the agent's level rises, the line counts both: an upper bound.
    assert max(line) <= (2 * max(sizes) - min(sizes) + 8) * MIB + 64
    for n, (size, after) in enumerate(pairwise(sizes)):  # a jump takes its time: it may be a cell early or late
        near = max(line[max(0, n - 1) : n + 2])
        assert near >= min(size, after) * MIB - 8 * MIB - (4 << 20)


def test_both_kinds_of_traces_are_loaded(tmp_path: Path) -> None:
    build.write_run(tmp_path / "old" / "task", [build.call("a", 10, 20)])
    recorded.write_trace(tmp_path / "own" / "run1")
    found = load([tmp_path], [Wanted("old", "old"), Wanted("own", "own")], 8 * GIB)
    assert [(one.set, len(one.all), one.sampled) for one in found] == [("old", 1, 1), ("own", 1, 0)]
    old, own = (one.all[0] for one in found)
    assert old.peak_bytes == pytest.approx(186e6, rel=0.01)
    assert old.cores == pytest.approx(0.1, rel=0.05)
    assert own.peak_bytes >= 2 * GIB  # exact, however short the call
    assert own.cores


@pytest.mark.skipif(
    not (TRACES / "haiku").is_dir(), reason=f"needs the published traces in {TRACES}, or AGENTCGROUP_TRACES"
)
def test_the_published_sessions_keep_their_memory() -> None:
    (found,) = load([TRACES / "haiku"], [], 128 * GIB)
    assert (len(found.all), found.sampled, found.left_out) == (33, 33, ())
    assert max(one.peak_bytes for one in found.all) == 2_076_000_000
    length = sum(one.length_s for one in found.all)
    mean = sum(one.mean_bytes * one.length_s for one in found.all) / length
    assert mean == pytest.approx(215e6, rel=0.06)  # of the samples; a second counts its highest instant
    assert sum(len(span.tasks) for one in found.all for span in one.spans) > 100
