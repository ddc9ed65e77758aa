"""/proc/meminfo, of this machine and odd ones."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.errors import HostError
from agentcgroup.kernel.meminfo import MemInfo, parse_meminfo, read_meminfo

SIZES = st.integers(0, 1 << 40)


def test_this_machine() -> None:
    found = read_meminfo()
    assert 0 < found.available_bytes <= found.total_bytes
    assert found.total_bytes > 1 << 26
    assert 0 <= found.swap_free_bytes <= found.swap_total_bytes


@given(SIZES, SIZES, SIZES, SIZES)
def test_every_size_is_read_back(total: int, available: int, swap: int, free: int) -> None:
    text = f"MemTotal: {total:10} kB\nMemFree:  1 kB\nMemAvailable: {available} kB\nHugePages_Total:   0\n"
    without = MemInfo(total * 1024, available * 1024)
    assert parse_meminfo(text) == without
    with_swap = parse_meminfo(f"{text}SwapTotal: {swap} kB\nSwapFree: {free} kB\n")
    assert with_swap == MemInfo(without.total_bytes, without.available_bytes, swap * 1024, free * 1024)


@given(st.text())
def test_odd_text_never_raises(text: str) -> None:
    parse_meminfo(text)
    assert parse_meminfo(f"{text}\nMemTotal: 5 kB") is None


def test_the_errors_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="mount -t proc"):
        read_meminfo(tmp_path / "none")
    (tmp_path / "meminfo").write_text("MemTotal: 1 kB\n")
    with pytest.raises(HostError, match=r"use Linux 3\.14"):
        read_meminfo(tmp_path / "meminfo")
