"""Variation, repeats, pairs of sets and correlations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentcgroup.study.find import parse_set
from agentcgroup.study.load import load
from agentcgroup.study.metrics import find_metrics
from agentcgroup.study.metrics.sessions import sessions_frame
from tests.study.build import Json, call, pack, packed_log, write_run
from tests.study.metrics.made import curve, numbers, values


def test_variation_with_and_without_the_greatest(tmp_path: Path) -> None:
    for n, took in enumerate((100, 100, 100, 100, 600)):
        write_run(tmp_path / f"s/t{n}", claude_time=took)
    found = values(load([tmp_path / "s"]), "task_variation")
    assert found["whole duration", "variation"] == pytest.approx(500 / 5**0.5 / 200)
    assert found["whole duration", "variation without the greatest"] == 0
    assert found["whole duration", "decile 9 over decile 1"] == pytest.approx(4)


def test_attempts_are_repeats_only_when_all_are_asked_for(tmp_path: Path) -> None:
    for n, took in enumerate((402, 222, 259), start=1):
        write_run(tmp_path / f"s/t/attempt_{n}", claude_time=took)
    write_run(tmp_path / "s/u", claude_time=50)
    assert values(load([tmp_path / "s"]), "repeats") == {}
    found = numbers(load([tmp_path / "s"], everything=True), "repeats")
    ratio = found["whole duration, t", "greatest over least"]
    assert ratio.value == pytest.approx(402 / 222)
    assert (ratio.n, ratio.of, ratio.low) == (3, "runs", None)
    assert ("whole duration, u", "least") not in found


def test_two_sets_meet_on_the_tasks_that_both_have(tmp_path: Path) -> None:
    for n in range(12):
        write_run(tmp_path / f"x/t{n}", claude_time=100 + 10 * n)
        write_run(tmp_path / f"y/t{n}/attempt_1", claude_time=(100 + 10 * n) * 2)
    write_run(tmp_path / "x/alone")
    write_run(tmp_path / "y/t3/attempt_2", claude_time=800)
    study = load([tmp_path], [parse_set("x=x"), parse_set("y=y")])
    (metric,) = find_metrics(("same_tasks",))
    found = {(n.set, n.item, n.statistic): n for n in metric.compute(study.selected())}
    ratio = found["x / y", "whole duration", "median ratio"]
    assert (ratio.value, ratio.n, ratio.of) == (0.5, 12, "tasks")
    spearman = found["x / y", "whole duration", "Spearman"].value
    assert spearman is not None
    assert spearman < 1  # the last attempt of t3 is another one
    assert found["x / y", "whole duration", "differ by more than 1.5x"].value == 1


def write_log(folder: Path, records: list[Json]) -> None:
    calls = [call("c", 5, 6)]
    write_run(folder, calls)
    pack(folder / "trace_slim.json.gz", packed_log(calls)[:1] + records)


def said(mid: str, t: int, tokens: int | None, model: str = "small") -> Json:
    stamp = f"2026-02-05T10:43:{t:02d}.000Z"
    usage = {} if tokens is None else {"output_tokens": tokens}
    return {"ts": stamp, "type": "assistant", "mid": mid, "model": model, "usage": usage}


def test_a_message_counts_once_with_its_last_tokens(tmp_path: Path) -> None:
    write_log(tmp_path / "s/a", [said("m", 40, 2), said("m", 41, 90), said("n", 42, 50), said("x", 43, None)])
    write_log(tmp_path / "s/b", [said("m", 40, 2), said("m", 41, 2), said("n", 42, 3)])  # placeholders
    write_log(tmp_path / "s/c", [said("m", 40, 70), said("e", 41, 0, "<synthetic>")])
    rows = sessions_frame(load([tmp_path / "s"])).select("messages", "output_tokens", "records", "record_tokens").rows()
    assert rows == [(3, 140, 4, 142), (2, None, 3, 7), (1, 70, 2, 70)]


def test_correlations_have_n_and_no_interval_below_ten_sessions(tmp_path: Path) -> None:
    for n in range(12):
        calls = [call(f"c{k}", 3 + 2 * k, 4 + 2 * k, command=f"ls {k}") for k in range(n + 1)]
        write_run(tmp_path / f"s/t{n:02}", calls, curve([100] * 79 + [100 + 10 * n]), claude_time=100 + n)
    found = numbers(load([tmp_path / "s"]), "correlations")
    whole = found["messages with whole duration", "Pearson"]
    assert whole.value == pytest.approx(1)
    assert whole.low == pytest.approx(1)
    assert found["calls with peak memory", "Spearman"].value == pytest.approx(1)
    few = numbers(load([tmp_path / "s"], [parse_set("s=t0*")]), "correlations")
    assert few["messages with whole duration", "Pearson"].n == 10
    fewer = numbers(load([tmp_path / "s"], [parse_set("s=t0[0-5]")]), "correlations")
    assert fewer["messages with whole duration", "Pearson"].low is None
    assert json.dumps(fewer["messages with whole duration", "Spearman"].n) == "6"
