"""What the agent is told when its session starts: what its commands may use, and how to declare a need. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from agentcgroup.units import format_duration, format_size


@dataclass(frozen=True, slots=True)
class BudgetText:
    """``line`` is the value of AGENTCGROUP_BUDGET, without a newline; ``body`` the text of the file."""

    line: str
    body: str


def budget_text(
    *,
    budget_bytes: int | None,
    call_bytes: int | None = None,
    pids_max: int | None = None,
    timeout_s: float | None = None,
) -> BudgetText:
    """The budget in words. ``budget_bytes``: of all calls together; the others: of each call; None: no such limit."""
    limits = [
        f"{format_size(budget_bytes)} of memory together" if budget_bytes is not None else "",
        f"{format_size(call_bytes)} of memory each" if call_bytes is not None else "",
        f"{pids_max} processes each" if pids_max is not None else "",
        f"{format_duration(timeout_s)} of time each" if timeout_s is not None else "",
    ]
    known = [limit for limit in limits if limit]
    may = f"Commands may use {', '.join(known)}." if known else "Commands have no limit of their own."
    size = _example(budget_bytes)
    line = f"{may} Declare what a heavy one needs: AGENT_RESOURCE_HINT=memory:{size} COMMAND"
    return BudgetText(line, f"{may}\n\n{_BODY.format(size=size)}")


def _example(budget_bytes: int | None) -> str:
    """A size for the examples that fits well into the budget."""
    if budget_bytes is None or budget_bytes >= 4 << 30:
        return "2g"
    return "512m" if budget_bytes >= 1 << 30 else "128m"


_BODY = """\
Each command runs in a resource domain of its own (agentcgroup). One that uses too much is slowed, then paused, and
stopped last; the session and the other commands go on. What happened is on stderr of the command: a sentence, and a
line that begins with `agentcgroup-feedback:`.

A command that needs much, or little, can say so. It is advice: the command gets limits that fit, and waits
for room where there is none. It cannot raise the budget.

    AGENT_RESOURCE_HINT=memory:{size} COMMAND
    AGENT_RESOURCE_HINT=memory:{size},time:10m,priority:low COMMAND

or, as the first line of the command:

    # resource: memory:{size}

memory: low, medium, high or a size (512m, 2g). cpu: low, high or a number of cores. time: a duration (30s, 10m).
priority: low, normal or high, among the commands of this session.
"""
