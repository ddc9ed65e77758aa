"""The text appended to a call's stderr when something happened to it that its own output cannot explain. Pure.

At most 600 characters of prose and one machine-readable line (JSON after ``agentcgroup-feedback:``).
"""

from __future__ import annotations

import json

from agentcgroup.model import CallEnd, Limits, Outcome
from agentcgroup.units import format_size

_ADVICE = {
    Outcome.OOM: "Run a smaller part of the work, or fewer workers at once.",
    Outcome.PIDS: "Start fewer processes at once.",
    Outcome.TIMED_OUT: "Run a smaller part of the work, or start long work in the background with nohup.",
}


def explain(end: CallEnd, limits: Limits) -> str:
    """The text for stderr; empty when there is nothing to tell."""
    if end.outcome not in _ADVICE:
        return _explain_leftovers(end)
    fact = {
        Outcome.OOM: f"this command was stopped because it ran out of memory: it used {_peak(end)} of "
        f"{format_size(limits.memory_max_bytes)} allowed",
        Outcome.PIDS: f"this command was refused new processes: it had reached its limit of {limits.pids_max}",
        Outcome.TIMED_OUT: f"this command was stopped because it {end.reason}",
    }[end.outcome]
    return f"agentcgroup: {fact}. Nothing else was stopped. {_ADVICE[end.outcome]}\n{_machine(end, limits)}\n"


def _explain_leftovers(end: CallEnd) -> str:
    if not end.leftovers.killed or end.outcome not in (Outcome.OK, Outcome.FAILED):
        return ""
    killed = end.leftovers.killed
    what = "1 process that was" if killed == 1 else f"{killed} processes that were"
    return (
        f"agentcgroup: stopped {what} still running when this command ended. "
        "Start with nohup or setsid what is meant to stay.\n"
    )


def _peak(end: CallEnd) -> str:
    return format_size(end.usage.memory_peak_bytes)


def _machine(end: CallEnd, limits: Limits) -> str:
    facts = {
        "call": end.call,
        "outcome": end.outcome,
        "memory_peak_bytes": end.usage.memory_peak_bytes,
        "memory_max_bytes": limits.memory_max_bytes,
        "pids_max": limits.pids_max,
    }
    return "agentcgroup-feedback: " + json.dumps({key: value for key, value in facts.items() if value is not None})
