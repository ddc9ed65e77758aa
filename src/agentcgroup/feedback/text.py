"""The text appended to a call's stderr when something happened to it that its own output cannot explain. Pure.

At most 600 characters of prose and one machine-readable line (JSON after ``agentcgroup-feedback:``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from agentcgroup.commands import Command, classify
from agentcgroup.feedback import facts, machine
from agentcgroup.feedback.advice import Cause, advise, hint_to_declare
from agentcgroup.feedback.told import ENDINGS, MEMORY, NOTHING, Incident, Told, incidents
from agentcgroup.feedback.wording import PROSE_MAX, clean, fit
from agentcgroup.model import CallEnd, Limits, Outcome, Usage
from agentcgroup.units import format_size

REFUSED_STATUS = 75
"""The exit status of a command that was not let in (sysexits.h: EX_TEMPFAIL, try again later)."""
_SPEAKER = "agentcgroup: "
_STAY = "Start with nohup or setsid what is meant to stay."
_NOTHING_ELSE = "Nothing else was stopped."
_SENTENCE_MAX = 200


def explain(
    end: CallEnd,
    limits: Limits,
    *,
    argv: Sequence[str] = (),
    told: Told = NOTHING,
    budget_bytes: int | None = None,
) -> str:
    """The text for stderr, two lines; empty when there is nothing to tell.

    ``argv``: of the call's shell, for advice that fits. ``told``: what the policy did. ``budget_bytes``: what the
    calls of the session may use together; without it no hint is proposed, since none may help.
    """
    found = incidents(end, told)
    if not found:
        return ""
    command = classify(argv)
    declare = ""
    if MEMORY.intersection(found):
        declare = hint_to_declare(end.usage.memory_peak_bytes, limits, budget_bytes)
    elif Incident.QUEUED in found and not told.hint_verdict:
        declare = hint_to_declare(end.usage.memory_peak_bytes, limits, budget_bytes, margin=1.25)
    sentences = [
        *_happened(found, end, limits, told, budget_bytes),
        *_advice(found, end, command, limits, budget_bytes, declare),
        *((4, clean(problem, _SENTENCE_MAX)) for problem in told.hint_problems),
        (5, clean(told.hint_verdict, _SENTENCE_MAX)),
    ]
    if found == (Incident.HINT,) and not told.hint_problems:  # nothing before it says what "it" is
        sentences = [(1, clean(re.sub("^It ", "this command ", told.hint_verdict), _SENTENCE_MAX))]
    prose = fit(sentences, PROSE_MAX - len(_SPEAKER))
    return f"{_SPEAKER}{prose}\n{machine.line(end, limits, told, found, budget_bytes, declare)}"


def refusal(
    call: str,
    reason: str,
    limits: Limits,
    *,
    argv: Sequence[str] = (),
    told: Told = NOTHING,
    budget_bytes: int | None = None,
) -> str:
    """The text for a call that was not let in: the same two lines, with ``reason`` in words, never empty."""
    end = CallEnd(call, 0, 0, REFUSED_STATUS, 0, Outcome.FAILED, Usage())
    told = replace(told, refused_reason=reason or "there was no room for it")
    return explain(end, limits, argv=argv, told=told, budget_bytes=budget_bytes)


def _happened(
    found: tuple[Incident, ...], end: CallEnd, limits: Limits, told: Told, budget_bytes: int | None
) -> list[tuple[int, str]]:
    """What happened, as sentences with their ranks."""
    sentences: list[tuple[int, str]] = []
    for incident in found:
        subject = "It" if sentences else "this command"
        said = facts.predicate(incident, end, limits, told, budget_bytes)
        if said:
            sentences.append((1 if not sentences else 3, f"{subject} {said.rstrip('.')}."))
        if incident in ENDINGS and incident is not Incident.REFUSED and not told.host_full:
            sentences.append((3, _NOTHING_ELSE))
        if incident is Incident.LEFTOVERS:
            said = facts.leftovers(end)
            sentences.append((1, f"{said if not sentences else said[0].upper() + said[1:]} {_STAY}"))
    if MEMORY.intersection(found):
        sentences.append((6, facts.neighbours(told)))
    return sentences


def _advice(
    found: tuple[Incident, ...],
    end: CallEnd,
    command: Command,
    limits: Limits,
    budget_bytes: int | None,
    declare: str,
) -> list[tuple[int, str]]:
    cause = _cause(found)
    if cause is None:
        return []
    sentences = [(2, advise(cause, command, limits, budget_bytes))]
    if declare and cause is Cause.QUEUE:
        sentences.append(
            (2, f"Declare what it needs, so that it is admitted as soon as that fits: `{declare} COMMAND`.")
        )
    elif declare:
        sentences.append((2, f"If it needs more, declare it: `{declare} COMMAND`."))
    elif cause is Cause.MEMORY and budget_bytes is not None and end.usage.memory_peak_bytes is not None:
        sentences.append((3, f"Declaring more does not help: all commands share {format_size(budget_bytes)}."))
    return sentences


def _cause(found: tuple[Incident, ...]) -> Cause | None:
    if MEMORY.intersection(found):
        return Cause.MEMORY
    for incident, cause in (
        (Incident.TIMED_OUT, Cause.TIME),
        (Incident.PIDS, Cause.PROCESSES),
        (Incident.QUEUED, Cause.QUEUE),
    ):
        if incident in found:
            return cause
    return None
