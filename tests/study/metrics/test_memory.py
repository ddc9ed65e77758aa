from __future__ import annotations

from pathlib import Path

import pytest

from agentcgroup.study.load import load
from agentcgroup.study.metrics.bursts import excursions_frame
from agentcgroup.study.metrics.memory import trajectory_frame
from tests.study.build import call, write_run
from tests.study.metrics.made import curve, numbers, one, values
from tests.trace import build

MB = 1_000_000


def test_a_baseline_without_the_start_of_the_container(tmp_path: Path) -> None:
    # The first tenth are ten samples: 12, 100, then 200. A call fills 50 to 79.
    study = one(tmp_path, [12, 100] + [200] * 48 + [500] * 30 + [220] * 20, [call("c", 50, 79)])
    found = values(study, "memory_baseline")
    assert found["first tenth of the samples, mean", "median"] == pytest.approx((12 + 100 + 8 * 200) / 10 * MB)
    assert found["first tenth of the samples, mean, without the first 2 s", "median"] == 200 * MB
    assert found["outside all calls, median", "median"] == 200 * MB
    assert ("the agent's own domain, median", "median") not in found


def test_recorded_sessions_have_the_agents_own_baseline(tmp_path: Path) -> None:
    build.write_trace(tmp_path / "own/one")
    study = load([tmp_path / "own"])
    level = values(study, "memory_level")
    assert level["peak by the kernel's counter", "greatest"] == 3 * build.GIB
    assert level["peak of the samples", "greatest"] == 129 * build.MIB


def test_peak_over_average(tmp_path: Path) -> None:
    found = values(one(tmp_path, [100] * 79 + [2100]), "memory_level")
    assert found["peak over average", "greatest"] == pytest.approx(2100 / 125)
    assert found["95th percentile", "median"] == 100 * MB


def test_the_trajectory_of_sessions_of_any_length(tmp_path: Path) -> None:
    write_run(tmp_path / "s/long", taken=curve([100] * 100 + [300] * 100))
    write_run(tmp_path / "s/short", taken=curve([200] * 35 + [400] * 35))
    study = load([tmp_path / "s"])
    found = values(study, "trajectory")
    assert [found[f"memory, tenth {n}", "mean"] for n in (1, 5, 6, 10)] == [150 * MB, 150 * MB, 350 * MB, 350 * MB]
    frame = trajectory_frame(study, parts=4)
    assert frame.group_by("session").len()["len"].to_list() == [4, 4]


def test_bursts_as_levels_and_as_rises_in_and_out_of_calls(tmp_path: Path) -> None:
    memory = [12] + [200] * 19 + [350] * 10 + [200] * 30 + [350] * 10 + [200] * 10
    found = values(one(tmp_path, memory, [call("c", 19.5, 29.2), call("t", 19, 61, "Task")]), "bursts")
    assert found["above 300 MB (published)", "share of samples"] == pytest.approx(20 / 80)
    assert found["above 300 MB (published)", "of these in leaves"] == pytest.approx(0.5)
    assert found["above 300 MB (published)", "of these in calls"] == pytest.approx(12 / 20)
    assert found["100 MB above the session's median", "share of samples"] == pytest.approx(20 / 80)
    # Two rises of 150 MB, from 19 to 20 s and from 59 to 60 s; that of the start does not count.
    assert found["rise of 50 MB or more", "share of steps"] == pytest.approx(2 / 77)
    assert found["rise of 50 MB or more", "of these in leaves"] == pytest.approx(0.5)
    assert found["rise of 50 MB or more", "of these in calls"] == 1
    assert found["all samples", "of these in leaves"] == pytest.approx(10 / 80)
    assert found["all steps", "of these in leaves"] == pytest.approx(11 / 77)


def test_sessions_whose_calls_are_not_known_say_nothing_of_calls(tmp_path: Path) -> None:
    write_run(tmp_path / "s/a", taken=curve([400] * 80), log=False, listed=False)
    write_run(tmp_path / "s/b", taken=curve([400] * 80))
    assert numbers(load([tmp_path / "s"]), "bursts")["all samples", "of these in calls"].sessions == 1


def test_excursions_end_at_the_first_sample_back(tmp_path: Path) -> None:
    study = one(tmp_path, [200] * 10 + [310] + [200] * 9 + [310] * 5 + [200] * 50 + [310] * 5)
    frame = excursions_frame(study).filter(level="high")
    assert frame["length_s"].to_list() == pytest.approx([1, 5, 4])
    assert frame["samples"].to_list() == [1, 5, 5]
    found = values(study, "excursions")
    assert found["above 300 MB (published)", "per session"] == 3
    assert found["above 300 MB (published)", "a single sample"] == pytest.approx(1 / 3)
    assert found["above 300 MB (published)", "longest"] == pytest.approx(5)
