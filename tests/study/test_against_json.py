"""Recomputes metrics of the published runs from their JSON in plain Python: another route to the same numbers."""

from __future__ import annotations

import gzip
import json
import os
import re
import statistics
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from agentcgroup.study.find import parse_set
from agentcgroup.study.load import Study, load
from agentcgroup.study.metrics import find_metrics
from agentcgroup.study.number import Number

ROOT = Path(__file__).parents[2]
TRACES = Path(os.environ.get("AGENTCGROUP_TRACES", ROOT.parent / "shared" / "traces"))
SETS = ("glm", "haiku", "haiku18", "hires")

pytestmark = pytest.mark.skipif(
    not (TRACES / "MANIFEST.json").is_file(),
    reason=f"needs the published traces in {TRACES}: unpack them there, or set AGENTCGROUP_TRACES to their folder",
)


@pytest.fixture(scope="module")
def study() -> Study:
    """All published runs."""
    return load([TRACES], [parse_set(f"{name}={name}") for name in SETS])


@pytest.fixture(scope="module")
def runs() -> dict[str, list[dict[str, Any]]]:
    """The runs that the paper counts, read once more and by themselves."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name in ("glm", "haiku"):
        for results in sorted((TRACES / name).rglob("results.json")):
            run = json.loads(results.read_text())
            if run["in_paper"]:
                for part in ("resources", "tool_calls", "trace_slim"):
                    path = results.with_name(f"{part}.json.gz")
                    run[part] = json.loads(gzip.decompress(path.read_bytes())) if path.exists() else None
                found.setdefault(name, []).append(run)
    return found


def seconds(text: str) -> float:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()


def active(run: dict[str, Any]) -> float | None:
    stamps = [record["ts"] for record in run["trace_slim"] or () if "ts" in record]
    return seconds(max(stamps)) - seconds(min(stamps)) if stamps else None


def intervals(run: dict[str, Any]) -> list[tuple[float, float, dict[str, Any]]]:
    return [(seconds(c["timestamp"]), seconds(c["end_timestamp"]), c) for c in run["tool_calls"] or ()]


def numbers(study: Study, metric: str) -> dict[tuple[str, str, str], Number]:
    (found,) = find_metrics((metric,))
    return {(number.set, number.item, number.statistic): number for number in found.compute(study.selected())}


def test_the_published_filter_gives_the_runs_of_the_paper(study: Study) -> None:
    listed = json.loads((TRACES / "paper_tasks.json").read_text())
    for name, key in (("haiku", "haiku33"), ("glm", "glm111")):
        chosen = study.sessions.filter((pl.col("set") == name) & pl.col("selected"))
        assert sorted(chosen["task"]) == sorted(listed[key])
    assert study.sessions.height == 212


def test_durations(study: Study, runs: dict[str, list[dict[str, Any]]]) -> None:
    found = numbers(study, "duration")
    for name, own in runs.items():
        whole = [run["claude_time"] for run in own]
        known = [span for run in own if (span := active(run)) is not None]
        assert found[name, "whole", "median"].value == pytest.approx(statistics.median(whole))
        assert found[name, "whole", "mean"].value == pytest.approx(statistics.fmean(whole))
        assert found[name, "active", "median"].value == pytest.approx(statistics.median(known))
        assert found[name, "active", "mean"].n == len(known)


def test_tool_time_as_sum_and_as_union_of_leaves(study: Study, runs: dict[str, list[dict[str, Any]]]) -> None:
    found = numbers(study, "phases")
    for name, own in runs.items():
        sums, leaves = [], []
        for run in own:
            span = active(run)
            if span is None:
                continue
            spans = intervals(run)
            sums.append(sum(end - start for start, end, _ in spans) / span)
            busy, until = 0.0, float("-inf")
            for start, end, call in sorted(spans, key=lambda one: one[:2]):
                if call["tool"] not in ("Task", "TaskOutput"):
                    busy += max(end, until) - max(start, until)
                    until = max(until, end)
            leaves.append(busy / span)
        for item, shares in (("tools, plain sum", sums), ("tools, union of leaves", leaves)):
            assert found[name, item, "mean share of active"].value == pytest.approx(statistics.fmean(shares), abs=1e-6)
            assert found[name, item, "median share of active"].value == pytest.approx(
                statistics.median(shares), abs=1e-6
            )


def test_time_of_tests_by_the_published_rule(study: Study, runs: dict[str, list[dict[str, Any]]]) -> None:
    found = numbers(study, "category_share")
    rule = re.compile(r"\bpytest\b|\bpython\s+-m\s+pytest\b|\btox\b|\bnose\b|\bunittest\b")
    for name, own in runs.items():
        shell = [span for run in own for span in intervals(run) if span[2]["tool"] == "Bash"]
        tests = [span for span in shell if rule.search(span[2]["input"]["command"].lower())]
        share = sum(b - a for a, b, _ in tests) / sum(b - a for a, b, _ in shell)
        number = found[name, "Test", "share of shell time, time order"]
        assert number.value == pytest.approx(share, abs=1e-6)
        assert number.n == len(tests)


def test_shares_of_tools(study: Study, runs: dict[str, list[dict[str, Any]]]) -> None:
    found = numbers(study, "tool_share")
    for name, own in runs.items():
        time_of: Counter[str] = Counter()
        for run in own:
            for start, end, call in intervals(run):
                time_of[call["tool"]] += end - start  # type: ignore[assignment]
        for tool, spent in time_of.items():
            share = found[name, tool, "share of time"].value
            assert share == pytest.approx(spent / sum(time_of.values()), abs=1e-6)


def test_median_duration_of_each_tool(study: Study, runs: dict[str, list[dict[str, Any]]]) -> None:
    found = numbers(study, "tool_duration")
    for name, own in runs.items():
        by_tool: dict[str, list[float]] = {}
        for run in own:
            for start, end, call in intervals(run):
                by_tool.setdefault(call["tool"], []).append(end - start)
        for tool, took in by_tool.items():
            assert found[name, tool, "median"].value == pytest.approx(statistics.median(took), abs=1e-6)
            assert found[name, tool, "mean"].value == pytest.approx(statistics.fmean(took), abs=1e-6)


def test_calls_without_a_sample_in_them(study: Study, runs: dict[str, list[dict[str, Any]]]) -> None:
    found = numbers(study, "unseen_calls")
    for name, own in runs.items():
        unseen = calls = 0
        for run in own:
            epochs = [s["epoch"] for s in run["resources"]["samples"] if not s["mem_usage"].startswith("0B /")]
            for start, end, _ in intervals(run):
                calls += 1
                unseen += not any(start <= epoch <= end for epoch in epochs)
        # An instant on the edge of a call may fall either way: both clocks are rounded to a millisecond.
        assert found[name, "all calls", "unseen"].value == pytest.approx(unseen / calls, abs=2 / calls)


def test_the_last_running_average_is_the_mean_load(study: Study) -> None:
    samples = study.samples.collect()
    for session in study.sessions.filter((pl.col("set") == "haiku") & pl.col("selected")).to_dicts():
        own = samples.filter(session=session["session"])
        age = own["t_s"][-1] + session["cpu_offset_s"]
        assert own["cpu_time_s"][-1] == pytest.approx(own["cpu_average_cores"][-1] * age, rel=1e-3)
        assert own["cpu_cores"].drop_nulls().min() >= 0  # type: ignore[operator]


def test_oddities_of_the_published_runs(study: Study) -> None:
    count = study.oddities.count
    assert (count("failed run"), count("broken run"), count("earlier attempt")) == (16, 0, 5)
    assert study.oddities.runs("no log of the agent") == (
        "glm/mwouts__jupytext-372#1",
        "glm/sigmavirus24__github3.py-673#1",
    )
    assert study.oddities.runs("agent killed") == ("haiku18/DevOps_Build_Easy#1",)
    zones = study.sessions.group_by("set").agg(pl.col("zone_s").drop_nulls().unique())
    assert dict(zones.rows()) == {"glm": [-28800], "haiku": [-28800], "haiku18": [0], "hires": [-28800]}
    raw = sum(
        sample["mem_usage"] == "0B / 0B"
        for path in TRACES.rglob("resources.json.gz")
        for sample in json.loads(gzip.decompress(path.read_bytes()))["samples"]
    )
    assert count("tear-down sample") == raw > 0
