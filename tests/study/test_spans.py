from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.study.metrics.spans import overlaps, sums

# Whole tenths of a second, so that the brute force below can look at each.
SPANS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 40), st.integers(0, 15)).map(lambda s: (s[0], s[1], s[1] + s[2])),
    max_size=25,
)
Spans = list[tuple[int, int, int]]


def frame(spans: Spans) -> pl.DataFrame:
    columns = {"session": pl.UInt32, "start_s": pl.Float64, "end_s": pl.Float64}
    return pl.DataFrame([(s, a / 10, b / 10) for s, a, b in spans], columns, orient="row")


def depth(spans: Spans, session: int) -> list[int]:
    """How many run in each tenth of a second."""
    return [sum(s == session and a <= t < b for s, a, b in spans) for t in range(60)]


@given(SPANS)
def test_sum_and_union(spans: Spans) -> None:
    found = {row["session"]: row for row in sums(frame(spans)).to_dicts()}
    assert set(found) == {s for s, _, _ in spans}
    for session, row in found.items():
        assert row["sum_s"] == pytest.approx(sum(b - a for s, a, b in spans if s == session) / 10)
        assert row["union_s"] == pytest.approx(sum(d > 0 for d in depth(spans, session)) / 10)


@given(SPANS)
def test_overlaps(spans: Spans) -> None:
    real = [span for span in spans if span[2] > span[1]]
    found = {row["session"]: row for row in overlaps(frame(spans)).to_dicts()}
    assert set(found) == {s for s, _, _ in real}
    for session, row in found.items():
        own = [span for span in real if span[0] == session]
        at = depth(real, session)
        touched = sum(
            any(i != j and a < d and c < b for j, (_, c, d) in enumerate(own)) for i, (_, a, b) in enumerate(own)
        )
        assert (row["most"], row["calls"], row["touched"]) == (max(at), len(own), touched)
        assert row["several_s"] == pytest.approx(sum(d >= 2 for d in at) / 10)
        assert row["any_s"] == pytest.approx(sum(d >= 1 for d in at) / 10)


def test_what_has_no_end_or_runs_backwards_does_not_count() -> None:
    spans = pl.DataFrame({"session": [1, 1, 1], "start_s": [0.0, 3.0, 5.0], "end_s": [None, 2.0, 6.0]})
    assert sums(spans).rows() == [(1, 1.0, 1.0)]
