from __future__ import annotations

import random
import statistics as plain

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcgroup.study.statistics import NOTHING, mean, median, quantile, ratio

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40)


@given(VALUES)
@settings(max_examples=30, deadline=None)
def test_the_value_is_the_plain_one_and_lies_in_its_interval(values: list[float]) -> None:
    for found, expected in (
        (median(pl.Series(values)), plain.median(values)),
        (mean(pl.Series(values)), plain.fmean(values)),
    ):
        assert found.value == pytest.approx(expected, abs=1e-6)
        assert found.low is not None
        assert found.high is not None
        assert found.low <= found.high
        assert min(values) - 1e-6 <= found.low
        assert found.high <= max(values) + 1e-6


def test_one_value_has_no_interval_and_none_has_no_value() -> None:
    assert median(pl.Series([3.0, None])) == mean(pl.Series([3.0]))
    assert (median(pl.Series([3.0])).low, median(pl.Series([3.0])).n) == (None, 1)
    assert median(pl.Series([], dtype=pl.Float64)) == NOTHING
    assert quantile(pl.Series([1.0, 2.0]), pl.Series([7, 7])).low is None
    assert quantile(pl.Series([None], dtype=pl.Float64), pl.Series([7])) == NOTHING
    assert ratio(pl.Series([1.0]), pl.Series([2.0])).low is None
    assert ratio(pl.Series([1.0, 0.0]), pl.Series([2.0, 0.0])).low is None  # the second session says nothing
    assert ratio(pl.Series([0.0, 0.0]), pl.Series([0.0, 0.0])).value is None


def test_the_same_data_gives_the_same_interval() -> None:
    values = pl.Series([1.0, 5.0, 2.0, 9.0, 4.0])
    assert median(values) == median(values)


def test_the_interval_of_a_mean_is_about_that_of_the_normal_law() -> None:
    source = random.Random(1)
    values = [source.gauss(10, 2) for _ in range(200)]
    found = mean(pl.Series(values))
    half = 1.96 * plain.stdev(values) / 200**0.5
    assert found.low == pytest.approx(plain.fmean(values) - half, abs=0.1 * half)
    assert found.high == pytest.approx(plain.fmean(values) + half, abs=0.1 * half)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    source = random.Random(2)
    hits = 0
    for _ in range(200):  # sessions of very different sizes, values that depend on their session
        values, sessions = [], []
        for session in range(40):
            level = source.gauss(0, 1)
            for _ in range(source.randint(1, 20)):
                values.append(level + source.gauss(0, 0.3))
                sessions.append(session)
        found = quantile(pl.Series(values), pl.Series(sessions))
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 0 <= found.high
    assert 0.88 <= hits / 200 <= 0.99


def test_calls_of_one_session_count_as_one_witness() -> None:
    values = pl.Series([float(n % 10) for n in range(1000)])
    apart = quantile(values, pl.Series(range(1000)))
    together = quantile(values.sort(), pl.Series([n // 250 for n in range(1000)]))
    assert apart.value == together.value
    assert together.high - together.low > 3 * (apart.high - apart.low)  # type: ignore[operator]


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0.1, 100)), min_size=1, max_size=20))
@settings(max_examples=30, deadline=None)
def test_a_ratio_is_of_the_sums(pairs: list[tuple[float, float]]) -> None:
    parts, wholes = zip(*pairs, strict=True)
    assert ratio(pl.Series(parts), pl.Series(wholes)).value == pytest.approx(sum(parts) / sum(wholes))
