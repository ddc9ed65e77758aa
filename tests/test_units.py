"""Sizes and durations: what people write is read, what is printed can be read back, anything else is refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.errors import UsageError
from agentcgroup.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512m", 512 << 20),
        ("2g", 2 << 30),
        ("1.5GiB", 3 << 29),
        ("1048576", 1 << 20),
        ("10 kb", 10 << 10),
        ("1T", 1 << 40),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "m", "4q", "-4g", "0", "1e9", "4gg", "٤g", "nan", "inf", "99999999999t", "4 g b"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="such as 512m"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("10m", 600), ("1h30m", 5400), ("250ms", 0.25), ("90", 90), ("1.5h", 5400), ("2d", 172800)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "10x", "m10", "-5s", "1h 30", "٣s", "1..5s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match="such as 30s or 10m"):
        parse_duration(text)


@given(st.text(max_size=20))
def test_any_text_is_a_number_or_a_usage_error(text: str) -> None:
    for parse in (parse_size, parse_duration):
        with suppress(UsageError):
            assert parse(text) >= 0


@given(st.integers(1, 1 << 50))
def test_a_printed_size_is_close_to_the_size(size: int) -> None:
    assert parse_size(format_size(size)) == pytest.approx(size, rel=0.06)


def test_printed() -> None:
    assert [format_size(n) for n in (0, 1023, 1024, 262144000, 1 << 31)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "250 MiB",
        "2.0 GiB",
    ]
    assert format_size(None) == format_duration(None) == "-"
    assert [format_duration(s) for s in (0.0012, 0.85, 12.34, 59.96, 250, 7500)] == [
        "1.2 ms",
        "850 ms",
        "12.3 s",
        "1 m 0 s",
        "4 m 10 s",
        "2 h 5 m",
    ]
