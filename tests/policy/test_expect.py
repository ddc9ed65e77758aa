"""What is expected of a call: inside the budget, wide, and never a reason to kill."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.commands import Kind
from agentcgroup.policy.expect import (
    HISTORY_MARGIN,
    KEPT_KEYS,
    KEPT_PEAKS,
    LEAST_HIGH,
    TYPICAL,
    Expectation,
    History,
    Source,
    verdict,
)
from agentcgroup.policy.hints import EMPTY, Hint, Level, parse

MIB = 1 << 20
GIB = 1 << 30
HOST = 64 * GIB


def expected(hint: Hint = EMPTY, history: History | None = None, kind: Kind = Kind.TEST, **more: int) -> Expectation:
    return (history or History()).expected("pytest", kind, hint, more.pop("budget", 8 * GIB), HOST, **more)


def test_a_kind_is_a_number_for_admission_and_a_wide_limit() -> None:
    assert expected() == Expectation(256 * MIB, 4 * GIB, None, Source.KIND)
    assert expected(kind=Kind.FILE) == Expectation(32 * MIB, LEAST_HIGH, None, Source.KIND)
    assert expected(budget=2 * GIB) == Expectation(256 * MIB, None, None, Source.KIND)
    assert expected(kind=Kind.OTHER) == Expectation(None, None, None, Source.NONE)


def test_what_is_typical_grows_with_the_level() -> None:
    assert set(TYPICAL) == set(Kind)
    assert all(low < medium < high for low, medium, high in TYPICAL.values())


def test_a_declared_size_moves_memory_high() -> None:
    assert expected(parse("memory:2g")) == Expectation(2 * GIB, 3 * GIB, None, Source.HINT)
    assert expected(parse("memory:50m")) == Expectation(50 * MIB, 75 * MIB, None, Source.HINT)


def test_a_declared_level_is_of_the_kind() -> None:
    assert expected(parse("memory:high")) == Expectation(2 * GIB, 4 * GIB, None, Source.HINT)
    assert expected(parse("memory:low"), kind=Kind.FILE) == Expectation(16 * MIB, LEAST_HIGH, None, Source.HINT)


def test_a_hint_cannot_raise_the_budget() -> None:
    assert expected(parse("memory:100g")) == Expectation(8 * GIB, None, None, Source.HINT)
    assert expected(parse("memory:100g"), call_bytes=GIB) == Expectation(8 * GIB, None, None, Source.HINT)


def test_a_declared_size_lifts_the_limit_of_a_call_within_the_budget_and_nothing_else_does() -> None:
    assert expected(parse("memory:2g"), call_bytes=GIB).max_bytes == 3 * GIB
    assert expected(parse("memory:100m"), call_bytes=GIB).max_bytes == GIB
    assert expected(parse("memory:high"), call_bytes=GIB).max_bytes == GIB
    assert expected(call_bytes=GIB).max_bytes == GIB
    assert expected(call_bytes=16 * GIB).max_bytes is None


def test_history_is_wide_and_of_the_same_command() -> None:
    history = History().observe("pytest", Kind.TEST, GIB, 3.0).observe("pytest", Kind.TEST, 300 * MIB, 2.0)
    assert expected(history=history) == Expectation(GIB, int(HISTORY_MARGIN * GIB), None, Source.HISTORY)
    assert history.expected("make", Kind.BUILD, EMPTY, None, HOST).source is Source.KIND
    small = History().observe("pytest", Kind.TEST, 20 * MIB, 3.0)
    assert expected(history=small) == Expectation(20 * MIB, LEAST_HIGH, None, Source.HISTORY)


def test_a_hint_counts_more_than_history() -> None:
    history = History().observe("pytest", Kind.TEST, GIB, 3.0)
    assert expected(parse("memory:2g"), history).source is Source.HINT
    assert expected(parse("time:2m"), history).source is Source.HISTORY


def test_history_forgets() -> None:
    history = History().observe("pytest", Kind.TEST, 4 * GIB, 1.0)
    for _ in range(KEPT_PEAKS):
        history = history.observe("pytest", Kind.TEST, GIB, 1.0)
    assert len(history.calls["pytest"]) == KEPT_PEAKS
    assert expected(history=history).memory_bytes == GIB
    for number in range(KEPT_KEYS - 1):
        history = history.observe(f"other {number}", Kind.OTHER, 1, 1.0)
    history = history.observe("pytest", Kind.TEST, GIB, 1.0)  # was the oldest, is the newest now
    history = history.observe("one more", Kind.OTHER, 1, 1.0)
    assert len(history.calls) == KEPT_KEYS
    assert "pytest" in history.calls
    assert "other 0" not in history.calls


def test_history_is_never_changed() -> None:
    before = History().observe("a", Kind.TEST, 1, 1.0)
    after = before.observe("a", Kind.TEST, 2, 1.0)
    assert (len(before.calls["a"]), len(after.calls["a"])) == (1, 2)
    assert before.observe("a", Kind.TEST, None, 1.0) is before
    assert before.observe("", Kind.TEST, 1, 1.0) is before


HINTS = st.one_of(
    st.just(EMPTY), st.builds(Hint, memory=st.one_of(st.sampled_from(Level), st.integers(1 << 20, 1 << 50)))
)


@given(
    st.lists(st.integers(1, 1 << 45), max_size=3),
    st.sampled_from(Kind),
    HINTS,
    st.one_of(st.none(), st.integers(1 << 20, 1 << 42)),
    st.one_of(st.none(), st.integers(1 << 20, 1 << 42)),
)
def test_nothing_goes_beyond_the_budget(
    peaks: list[int], kind: Kind, hint: Hint, budget: int | None, call: int | None
) -> None:
    history = History()
    for peak in peaks:
        history = history.observe("k", kind, peak, 1.0)
    seen = history.expected("k", kind, hint, budget, HOST, call_bytes=call)
    most = HOST if budget is None else min(budget, HOST)
    limits = [limit for limit in (seen.high_bytes, seen.max_bytes) if limit is not None]
    assert all(limit < most for limit in limits)
    assert limits == sorted(limits)
    assert seen.memory_bytes is None or 0 < seen.memory_bytes <= most
    if seen.source is Source.NONE:
        assert seen.high_bytes is None
    if seen.source in (Source.KIND, Source.HISTORY):
        assert seen.high_bytes is None or seen.high_bytes >= LEAST_HIGH
    if call is None:
        assert seen.max_bytes is None  # no default kills
    elif seen.max_bytes is not None:
        assert seen.max_bytes >= call


@pytest.mark.parametrize(
    ("hint", "peak", "sentence"),
    [
        ("memory:1g", 1 * GIB, ""),
        ("memory:1g", 2 * GIB, ""),
        (
            "memory:500m",
            1600 * MIB,
            "It declared 500 MiB of memory and used 1.6 GiB: declare memory:2g for such a command.",
        ),
        (
            "memory:4g",
            300 * MIB,
            "It declared 4.0 GiB of memory and used only 300 MiB: declare memory:384m, and it waits less for room.",
        ),
        ("memory:256m", 10 * MIB, ""),
        ("memory:high", 10 * MIB, ""),
        ("time:3s", 10 * GIB, ""),
    ],
)
def test_a_size_that_was_far_off_is_answered(hint: str, peak: int, sentence: str) -> None:
    assert verdict(parse(hint), peak) == sentence
    assert verdict(parse(hint), None) == ""


@given(st.integers(1 << 20, 1 << 42), st.integers(1, 1 << 42))
def test_who_follows_the_answer_gets_no_second_one(declared: int, peak: int) -> None:
    sentence = verdict(Hint(memory=declared), peak)
    if sentence:
        better = parse(sentence.split("declare ")[-1].split(" ")[0].rstrip(","))
        assert better.problems == ()
        assert verdict(better, peak) == ""
