"""The model of memory, and everything it assumes. The same list is in docs/reference/policies.md, with its errors.

1.  A call runs at full speed while nothing holds it; there is CPU and disk enough for all.
2.  Its memory depends on the work it has done, not on the time that has passed: slowed, it grows slower; frozen, not.
3.  memory.high brakes growth only, as Linux 5.8 and later do (mm/memcontrol.c, mem_cgroup_handle_over_high): a batch of
    64 pages waits 64 s times the square of the overage as a share of the limit, less than 10 ms not at all, more than
    2 s never. Of its own limit and that of calls/ the worse one counts. Page cache is given back first, and costs
    nothing; what is anonymous stays.
4.  memory.max kills the call (memory.oom.group) that passes it, when there is no cache to give back. In calls/ it kills
    the call that uses most; on the host too, or an agent if it is the largest and not protected. At once.
5.  memory.low, memory.min and cpu.weight change nothing: here an agent's memory never leaves it.
6.  With swap: reclaim moves anonymous memory out at ``swap_bytes_per_s``; the call stands still for the way out and
    back. What is out stays out. The kernel swaps only where a limit or the host is met, or when told to reclaim.
7.  A freeze takes ``freeze_s``; a signal reaches the policy ``react_s`` after the fact; PSI is told when a stall has
    lasted 50 ms, 50 ms late, and then every half second.
8.  Nothing thrashes: a host is well until its memory is gone, which flatters whoever does nothing.
9.  An agent does the same whatever became of its calls: it does not try again, and is not late.
"""

from __future__ import annotations

from dataclasses import dataclass

from agentcgroup.errors import UsageError

PAGE = 4096
BATCH_BYTES = 64 * PAGE  # MEMCG_CHARGE_BATCH
_LEAST_DELAY_S = 0.01  # shorter delays are left out: HZ / 100
_MOST_DELAY_S = 2.0  # MEMCG_MAX_HIGH_DELAY_JIFFIES
_DELAY_S = 64.0  # 2 ** 6: the overage is in 2 ** -20, its square is shifted by 20 and by 14 (MEMCG_DELAY_SCALING_SHIFT)


@dataclass(frozen=True, slots=True)
class Host:
    """The machine that the sessions share. Sizes in bytes, durations in seconds."""

    memory_bytes: int
    swap_bytes: int = 0
    swap_bytes_per_s: int = 200 << 20
    react_s: float = 0.003
    freeze_s: float = 0.01
    agents_protected: bool = True  # their oom_score_adj is low: an agent dies only when no call is left
    tool_timeout_s: float | None = None  # an agent gives a call up after that, the queue and freezes counted

    def __post_init__(self) -> None:
        if self.memory_bytes <= 0 or self.swap_bytes < 0 or self.swap_bytes_per_s <= 0:
            raise UsageError("a host needs memory, and swap of no less than nothing", "give sizes such as 2g")


def delay_s_per_byte(used: float, high: int | None) -> float:
    """How long the kernel makes a call wait per byte it takes, at ``used`` bytes under memory.high."""
    if high is None or used <= high:
        return 0.0
    overage = (used - high) / max(high, PAGE)
    delay_s = _DELAY_S * overage * overage
    if delay_s < _LEAST_DELAY_S:
        return 0.0
    return min(delay_s, _MOST_DELAY_S) / BATCH_BYTES


def brake_bytes(high: int) -> int:
    """How much a call grows over memory.high before its delay is worked out anew; fine enough for a right sum."""
    return max(1 << 20, high // 100)
