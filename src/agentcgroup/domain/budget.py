"""What a session may use, and the limits of each domain that follow from it. Pure arithmetic.

The rule: the calls together stay below the session, and one call stays below the calls, so that whatever a call does,
the limit it meets first is its own, and the agent always has room (see docs/architecture.md, "The tree").
"""

from __future__ import annotations

from dataclasses import dataclass

from agentcgroup.errors import UsageError
from agentcgroup.model import Limits
from agentcgroup.units import format_size

_MIB = 1 << 20
MIN_SESSION_BYTES = 32 * _MIB  # below this no shell and agent fit beside each other
MIN_CALL_BYTES = 4 * _MIB  # below this a shell cannot even report that it failed
AGENT_PIDS_RESERVE = 64  # so that an agent can still start threads and shells in a full session
MIN_SESSION_PIDS = 2 * AGENT_PIDS_RESERVE


@dataclass(frozen=True, slots=True)
class Budget:
    """What a session may use. ``None`` is no limit (for ``call_*``: the most its session allows)."""

    memory_bytes: int | None = None
    call_memory_bytes: int | None = None
    call_swap_bytes: int | None = 0
    pids: int | None = 4096
    call_pids: int | None = None
    cpu_weight: int | None = None


def check(budget: Budget, agent_name: str = "the agent", baseline_bytes: int = 0) -> None:
    """Raise UsageError when the numbers cannot hold together, or leave the agent no room.

    ``baseline_bytes`` is what the agent needs by itself, 0 when unknown.
    """
    if budget.memory_bytes is not None:
        floor = max(MIN_SESSION_BYTES, baseline_bytes + MIN_CALL_BYTES)
        if budget.memory_bytes < floor:
            need = f"{agent_name} needs about {format_size(floor)} before it runs a single command"
            raise UsageError(
                f"--memory {format_size(budget.memory_bytes)} is too small: {need}",
                f"give at least --memory {-(-2 * floor // _MIB)}m",
            )
        if budget.call_memory_bytes is not None and budget.call_memory_bytes > budget.memory_bytes:
            raise UsageError(
                f"--call-memory {format_size(budget.call_memory_bytes)} is more than "
                f"--memory {format_size(budget.memory_bytes)}",
                "a call is part of its session: lower the one or raise the other",
            )
    if budget.call_memory_bytes is not None and budget.call_memory_bytes < MIN_CALL_BYTES:
        raise UsageError(
            f"--call-memory {format_size(budget.call_memory_bytes)} is too small for a shell",
            f"give at least --call-memory {MIN_CALL_BYTES // _MIB}m",
        )
    if budget.pids is not None and budget.pids < MIN_SESSION_PIDS:
        raise UsageError(f"--pids {budget.pids} is too few", f"give at least --pids {MIN_SESSION_PIDS}")
    if budget.cpu_weight is not None and not 1 <= budget.cpu_weight <= 10000:
        raise UsageError(f"--cpu-weight {budget.cpu_weight} is out of range", "give 1 to 10000 (100 is the default)")


def agent_reserve_bytes(memory_bytes: int, baseline_bytes: int = 0) -> int:
    """The part of a session's budget that calls can never take: an eighth, 16 to 512 MiB, or the known baseline."""
    reserve = max(min(memory_bytes // 8, 512 * _MIB), 16 * _MIB, baseline_bytes)
    return min(reserve, memory_bytes - MIN_CALL_BYTES)


def session_limits(budget: Budget) -> Limits:
    """Limits of the session's own cgroup."""
    return Limits(memory_max_bytes=budget.memory_bytes, pids_max=budget.pids, cpu_weight=budget.cpu_weight)


def calls_limits(budget: Budget, baseline_bytes: int = 0) -> Limits:
    """Limits of ``calls/``, all calls of a session together: below the session's."""
    memory = budget.memory_bytes
    return Limits(
        memory_max_bytes=None if memory is None else memory - agent_reserve_bytes(memory, baseline_bytes),
        pids_max=None if budget.pids is None else budget.pids - AGENT_PIDS_RESERVE,
    )


def call_limits(budget: Budget, baseline_bytes: int = 0) -> Limits:
    """Limits of one call: dies alone (its own ``memory.max``) and whole (``memory.oom.group``)."""
    calls = calls_limits(budget, baseline_bytes)
    memory = _least(budget.call_memory_bytes, calls.memory_max_bytes)
    call_pids = budget.call_pids
    if call_pids is None and calls.pids_max is not None:
        call_pids = max(AGENT_PIDS_RESERVE, calls.pids_max // 2)
    return Limits(
        memory_max_bytes=memory,
        memory_swap_max_bytes=budget.call_swap_bytes,
        memory_oom_group=True,
        pids_max=_least(call_pids, calls.pids_max),
    )


def _least(one: int | None, other: int | None) -> int | None:
    return min((value for value in (one, other) if value is not None), default=None)
