"""The metrics of execution on runs small enough to reckon by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentcgroup.errors import UsageError
from agentcgroup.study.load import Study, load
from agentcgroup.study.metrics import METRICS, find_metrics
from agentcgroup.study.metrics.execution import phases_frame
from agentcgroup.study.metrics.wait import with_waits
from agentcgroup.study.number import Number
from tests.study.build import call, sample, write_run
from tests.trace import build


def numbers(study: Study, name: str) -> dict[tuple[str, str], Number]:
    """The numbers of one metric of a study with one set, by item and statistic."""
    (metric,) = find_metrics((name,))
    return {(number.item, number.statistic): number for number in metric.compute(study.selected())}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """One session: active from 2 to 78, a sub-agent with a call, two calls that overlap, a short one."""
    calls = [
        call("agent", 10, 30, "Task"),
        call("inner", 15, 25, command="pytest", sidechain=True),
        call("left", 40, 50, command="pip install x"),
        call("right", 45, 55, "Read"),
        call("short", 60.2, 60.7, "Read"),
    ]
    write_run(tmp_path / "s/a", calls)
    return load([tmp_path / "s"])


def test_phases_three_ways(study: Study) -> None:
    row = phases_frame(study).to_dicts()[0]
    expected = {
        "initialization_s": 100 - 76,
        "before_container_s": 100 - 79,
        "agent_start_s": 2,
        "tools_sum_s": 20 + 10 + 10 + 10 + 0.5,
        "tools_union_s": 20 + 15 + 0.5,
        "tools_leaf_s": 10 + 15 + 0.5,
        "model_sum_s": 76 - 50.5,
        "model_union_s": 76 - 35.5,
        "model_leaf_s": 76 - 25.5,
        "wait_s": None,  # nothing to estimate it from
        "work_s": None,
    }
    assert {name: row[name] for name in expected} == pytest.approx(expected)


def test_numbers_of_one_session_have_no_interval(study: Study) -> None:
    for metric in METRICS:
        for number in metric.compute(study.selected()):
            assert number.low is None, number
            assert number.high is None, number


def test_shares_and_overlap(study: Study) -> None:
    share = numbers(study, "tool_share")
    assert share["Task", "share of time"].value == pytest.approx(20 / 50.5)
    assert ("Task", "share of leaf time") not in share
    assert share["Read", "share of leaf time"].value == pytest.approx(10.5 / 30.5)
    assert share["Bash", "share of calls"].value == pytest.approx(2 / 5)
    kinds = numbers(study, "kind_duration")
    assert kinds["test", "share of shell time"].value == pytest.approx(0.5)
    overlap = numbers(study, "call_overlap")
    assert overlap["leaves", "calls that overlap"].value == pytest.approx(2 / 4)
    assert overlap["all calls", "calls that overlap"].value == pytest.approx(4 / 5)
    assert overlap["leaves", "time with two or more"].value == pytest.approx(5 / 25.5)
    assert overlap["all calls", "most at once"].value == 2


def test_a_call_between_two_samples_is_unseen(study: Study) -> None:
    unseen = numbers(study, "unseen_calls")
    assert unseen["all calls", "unseen"].value == pytest.approx(1 / 5)
    assert unseen["all calls", "unseen part of the time"].value == pytest.approx(0.5 / 50.5)
    assert unseen["shell commands", "unseen"].value == 0
    assert unseen["", "median step of samples"].value == pytest.approx(1)


def test_position(study: Study) -> None:
    position = numbers(study, "tool_position")
    assert position["Task", "median"].value == pytest.approx(8 / 76)
    assert position["Read", "tenth 6"].value == pytest.approx(0.5)
    assert sum(position["Read", f"tenth {n}"].value or 0 for n in range(1, 11)) == pytest.approx(1)
    assert position["kind install", "tenth 6"].value == 1  # at (40 - 2) / 76, the beginning of the sixth tenth


def test_a_session_without_calls_spent_no_time_in_them_and_an_unknown_one_is_not_known(tmp_path: Path) -> None:
    write_run(tmp_path / "s/a")
    write_run(tmp_path / "s/b", log=False, listed=False)
    study = load([tmp_path / "s"])
    assert phases_frame(study)["tools_sum_s"].to_list() == [0.0, None]
    assert numbers(study, "phases")["tools, union", "median"].n == 1
    assert numbers(study, "unseen_calls")["", "median step of samples"].n == 2


@pytest.fixture
def waiting(tmp_path: Path) -> Study:
    """Five sessions in which the first run of a command takes 7 s longer than the later ones."""
    for number in range(5):
        calls = [call(f"a{n}", 3 + 10 * n, 3 + 10 * n + (7.5 if n == 0 else 0.5), command="pytest") for n in range(4)]
        calls += [call("ls", 45, 45.02, command="ls"), call("rm", 50, 56, command="rm x")]
        calls += [call("long", 57, 77, command="pytest -x"), call("read", 44, 44.1, "Read")]
        write_run(tmp_path / f"s/t{number}", calls)
    return load([tmp_path / "s"])


def test_the_permission_check_is_estimated_and_taken_out(waiting: Study) -> None:
    found = numbers(waiting, "permission_wait")
    typical = found["", "typical wait"]
    assert typical.value == pytest.approx(7)
    assert (typical.n, typical.of) == (15, "pairs")
    waits = dict(with_waits(waiting.selected()).filter(session=0).select("call", "wait_s").rows())
    assert waits == pytest.approx({"a0": 7, "a1": 0, "a2": 0, "a3": 0, "ls": 0, "rm": 6, "long": 7, "read": 0})
    assert found["", "share of shell calls"].value == pytest.approx(3 / 7)
    phases = numbers(waiting, "phases")
    assert phases["permission check (estimated, in the leaves)", "mean"].value == pytest.approx(20)
    assert phases["tools, union of leaves without the check", "mean"].value == pytest.approx(29 + 6.12 - 20)


def test_without_evidence_there_is_no_wait_to_show(tmp_path: Path) -> None:
    for number in range(4):
        calls = [call(f"a{n}", 3 + 10 * n, 4 + 10 * n, command="pytest") for n in range(5)]
        write_run(tmp_path / f"s/t{number}", calls)
    study = load([tmp_path / "s"])
    found = numbers(study, "permission_wait")
    assert list(found) == [("", "typical wait")]
    assert found["", "typical wait"].value == pytest.approx(0)
    assert with_waits(study)["wait_s"].null_count() == study.calls.height


def test_recorded_sessions_know_their_tools_but_no_model(tmp_path: Path) -> None:
    build.write_trace(tmp_path / "own/one")
    build.write_trace(tmp_path / "own/two")
    study = load([tmp_path / "own"])
    phases = numbers(study, "phases")
    assert {item for item, _ in phases} == {"tools, plain sum", "tools, union", "tools, union of leaves"}
    assert not [statistic for _, statistic in phases if "active" in statistic]
    for metric in METRICS:
        metric.compute(study.selected())


def test_runs_without_samples_or_calls_break_no_metric(tmp_path: Path) -> None:
    write_run(tmp_path / "s/a", taken=[])
    write_run(tmp_path / "s/b", taken=[sample(0)], log=False)
    study = load([tmp_path / "s"], everything=True)
    for metric in METRICS:
        assert metric.definition.startswith("Definition:")
        metric.compute(study.selected())


def test_unknown_metrics_are_refused() -> None:
    assert find_metrics(()) == METRICS
    assert find_metrics(("phases", "duration")) == METRICS[:2]
    assert len(find_metrics(("execution",))) == 10
    with pytest.raises(UsageError, match="no metric 'phase'"):
        find_metrics(("phase",))
