"""Who gives way first."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.model import Priority
from agentcgroup.policy.victims import Placed, about_to_end, order
from agentcgroup.policy.world import CallId, CallState, SessionState

MIB = 1 << 20


def _placed(
    name: str,
    size: int,
    *,
    started_s: float = 0.0,
    ends_s: float | None = None,
    session: Priority = Priority.NORMAL,
    call: Priority = Priority.NORMAL,
) -> Placed:
    state = CallState(CallId("s", name), call, started_s, size, ends_s=ends_s)
    return Placed(SessionState("s", session, 0), state)


def _names(calls: list[Placed], now_s: float) -> list[str]:
    return [placed.id.call for placed in order(calls, {}, now_s)]


def test_what_grew_most_comes_first() -> None:
    assert _names([_placed("a", 10 * MIB), _placed("b", 30 * MIB), _placed("c", 20 * MIB)], 1.0) == ["b", "c", "a"]


def test_one_that_is_about_to_end_by_its_word_comes_after_the_others() -> None:
    calls = [_placed("a", 10 * MIB), _placed("b", 30 * MIB, ends_s=10.0)]
    assert _names(calls, 4.9) == ["b", "a"]  # the first half of its time
    assert _names(calls, 5.0) == ["a", "b"]
    assert _names(calls, 10.0) == ["a", "b"]
    assert _names(calls, 10.1) == ["b", "a"]  # it did not keep its word


def test_its_word_does_not_count_against_priority() -> None:
    low = _placed("low", 1 * MIB, ends_s=10.0, session=Priority.LOW)
    declared_low = _placed("declared", 1 * MIB, ends_s=10.0, call=Priority.LOW)
    calls = [_placed("a", 90 * MIB), low, declared_low]
    assert _names(calls, 9.0) == ["low", "declared", "a"]


_calls = st.lists(
    st.builds(
        _placed,
        st.uuids().map(str),
        st.integers(0, 1 << 40),
        started_s=st.floats(0, 1e6),
        ends_s=st.none() | st.floats(0, 2e6),
        session=st.sampled_from(Priority),
        call=st.sampled_from(Priority),
    ),
    max_size=8,
)


@given(_calls, st.floats(0, 2e6))
def test_any_calls(calls: list[Placed], now_s: float) -> None:
    """All of them, once each, lower ranks first, in an order that does not depend on theirs."""
    found = order(calls, {}, now_s)
    assert sorted(placed.id.call for placed in found) == sorted(placed.id.call for placed in calls)
    assert [placed.rank for placed in found] == sorted(placed.rank for placed in calls)
    assert order(list(reversed(calls)), {}, now_s) == found


@given(st.builds(_placed, st.just("a"), st.just(0), started_s=st.floats(0, 1e6)), st.floats(0, 2e6))
def test_who_said_nothing_is_never_about_to_end(placed: Placed, now_s: float) -> None:
    assert not about_to_end(placed.call, now_s)
    assert not about_to_end(replace(placed.call, ends_s=placed.call.started_s - 1.0), now_s)
