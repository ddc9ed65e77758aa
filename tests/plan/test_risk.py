from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.plan.risk import Rate, upper


def test_without_an_event_it_is_the_rule_of_three() -> None:
    assert upper(0) == pytest.approx(-math.log(0.05), abs=1e-6)
    assert Rate(0, 3000).most == pytest.approx(3 / 3000, rel=0.01)


@pytest.mark.parametrize(("events", "bound"), [(1, 4.744), (2, 6.296), (5, 10.513), (20, 29.062)])
def test_bounds_are_those_of_the_tables(events: int, bound: float) -> None:
    assert upper(events) == pytest.approx(bound, abs=1e-3)  # half of the 95 % quantile of chi-square, 2 (n + 1) degrees


@given(st.integers(0, 100))
def test_more_events_more_risk(events: int) -> None:
    assert events < upper(events) < upper(events + 1)


def test_hours_that_cannot_tell_say_so() -> None:
    assert not Rate(0, 1000).resolves(1e-3)
    assert Rate(0, 3000).resolves(1e-3)
    assert not Rate(0, 0).resolves(0.5)
    assert Rate(0, 0).most == math.inf
