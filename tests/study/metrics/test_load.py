from __future__ import annotations

import math
import random
from pathlib import Path

import polars as pl
import pytest

from agentcgroup.study.load import load
from agentcgroup.study.metrics.rates import steps_frame
from tests.study.build import write_run
from tests.study.metrics.made import curve, one, values

MB = 1_000_000


def averages(loads: list[float], offset: float = 0.2) -> list[float]:
    """Running averages (%) that a load of these cores, one second each, gives."""
    used, shares = offset, [100.0]  # a busy start fixes the age at the first sample
    for age, load_ in enumerate(loads, start=1):
        used += load_
        shares.append(round(100 * used / (age + offset), 2))
    return shares


def test_change_rates_are_of_the_second_and_of_the_sample(tmp_path: Path) -> None:
    write_run(tmp_path / "s/a", taken=curve([100] * 40 + [180] + [100] * 39, step=2.0))
    found = values(load([tmp_path / "s"]), "change_rate")
    assert found["memory, from sample to sample", "greatest rise"] == 80 * MB
    assert found["memory, per second", "greatest rise"] == pytest.approx(40 * MB)
    assert found["memory, per second", "greatest fall"] == pytest.approx(-40 * MB)
    assert found["memory, from sample to sample", "beyond the threshold"] == pytest.approx(2 / 79)
    assert found["memory, per second", "beyond the threshold"] == 0


def test_a_burst_of_load_hardly_moves_the_running_average(tmp_path: Path) -> None:
    write_run(tmp_path / "s/a", taken=curve([100] * 80, averages([0.0] * 60 + [2.0] + [0.0] * 18)))
    study = load([tmp_path / "s"])
    rates = values(study, "change_rate")
    late = "CPU, running average, per second, after the first 10 s"
    assert rates[late, "beyond the threshold"] == 0
    assert rates["CPU, running average, per second", "greatest fall"] == pytest.approx(-0.83, abs=0.02)  # the start
    assert rates["CPU, instantaneous, per second, beyond the rounding", "beyond the threshold"] == pytest.approx(2 / 78)
    assert rates["CPU, instantaneous, per second", "greatest rise"] == pytest.approx(2, abs=0.05)
    load_ = values(study, "cpu_load")
    assert load_["instantaneous, greatest", "greatest"] == pytest.approx(2, abs=0.05)
    assert load_["whole session: CPU time over time", "median"] == pytest.approx(2 / 79, abs=0.002)
    assert load_["instantaneous, part of the samples of one core and more", "median"] == pytest.approx(1 / 79)


def test_what_rounding_explains_is_no_change(tmp_path: Path) -> None:
    source = random.Random(3)
    loads = [0.1 + source.uniform(-0.001, 0.001) for _ in range(2999)]
    write_run(tmp_path / "s/a", taken=curve([100] * 3000, averages(loads)))
    frame = steps_frame(load([tmp_path / "s"]), "cpu_cores")
    late = frame.filter("late")  # before, the age at the first sample is not yet certain
    assert late.filter(pl.col("step").abs() > 0.01).height > 20
    assert late.filter(pl.col("step").abs() > pl.col("error") + 0.004).height == 0


def test_the_correlation_changes_its_sign_with_the_average(tmp_path: Path) -> None:
    """Memory grows for ever and rises with each burst of load; the running average decays from the start."""
    loads = [1.0 if n % 10 == 5 else 0.05 for n in range(119)]
    memory = [100 + n + (150 if n % 10 == 6 else 0) for n in range(120)]
    write_run(tmp_path / "s/a", taken=curve(memory, averages(loads)))
    found = values(load([tmp_path / "s"]), "cpu_memory_correlation")
    published, ours = found["running average (published), Pearson", "mean"], found["instantaneous, Pearson", "mean"]
    assert published is not None
    assert ours is not None
    assert published < 0
    assert ours > 0.5


def test_a_session_in_which_nothing_varies_has_no_correlation(tmp_path: Path) -> None:
    assert values(one(tmp_path, [100] * 80), "cpu_memory_correlation") == {}
    assert not any(
        value is not None and math.isnan(value)
        for value in values(one(tmp_path / "b", [100] * 80), "cpu_load").values()
    )
