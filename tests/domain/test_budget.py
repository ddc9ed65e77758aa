"""The arithmetic of limits: every domain below the one above it, whatever the numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.domain.budget import (
    AGENT_PIDS_RESERVE,
    MIN_CALL_BYTES,
    MIN_SESSION_BYTES,
    Budget,
    agent_reserve_bytes,
    call_limits,
    calls_limits,
    check,
    session_limits,
)
from agentcgroup.errors import UsageError

MIB = 1 << 20


@given(
    memory=st.integers(MIN_SESSION_BYTES, 1 << 42),
    call=st.none() | st.integers(MIN_CALL_BYTES, 1 << 42),
    pids=st.integers(2 * AGENT_PIDS_RESERVE, 1 << 22),
    call_pids=st.none() | st.integers(1, 1 << 22),
    baseline=st.integers(0, 1 << 30),
)
def test_a_call_is_below_the_calls_and_the_calls_below_the_session(
    memory: int, call: int | None, pids: int, call_pids: int | None, baseline: int
) -> None:
    budget = Budget(memory_bytes=memory, call_memory_bytes=call, pids=pids, call_pids=call_pids)
    top, calls, one = session_limits(budget), calls_limits(budget, baseline), call_limits(budget, baseline)
    assert top.memory_max_bytes is not None
    assert calls.memory_max_bytes is not None
    assert one.memory_max_bytes is not None
    assert MIN_CALL_BYTES <= one.memory_max_bytes <= calls.memory_max_bytes < top.memory_max_bytes or (
        call is not None and one.memory_max_bytes == min(call, calls.memory_max_bytes)
    )
    assert calls.pids_max == pids - AGENT_PIDS_RESERVE
    assert one.pids_max is not None
    assert 0 < one.pids_max <= calls.pids_max
    assert one.memory_oom_group


def test_the_reserve_covers_a_known_baseline_and_never_eats_the_budget() -> None:
    assert agent_reserve_bytes(1024 * MIB) == 128 * MIB
    assert agent_reserve_bytes(100 * 1024 * MIB) == 512 * MIB
    assert agent_reserve_bytes(1024 * MIB, 535 * MIB) == 535 * MIB
    assert agent_reserve_bytes(64 * MIB, 535 * MIB) == 60 * MIB


def test_without_a_budget_only_the_call_is_limited() -> None:
    assert session_limits(Budget(pids=None)).memory_max_bytes is None
    one = call_limits(Budget(call_memory_bytes=64 * MIB, pids=None))
    assert (one.memory_max_bytes, one.pids_max, one.memory_swap_max_bytes) == (64 * MIB, None, 0)


@pytest.mark.parametrize(
    ("budget", "baseline", "says"),
    [
        (Budget(memory_bytes=1 * MIB), 0, "give at least --memory 64m"),
        (Budget(memory_bytes=100 * MIB), 200 * MIB, "claude needs about 204 MiB"),
        (Budget(memory_bytes=100 * MIB, call_memory_bytes=200 * MIB), 0, "lower the one or raise the other"),
        (Budget(call_memory_bytes=1024), 0, "--call-memory 4m"),
        (Budget(pids=3), 0, "--pids 128"),
        (Budget(cpu_weight=0), 0, "1 to 10000"),
        (Budget(cpu_weight=10001), 0, "1 to 10000"),
    ],
)
def test_numbers_that_cannot_hold_together_are_refused_with_the_fix(budget: Budget, baseline: int, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        check(budget, "claude", baseline)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_sound_numbers_pass() -> None:
    check(Budget(memory_bytes=4096 * MIB, call_memory_bytes=2048 * MIB, cpu_weight=100), "claude", 190 * MIB)
    check(Budget())
