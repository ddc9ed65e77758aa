"""Recomputes metrics of resources from the published JSON in plain Python: another route to the same numbers."""

from __future__ import annotations

import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import Any

import polars as pl
import pytest

from agentcgroup.study.load import Study
from agentcgroup.study.metrics import METRICS, find_metrics
from agentcgroup.study.published import compare
from agentcgroup.study.published_table import PUBLISHED
from tests.study.test_against_json import intervals, numbers, pytestmark, runs, study  # noqa: F401 - fixtures

Runs = dict[str, list[dict[str, Any]]]
_UNITS = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9}


def memory(run: dict[str, Any]) -> list[tuple[float, float]]:
    """Instants and bytes of the samples, without those of the tear-down."""
    found = []
    for one in run["resources"]["samples"]:
        used = one["mem_usage"].split(" / ")
        if used == ["0B", "0B"]:
            continue
        unit = next(name for name in ("kB", "MB", "GB", "B") if used[0].endswith(name))
        found.append((one["epoch"], float(used[0].removesuffix(unit)) * _UNITS[unit]))
    return sorted(found)


def pearson(xs: list[float], ys: list[float]) -> float:
    return statistics.correlation(xs, ys)


def test_peaks_and_averages(study: Study, runs: Runs) -> None:  # noqa: F811
    found = numbers(study, "memory_level")
    for name, own in runs.items():
        curves = [[value for _, value in memory(run)] for run in own]
        ratios = [max(curve) / statistics.fmean(curve) for curve in curves]
        assert found[name, "peak of the samples", "median"].value == statistics.median(map(max, curves))
        assert found[name, "average", "mean"].value == pytest.approx(statistics.fmean(map(statistics.fmean, curves)))
        assert found[name, "peak over average", "greatest"].value == pytest.approx(max(ratios))


def test_the_first_tenth(study: Study, runs: Runs) -> None:  # noqa: F811
    found = numbers(study, "memory_baseline")
    for name, own in runs.items():
        means = []
        for run in own:
            samples = memory(run)
            early = samples[: -(-len(samples) // 10)]
            means.append(statistics.fmean(value for at, value in early if at - samples[0][0] >= 2))
        item = "first tenth of the samples, mean, without the first 2 s"
        assert found[name, item, "mean"].value == pytest.approx(statistics.fmean(means))


def test_samples_in_calls(study: Study, runs: Runs) -> None:  # noqa: F811
    found = numbers(study, "bursts")
    for name, own in runs.items():
        inside = total = high = high_inside = 0
        for run in own:
            spans = [(start, end) for start, end, _ in intervals(run)]
            for at, value in memory(run):
                hit = any(start <= at <= end for start, end in spans)
                inside, total = inside + hit, total + 1
                high, high_inside = high + (value > 300e6), high_inside + (hit and value > 300e6)
        # An instant on the edge of a call may fall either way: both clocks are rounded to a millisecond.
        assert found[name, "all samples", "of these in calls"].value == pytest.approx(inside / total, abs=3 / total)
        level = found[name, "above 300 MB (published)", "of these in calls"]
        assert level.value == pytest.approx(high_inside / high, abs=2 / high)
        assert level.n == high


def test_rises(study: Study, runs: Runs) -> None:  # noqa: F811
    found = numbers(study, "change_rate")
    for name, own in runs.items():
        moves = [(y - x, (y - x) / (b - a)) for run in own for (a, x), (b, y) in pairwise(memory(run))]
        rate = [each for _, each in moves]
        beyond = sum(abs(each) > 50e6 for each in rate) / len(rate)
        assert found[name, "memory, from sample to sample", "greatest fall"].value == min(step for step, _ in moves)
        assert found[name, "memory, per second", "greatest rise"].value == pytest.approx(max(rate), rel=1e-5)
        assert found[name, "memory, per second", "beyond the threshold"].value == pytest.approx(beyond)


def test_excursions(study: Study, runs: Runs) -> None:  # noqa: F811
    found = numbers(study, "excursions")
    for name, own in runs.items():
        lengths = []
        for run in own:
            samples = memory(run)
            place = 0
            for above, group in groupby(samples, lambda one: one[1] > 300e6):
                count = len(list(group))
                if above:
                    last = min(place + count, len(samples) - 1)
                    lengths.append(samples[last][0] - samples[place][0])
                place += count
        item = "above 300 MB (published)"
        assert found[name, item, "median"].value == pytest.approx(statistics.median(lengths), abs=1e-3)
        assert found[name, item, "longest"].value == pytest.approx(max(lengths), abs=1e-3)
        assert found[name, item, "per session"].value == pytest.approx(len(lengths) / len(own))


def test_correlation_with_the_running_average(study: Study, runs: Runs) -> None:  # noqa: F811
    found = numbers(study, "cpu_memory_correlation")
    for name, own in runs.items():
        each = []
        for run in own:
            known = {at: value for at, value in memory(run)}  # noqa: C416
            rows = [one for one in run["resources"]["samples"] if one["epoch"] in known]
            cpu = [float(one["cpu_percent"].rstrip("%")) for one in rows]
            each.append(pearson(cpu, [known[one["epoch"]] for one in rows]))
        item = "running average (published), Pearson"
        assert found[name, item, "mean"].value == pytest.approx(statistics.fmean(each), abs=1e-6)
        assert found[name, item, "least"].value == pytest.approx(min(each), abs=1e-6)


def loops(tools: list[str]) -> Iterator[int]:
    return (n for tool, group in groupby(tools) if tool == "Bash" and (n := len(list(group))) >= 3)


def test_consecutive_shell_calls(study: Study, runs: Runs) -> None:  # noqa: F811
    found = numbers(study, "retry_loops")
    for name, own in runs.items():
        each = [list(loops([call["tool"] for _, _, call in sorted(intervals(run), key=key)])) for run in own]
        item = "consecutive shell calls (published)"
        assert found[name, item, "sessions with a loop, count"].value == sum(bool(found) for found in each)
        assert found[name, item, "longest"].value == max(n for found in each for n in found)
        assert found[name, item, "per session"].value == pytest.approx(sum(map(len, each)) / len(own))


def key(span: tuple[float, float, dict[str, Any]]) -> tuple[float, str]:
    return span[0], span[2]["id"]


def test_rounds_and_time(study: Study, runs: Runs) -> None:  # noqa: F811
    found = numbers(study, "correlations")
    for name, own in runs.items():
        records, messages, times, peaks = [], [], [], []
        for run in own:
            said = [one for one in run["trace_slim"] or () if one["type"] == "assistant"]
            if said:
                records.append(float(len(said)))
                messages.append(float(len({one["mid"] for one in said if one["model"] != "<synthetic>"})))
                times.append(run["claude_time"])
                peaks.append(max(value for _, value in memory(run)))
        published = found[name, "records (published rounds) with whole duration", "Pearson"]
        assert published.value == pytest.approx(pearson(records, times))
        assert published.n == len(records)
        ours = found[name, "messages with peak memory", "Spearman"]
        ranks = [[(bisect_left(order, one) + bisect_right(order, one)) / 2 for one in values]
                 for values in (messages, peaks) for order in [sorted(values)]]  # fmt: skip
        assert ours.value == pytest.approx(pearson(*ranks))


def test_waste_at_the_peak(study: Study, runs: Runs) -> None:  # noqa: F811
    found = numbers(study, "memory_waste")
    for name, own in runs.items():
        curves = [[value for _, value in memory(run)] for run in own]
        used, reserved = sum(map(sum, curves)), sum(max(curve) * len(curve) for curve in curves)
        assert found[name, "its own peak", "wasted"].value == pytest.approx(1 - used / reserved)
        highest, samples = max(map(max, curves)), sum(map(len, curves))
        assert found[name, "the highest peak of the set", "wasted"].value == pytest.approx(1 - used / highest / samples)


def test_published_values_follow_from_the_data_by_their_definition(study: Study) -> None:  # noqa: F811
    """What the table says answers each published value is there, and most of these values come out again."""
    computed = [number for metric in METRICS for number in metric.compute(study.selected())]
    (repeats,) = find_metrics(("repeats",))
    began = study.only(pl.col("start_epoch_s").is_not_null())
    table = compare(PUBLISHED, computed, repeats.compute(began))
    for one in table:
        assert len(one.by_definition) == len(one.published.by_definition), one.published.item
        assert len(one.ours) == len(one.published.ours), one.published.item
    by_item = {one.published.item: [number.value for number in one.by_definition] for one in table}
    expected = {
        "execution time per task": ([5.8 * 60, 10.8 * 60], 3),
        "tool time over active time, mean (median)": ([0.425, 0.347, 0.364, 0.365], 0.003),
        "framework's baseline memory": ([183e6, 188e6], 0.5e6),
        "highest peak over average of memory": ([15.4], 0.05),
        "tasks with retry groups": ([28, 108], 0),
        "one task three times": ([222.5, 402.2, 1.8], 0.05),
        "rounds against time": ([0.57, 0.82], 0.005),
        "output tokens against peak memory": ([-0.14], 0.005),
    }
    for item, (values, within) in expected.items():
        assert by_item[item] == pytest.approx(values, abs=within), item
