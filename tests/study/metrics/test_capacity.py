"""Waste and density."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from agentcgroup.study.load import load
from agentcgroup.study.metrics.density import simulate
from tests.study.build import write_run
from tests.study.metrics.made import curve, values

MB = 1_000_000


def test_waste_of_limits(tmp_path: Path) -> None:
    write_run(tmp_path / "s/a", taken=curve([100] * 60 + [400] * 20))
    write_run(tmp_path / "s/b", taken=curve([100] * 80))
    found = values(load([tmp_path / "s"]), "memory_waste")
    assert found["its own peak", "wasted"] == pytest.approx(60 * 300 / (80 * 400 + 80 * 100))
    assert found["its own peak", "time above"] == 0
    assert found["the highest peak of the set", "limit"] == 400 * MB
    assert found["the highest peak of the set", "wasted"] == pytest.approx((60 * 300 + 80 * 300) / (160 * 400))
    assert found["its own average", "time above"] == pytest.approx(20 / 160)
    assert found["its own average", "sessions above"] == pytest.approx(0.5)
    assert found["the median of the set's peaks", "limit"] == 250 * MB
    assert found["the median of the set's peaks", "wasted"] == pytest.approx((60 + 80) * 150 / (160 * 250))


def test_sessions_without_bursts_fill_a_host_to_the_brim(tmp_path: Path) -> None:
    for name in "ab":
        write_run(tmp_path / f"s/{name}", taken=curve([320] * 80))
    found = values(load([tmp_path / "s"]), "concurrency")
    assert found["sharing, carried", "sessions"] == found["reserving the highest peak", "sessions"] == 100
    assert found["sharing over reserving the highest peak", "ratio"] == 1


def test_bursts_that_do_not_meet_share_a_host() -> None:
    line = [100.0] * 95 + [1000.0] * 5
    carried = simulate(pl.Series(line * 4), [100] * 4, 10_000.0)
    assert min(carried) >= 10  # as many as reserve their peak are always carried
    assert max(carried) <= 100  # no more than the idle ones would be
    assert sum(carried) / len(carried) > 15
    assert carried == simulate(pl.Series(line * 4), [100] * 4, 10_000.0)
    assert carried != simulate(pl.Series(line * 4), [100] * 4, 10_000.0, seed=1)


def test_a_host_too_small_for_one_carries_none() -> None:
    assert set(simulate(pl.Series([100.0] * 50), [50], 99.0)) == {0}
