"""How a call ended, from facts alone. Pure.

An OOM is what the counter of the call's own cgroup says (``memory.events`` oom_kill, cgroup v2), never what an exit
status looks like: 137 alone proves nothing, and an OOM inside ``pytest | tail`` exits 0.
"""

from __future__ import annotations

import os
import signal

from agentcgroup.model import Limits, Outcome, Usage
from agentcgroup.units import format_size


def split_wait_status(wait_status: int) -> tuple[int, int]:
    """``(exit status, killing signal)`` of a waitpid(2) status; the exit status of a killed one is 128 + signal."""
    if os.WIFSIGNALED(wait_status):
        number = os.WTERMSIG(wait_status)
        return 128 + number, number
    return os.WEXITSTATUS(wait_status), 0


def judge(wait_status: int, usage: Usage, limits: Limits, ended_by: Outcome | None, why: str) -> tuple[Outcome, str]:
    """The outcome of a call and its reason in words (empty when there is nothing to explain).

    ``ended_by``: TIMED_OUT, KILLED, CLIENT_KILLED or SESSION_ENDED when the controller ended the call, with ``why``.
    """
    status, number = split_wait_status(wait_status)
    if usage.oom_kill_events:
        limit = limits.memory_max_bytes
        own = "" if limit is None else f" (limit {format_size(limit)})"
        return Outcome.OOM, f"out of memory: peak {format_size(usage.memory_peak_bytes)}{own}"
    if ended_by is not None:
        return ended_by, why
    if usage.pids_max_events and wait_status != 0:
        return Outcome.PIDS, f"{usage.pids_max_events} forks refused at the limit of {limits.pids_max} processes"
    if number:
        return (
            Outcome.FAILED,
            f"killed by {signal.Signals(number).name}" if number < 32 else f"killed by signal {number}",
        )
    return (Outcome.OK, "") if status == 0 else (Outcome.FAILED, "")
