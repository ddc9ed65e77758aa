"""Correlations, variation and simulated estimates."""

from __future__ import annotations

import random
import statistics as plain
from bisect import bisect_left, bisect_right

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcgroup.study.statistics import FEWEST_PAIRS, NOTHING, pearson, simulated, spearman, variation

# Whole numbers: of floats one could be so near another that plain Python and polars disagree about what varies.
PAIRS = st.lists(st.tuples(st.integers(-1000, 1000), st.integers(-1000, 1000)), min_size=FEWEST_PAIRS, max_size=30)


def ranks(values: list[float]) -> list[float]:
    order = sorted(values)
    return [(bisect_left(order, value) + bisect_right(order, value) + 1) / 2 for value in values]


@given(PAIRS)
@settings(max_examples=30, deadline=None)
def test_the_value_is_the_plain_one_and_lies_in_its_interval(pairs: list[tuple[int, int]]) -> None:
    xs, ys = [float(x) for x, _ in pairs], [float(y) for _, y in pairs]
    found, ranked = pearson(pl.Series(xs), pl.Series(ys)), spearman(pl.Series(xs), pl.Series(ys))
    if len(set(xs)) == 1 or len(set(ys)) == 1:
        assert found.value is ranked.value is found.low is ranked.low is None
        return
    assert found.value == pytest.approx(plain.correlation(xs, ys), abs=1e-9)
    assert ranked.value == pytest.approx(plain.correlation(ranks(xs), ranks(ys)), abs=1e-9)
    for one in (found, ranked):
        assert one.n == len(pairs)
        assert one.low is not None
        assert one.high is not None
        assert -1 <= one.low <= one.high <= 1
    assert ranked.low - 1e-9 <= ranked.value <= ranked.high + 1e-9  # type: ignore[operator]


def test_few_pairs_have_a_value_and_no_interval() -> None:
    xs, ys = pl.Series([1.0, 2.0, 3.0, None]), pl.Series([2.0, 4.0, 7.0, 1.0])
    for found in (pearson(xs, ys), spearman(xs, ys)):
        assert found.value == pytest.approx(1, abs=0.02)
        assert (found.low, found.high, found.n) == (None, None, 3)
    assert pearson(pl.Series([1.0]), pl.Series([1.0])).value is None
    assert pearson(pl.Series([], dtype=pl.Float64), pl.Series([], dtype=pl.Float64)) == NOTHING
    assert pearson(pl.Series([None] * 12, dtype=pl.Float64), pl.Series([None] * 12, dtype=pl.Float64)) == NOTHING


def test_bytes_have_digits_enough() -> None:
    xs = [4e9 + n for n in range(40)]
    found = pearson(pl.Series(xs), pl.Series([float(n % 7) for n in range(40)]))
    small = pearson(pl.Series([float(n) for n in range(40)]), pl.Series([float(n % 7) for n in range(40)]))
    assert found.low == pytest.approx(small.low, abs=1e-6)


@pytest.mark.parametrize("correlate", [pearson, spearman])
def test_intervals_cover_the_truth_about_as_often_as_they_say(correlate: type) -> None:
    source = random.Random(4)
    truth = 0.6 if correlate is pearson else 0.582  # 6 / pi * asin(0.3)
    hits = 0
    for _ in range(200):
        xs = [source.gauss(0, 1) for _ in range(40)]
        ys = [0.6 * x + 0.8 * source.gauss(0, 1) for x in xs]
        found = correlate(pl.Series(xs), pl.Series(ys))
        hits += found.low <= truth <= found.high
    assert 0.88 <= hits / 200 <= 0.99


def test_one_far_point_widens_pearsons_interval_and_not_spearmans() -> None:
    xs = [float(n) for n in range(30)]
    ys = [float((n * 7) % 30) for n in range(30)]
    far_x, far_y = pl.Series([*xs, 1000.0]), pl.Series([*ys, 1000.0])
    found, ranked = pearson(far_x, far_y), spearman(far_x, far_y)
    assert found.value is not None
    assert found.value > 0.99
    assert found.low is not None
    assert found.low < 0.5
    assert ranked.value is not None
    assert ranked.value < 0.3


def test_variation() -> None:
    values = [1.0, 2.0, 3.0, 10.0]
    found = variation(pl.Series(values))
    assert found.value == pytest.approx(plain.stdev(values) / plain.fmean(values))
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value <= found.high  # type: ignore[operator]
    assert variation(pl.Series([5.0])).value is None
    assert variation(pl.Series([-1.0, 1.0])).value is None  # of a mean of 0 it says nothing


def test_simulated() -> None:
    drawn = pl.Series([float(n) for n in range(1, 101)])
    found = simulated(drawn, 5000, 7)
    assert (found.value, found.n, found.sessions) == (50.5, 5000, 7)
    assert found.low == pytest.approx(3.475)
    assert simulated(drawn, 5000, 1).low is None
    assert simulated(pl.Series([], dtype=pl.Float64), 0, 3) == NOTHING
