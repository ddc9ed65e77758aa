"""What is wrong with traces, case by case, through the whole study: refused with a fix, or skipped and counted."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from agentcgroup.errors import TraceError, UsageError
from agentcgroup.study.compute import compute
from agentcgroup.study.engine import Inline
from agentcgroup.study.find import parse_set
from agentcgroup.study.load import Study, load
from agentcgroup.study.metrics import METRICS
from agentcgroup.study.number import Number
from tests.study.build import call, sample, write_run
from tests.trace import build

CALLS = [call("a", 5, 9), call("b", 12, 40, command="make"), call("c", 41, 42, "Read")]


def everything(study: Study) -> list[Number]:
    """The numbers of all metrics."""
    return [number for _, numbers in compute(study, METRICS, Inline()) for number in numbers]


def write_recorded(folder: Path) -> Path:
    """A recorded session without calls and samples: one that had begun and ended."""
    build.write_trace(folder, samples=False)
    path = folder / "records.jsonl"
    lines = [line for line in path.read_text().splitlines() if json.loads(line)["kind"].startswith("session_")]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_a_folder_without_traces_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none here")
    with pytest.raises(UsageError, match="no traces in") as error:
        load([tmp_path])
    assert "records.jsonl" in error.value.fix
    assert "resources.json" in error.value.fix


@pytest.mark.parametrize("name", ["resources.json.gz", "tool_calls.json.gz", "trace_slim.json.gz"])
def test_a_truncated_gzip_of_a_published_run_costs_that_run(tmp_path: Path, name: str) -> None:
    for run in ("a", "b"):
        write_run(tmp_path / "s" / run, CALLS)
    path = tmp_path / "s/b" / name
    path.write_bytes(path.read_bytes()[:-12])
    study = load([tmp_path / "s"])
    assert study.sessions["task"].to_list() == ["a"]
    assert study.oddities.runs("broken run") == ("s/b#1",)
    assert name in study.oddities.example("broken run")
    assert everything(study)


def test_a_truncated_gzip_of_a_recorded_trace_keeps_what_came_before(tmp_path: Path) -> None:
    build.write_trace(tmp_path / "own/one")
    path = tmp_path / "own/one/records.jsonl"
    (tmp_path / "own/one/records.jsonl.gz").write_bytes(gzip.compress(path.read_bytes())[:-200])
    path.unlink()
    study = load([tmp_path / "own"])
    assert study.oddities.count("trace damaged") + study.oddities.count("broken run") > 0
    assert everything(study)


def test_one_broken_run_among_two_hundred_is_reported_skipped_and_counted(tmp_path: Path) -> None:
    taken = [sample(8 * n) for n in range(11)]
    for number in range(200):
        write_run(tmp_path / f"s/task{number:03d}", CALLS, taken)
    (tmp_path / "s/task117/results.json").write_text('{"image": ')
    study = load([tmp_path / "s"])
    assert study.sessions.height == 199
    assert study.oddities.count("broken run") == 1
    assert study.oddities.runs("broken run") == ("s/task117#1",)


def test_nothing_but_broken_runs_is_an_error_that_names_the_first(tmp_path: Path) -> None:
    write_run(tmp_path / "s/a")
    (tmp_path / "s/a/resources.json.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(TraceError, match="none of the 1 runs can be read") as error:
        load([tmp_path / "s"])
    assert "s/a#1" in error.value.fix


def test_mixed_sets_are_refused_with_the_labels_to_give(tmp_path: Path) -> None:
    write_run(tmp_path / "glm/a", CALLS)
    write_run(tmp_path / "haiku/a", CALLS)
    with pytest.raises(UsageError, match="holds 2 sets") as error:
        load([tmp_path])
    assert error.value.fix == "label them: --set glm='glm' --set haiku='haiku'"


def test_the_same_task_in_two_sets_stays_two_sessions(tmp_path: Path) -> None:
    write_run(tmp_path / "glm/a", CALLS)
    write_run(tmp_path / "haiku/a", CALLS, [sample(n, "400MB / 134.5GB") for n in range(80)])
    study = load([tmp_path], [parse_set("glm=glm"), parse_set("haiku=haiku")])
    assert study.sessions.select("set", "task").rows() == [("glm", "a"), ("haiku", "a")]
    assert study.oddities.count("task in several sets") == 1
    peaks = {n.set: n.value for n in everything(study) if (n.item, n.statistic) == ("peak of the samples", "median")}
    assert peaks == {"glm": 186e6, "haiku": 400e6}


def test_zones_of_hosts_change_no_number(tmp_path: Path) -> None:
    for name, zone_h in (("utc", 0.0), ("west", -8.0), ("kathmandu", 5.75)):
        write_run(tmp_path / name / "s/a", CALLS, [sample(n, zone_h=zone_h) for n in range(80)])
    found = [everything(load([tmp_path / name / "s"])) for name in ("utc", "west", "kathmandu")]
    assert found[0] == found[1] == found[2]


def test_empty_sessions_give_no_number_that_they_do_not_know(tmp_path: Path) -> None:
    write_run(tmp_path / "s/empty", [], [], log=False, listed=False)
    write_recorded(tmp_path / "own/empty")
    sets = [parse_set("s=s"), parse_set("own=own")]
    study = load([tmp_path], sets, everything=True)
    numbers = everything(study)
    assert not [n for n in numbers if n.metric in ("memory_level", "trajectory", "cpu_load", "bursts") and n.value]
    assert not [n for n in numbers if n.low is not None]


@pytest.mark.parametrize("recorded", [False, True])
def test_a_set_of_one_session_gets_no_interval_from_any_metric(tmp_path: Path, recorded: bool) -> None:
    if recorded:
        build.write_trace(tmp_path / "s/a")
    else:
        write_run(tmp_path / "s/a", CALLS)
    numbers = everything(load([tmp_path / "s"]))
    assert len(numbers) > 50
    assert not [number for number in numbers if number.low is not None or number.high is not None]
