from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.study.load.cpu import recover

LOADS = st.lists(st.floats(0, 8), min_size=3, max_size=200)


def published(loads: list[float], age: float) -> tuple[list[float], list[float]]:
    """Instants and rounded averages of a container that is ``age`` old at the first sample; one load a second."""
    used = list(accumulate(loads))
    epochs = [1_000.0 + n for n in range(len(loads))]
    return epochs, [round(total / (n + age), 4) for n, total in enumerate(used)]


@given(LOADS, st.floats(0.05, 0.5))
def test_time_never_falls_and_loads_add_up(loads: list[float], age: float) -> None:
    epochs, averages = published(loads, age)
    found = recover(epochs, averages)
    assert all(after >= before for before, after in zip(found.time_s, found.time_s[1:], strict=False))
    assert found.cores[0] is None
    steps = [core for core in found.cores if core is not None]
    assert sum(steps) == pytest.approx(found.time_s[-1] - found.time_s[0], abs=1e-6)
    assert 0 <= found.offset_s <= 2.0


@given(LOADS, st.floats(0.05, 0.5))
def test_the_offset_is_never_below_the_true_age(loads: list[float], age: float) -> None:
    # With the true age CPU time does not fall, so the largest such offset is at least that.
    epochs, averages = published(loads, age)
    assert recover(epochs, averages).offset_s >= age - 1e-9


def test_the_load_is_recovered_within_the_stated_error() -> None:
    age = 0.2
    loads = [0.2, *[1.5 if n % 20 < 5 else 0.05 for n in range(700)]]  # 100 % at the first sample, as they all are
    epochs, averages = published(loads, age)
    found = recover(epochs, averages)
    errors = [
        (abs(core - load), limit)
        for core, load, limit in zip(found.cores, loads, found.error_cores, strict=True)
        if core is not None and limit is not None
    ]
    late = errors[20:]  # before, the offset counts for more than rounding
    assert all(error <= limit + 0.01 for error, limit in late)
    assert 0.065 < late[-1][1] < 0.075  # cores, at t = 700 s


def test_no_samples_and_one() -> None:
    assert recover([], []).time_s == []
    alone = recover([5.0], [1.0])
    assert (alone.cores, alone.error_cores) == ([None], [None])


def test_two_samples_of_one_instant_have_no_load() -> None:
    assert recover([5.0, 5.0, 6.0], [0.5, 0.5, 0.5]).cores[1] is None
