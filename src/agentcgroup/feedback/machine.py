"""The machine-readable line: the same facts as the prose, as one JSON object. Pure.

Fields are in docs/reference/feedback.md. They may be added; a change of meaning raises ``v``.
"""

from __future__ import annotations

import json

from agentcgroup.feedback.told import Incident, Told
from agentcgroup.feedback.wording import clean
from agentcgroup.model import CallEnd, Limits, Outcome

MARK = "agentcgroup-feedback: "
VERSION = 1
_TEXT_MAX = 200
_SEVERAL_MAX = 4


def line(
    end: CallEnd,
    limits: Limits,
    told: Told,
    found: tuple[Incident, ...],
    budget_bytes: int | None = None,
    declare: str = "",
) -> str:
    """The line, with its mark and its newline; only fields that say something are in it."""
    outcome = end.outcome
    if outcome is Outcome.OOM and Incident.OOM not in found:  # no counter says so
        outcome = Outcome.FAILED
    facts: dict[str, object] = {
        "v": VERSION,
        "call": clean(end.call, _TEXT_MAX),
        "outcome": outcome,
        "incidents": list(found),
        "memory_peak_bytes": end.usage.memory_peak_bytes,
        "memory_high_bytes": limits.memory_high_bytes,
        "memory_max_bytes": limits.memory_max_bytes,
        "budget_bytes": budget_bytes,
        "oom_kill": end.usage.oom_kill_events or None,
        "pids_max": limits.pids_max if Incident.PIDS in found else None,
        "throttled_s": _seconds(told.throttled_s),
        "frozen_s": _seconds(told.frozen_s),
        "queued_s": _seconds(told.queued_s),
        "rule": clean(told.killed_rule, _TEXT_MAX),
        "reason": clean(told.refused_reason or told.killed_reason or _reason(end, found), _TEXT_MAX),
        "leftovers_killed": end.leftovers.killed or None,
        "neighbours": [
            {"name": clean(name, _TEXT_MAX), "memory_bytes": size} for name, size in told.neighbours[:_SEVERAL_MAX]
        ],
        "hint_problems": [clean(problem, _TEXT_MAX) for problem in told.hint_problems[:_SEVERAL_MAX]],
        "hint_verdict": clean(told.hint_verdict, _TEXT_MAX),
        "declare": declare,
    }
    said = {key: value for key, value in facts.items() if value not in (None, "", [])}
    return MARK + json.dumps(said) + "\n"


def _reason(end: CallEnd, found: tuple[Incident, ...]) -> str:
    return end.reason if Incident.TIMED_OUT in found or Incident.KILLED in found else ""


def _seconds(seconds: float) -> float | None:
    return round(seconds, 3) or None
