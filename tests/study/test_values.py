from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentcgroup.study.load.categories import categories
from agentcgroup.study.load.values import (
    parse_instant,
    parse_limit,
    parse_memory,
    parse_share,
    parse_usage,
    zone_of,
)

POWERS = {"B": 0, "kB": 3, "MB": 6, "GB": 9, "TB": 12, "PB": 15}


@pytest.mark.parametrize(
    ("text", "size"),
    [("186MB", 186_000_000), ("4.06GB", 4_060_000_000), ("110.6kB", 110_600), ("0B", 0), ("134.5GB", 134_500_000_000)],
)
def test_memory_as_podman_prints_it(text: str, size: int) -> None:
    assert parse_memory(text) == size


@given(st.integers(0, 9999), st.integers(0, 3), st.sampled_from(sorted(POWERS)))
def test_memory_is_exact_decimal(digits: int, places: int, unit: str) -> None:
    number = Decimal(digits).scaleb(-places)
    expected = number.scaleb(POWERS[unit])
    assert abs(parse_memory(f"{number:f}{unit}") - expected) <= Decimal("0.5")


@given(st.integers(0, 10**15))
def test_four_digits_lose_less_than_half_of_the_last_one(size: int) -> None:
    power = max(len(str(size)) - 1, 0) // 3
    unit = sorted(POWERS, key=lambda name: POWERS[name])[power]
    text = f"{float(f'{size / 1000**power:.4g}'):g}{unit}"
    assert parse_memory(text) == pytest.approx(size, rel=5.1e-4)


@given(st.text(max_size=12))
@example("1e3MB")
@example("12MiB")
@example("-5MB")
@example(".5MB")
@example("\u0661MB")
def test_what_is_no_memory_is_refused_not_guessed(text: str) -> None:
    try:
        size = parse_memory(text)
    except ValueError:
        return
    assert size >= 0
    assert text.strip()[-1] == "B"
    assert text.strip()[0] in "0123456789"


def test_usage_and_limit() -> None:
    assert parse_usage("12.18MB / 134.5GB") == (12_180_000, 134_500_000_000)
    assert parse_usage("0B / 0B") == (0, 0)
    with pytest.raises(ValueError, match="used / limit"):
        parse_usage("12MB")
    assert parse_limit("4g") == 4 << 30
    assert parse_limit("512M") == 512 << 20
    with pytest.raises(ValueError, match="limit"):
        parse_limit("lots")


@given(st.integers(0, 10**7))
def test_share(hundredths: int) -> None:
    assert parse_share(f"{hundredths / 100:.2f}%") == pytest.approx(hundredths / 10_000)


@given(st.sampled_from([-12, -8, 0, 5.5, 5.75, 13]), st.floats(1.6e9, 1.9e9), st.floats(-1, 1))
def test_the_zone_of_a_naive_time(hours: float, epoch: float, late: float) -> None:
    from datetime import UTC, datetime

    naive = datetime.fromtimestamp(epoch + hours * 3600, UTC).replace(tzinfo=None).isoformat()
    assert zone_of(naive, epoch + late) == hours * 3600


def test_an_instant_needs_a_zone() -> None:
    assert parse_instant("2026-02-05T09:43:37.022Z") == 1770284617.022
    assert parse_instant("2026-02-05T01:43:37.022-08:00") == 1770284617.022
    with pytest.raises(ValueError, match="zone"):
        parse_instant("2026-02-05T09:43:37")
    assert zone_of("2026-02-05T09:43:37Z", 0) is None
    assert zone_of("yesterday", 0) is None


@pytest.mark.parametrize(
    ("command", "both"),
    [
        ("python -m pytest tests", ("Test", "Test")),
        ("grep pytest setup.cfg", ("Test", "Test")),  # the weakness of the rule, kept
        ("git diff | head", ("Git", "Git")),
        ("pip install -e . && git status", ("Git", "Package")),
        ("find . -name x | xargs python -c 'pass'", ("File", "PySnippet")),
        ("python run.py | wc -l", ("File", "PyRun")),
        ("PYTHON3 x.py", ("PyRun", "PyRun")),
        ("cat x", ("Text", "Text")),
        ("cd /x", ("Shell", "Shell")),
        ("true", ("Other", "Other")),
    ],
)
def test_the_published_rule_in_both_orders(command: str, both: tuple[str, str]) -> None:
    assert categories(command) == both
