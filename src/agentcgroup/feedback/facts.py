"""What happened to a call, in words: kernel facts with their numbers. Pure."""

from __future__ import annotations

from agentcgroup.feedback.told import Incident, Told
from agentcgroup.feedback.wording import clean
from agentcgroup.model import CallEnd, Limits
from agentcgroup.units import format_duration, format_size

_REASON_MAX = 160
_NAME_MAX = 40
_AT_LIMIT = 0.9  # of its own limit: then that limit is what it met, else the one that all calls share


def predicate(incident: Incident, end: CallEnd, limits: Limits, told: Told, budget_bytes: int | None) -> str:
    """What follows "this command" or "It"; empty for incidents that are sentences of their own."""
    match incident:
        case Incident.REFUSED:
            return f"was not started: {clean(told.refused_reason, _REASON_MAX)}"
        case Incident.OOM:
            return _out_of_memory(end, limits, None if told.host_full else budget_bytes, told.host_full)
        case Incident.KILLED:
            reason = clean(told.killed_reason or end.reason, _REASON_MAX)
            rule = f"by the rule {clean(told.killed_rule, _NAME_MAX) or 'of last resort'}"
            return f"was stopped {rule}: {reason}" if reason else f"was stopped {rule}"
        case Incident.TIMED_OUT:
            return f"was stopped because it {clean(end.reason, _REASON_MAX) or 'ran longer than it may'}"
        case Incident.PIDS:
            return f"was refused new processes: it had reached its limit of {limits.pids_max}"
        case Incident.THROTTLED:
            mark = limits.memory_high_bytes
            where = "because memory was short" if mark is None else f"at {format_size(mark)} of memory"
            return f"was slowed for {format_duration(told.throttled_s)} {where}{_used(end)}"
        case Incident.FROZEN:
            return f"was paused for {format_duration(told.frozen_s)} because memory was short"
        case Incident.QUEUED:
            waited = f"waited {format_duration(told.queued_s)} for room"
            return waited if told.refused_reason else f"{waited} before it began"
        case _:
            return ""


def leftovers(end: CallEnd) -> str:
    """The sentence about processes that were stopped after the command, without its first letter's case."""
    killed = end.leftovers.killed
    what = "1 process that was" if killed == 1 else f"{killed} processes that were"
    return f"stopped {what} still running when this command ended."


def neighbours(told: Told) -> str:
    """Who held the memory beside it: the two largest."""
    largest = sorted(told.neighbours, key=lambda each: -each[1])[:2]
    if not largest:
        return ""
    names = ", ".join(f"{clean(name, _NAME_MAX)} {format_size(size)}" for name, size in largest)
    return f"In use beside it: {names}."


def _out_of_memory(end: CallEnd, limits: Limits, budget_bytes: int | None, host_full: bool) -> str:
    peak, own = end.usage.memory_peak_bytes, limits.memory_max_bytes
    if end.status or end.signal:
        what = "was stopped because it ran out of memory"
    else:  # `pytest | tail`: what was killed is not what gave the exit status
        what = "ran out of memory and a part of it was stopped, although its exit status is 0"
    if own is not None and (peak is None or peak >= _AT_LIMIT * own):
        return f"{what}: it used {format_size(peak)} of {format_size(own)} allowed"
    if budget_bytes is not None:
        return (
            f"{what}: it used {format_size(peak)} when all commands of this session reached the "
            f"{format_size(budget_bytes)} that they share"
        )
    if host_full:
        return f"{what}: it used {format_size(peak)} when the machine had no memory left"
    return f"{what}: it used {format_size(peak)}, and there was no more"


def _used(end: CallEnd) -> str:
    peak = end.usage.memory_peak_bytes
    return "" if peak is None else f" (it used {format_size(peak)})"
