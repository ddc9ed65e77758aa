from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.study.number import Number
from agentcgroup.study.report.words import amount, basis, with_interval


def number(value: float | None, low: float | None, high: float | None, unit: str) -> Number:
    return Number("m", "s", "", "median", unit, value, low, high, 3, "sessions", 3)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (589.6, "s", "9.83 min"),
        (119.0, "s", "119 s"),
        (9000.0, "s", "2.50 h"),
        (0.085, "share", "8.5 %"),
        (0.98, "share", "98 %"),
        (4.06e9, "B", "4.06 GB"),
        (292e6, "B", "292 MB"),
        (-26e6, "B", "-26 MB"),
        (52.0, "", "52"),
        (1.41, "", "1.41"),
        (None, "s", "-"),
        (math.nan, "s", "-"),
        (math.inf, "", "-"),
    ],
)
def test_amounts(value: float | None, unit: str, text: str) -> None:
    assert amount(value, unit) == text


def test_the_interval_is_in_the_unit_of_the_value() -> None:
    assert with_interval(number(130.0, 60.0, 240.0, "s")) == "2.17 min (1.00 to 4.00)"
    assert with_interval(number(1.2e9, 0.5e9, 2e9, "B")) == "1.20 GB (0.50 to 2.00)"
    assert with_interval(number(0.5, None, None, "share")) == "50 %"
    assert with_interval(number(None, None, None, "share")) == "-"


def test_what_a_number_rests_on() -> None:
    assert basis(number(1.0, None, None, "s")) == "3 sessions"
    assert basis(Number("m", "s", "", "median", "s", 1.0, None, None, 40, "calls", 3)) == "40 calls in 3 sessions"
    assert basis(Number("m", "s", "", "median", "s", 1.0, None, None, 1, "sessions", 1)) == "1 session"


@given(st.floats(-1e12, 1e12), st.sampled_from(["s", "B", "B/s", "share", "", "cores"]))
def test_an_amount_reads_back(value: float, unit: str) -> None:
    factors = {"h": 3600.0, "min": 60.0, "GB": 1e9, "MB": 1e6, "GB/s": 1e9, "MB/s": 1e6, "%": 0.01}
    text, _, name = amount(value, unit).partition(" ")
    factor = factors.get(name, 1.0)
    assert math.isclose(float(text) * factor, value, rel_tol=0.06, abs_tol=0.6 * factor)
