"""What is to be told about a call: what the controller knows beyond its record, and which incidents it had. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agentcgroup.model import CallEnd, Outcome

WORTH_TELLING_S = 1.0
"""A throttle, freeze or queueing up to this is not worth a text."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the controller and its policy did to a call, and think of its hint."""

    throttled_s: float = 0.0  # slowed at memory.high
    frozen_s: float = 0.0
    queued_s: float = 0.0  # waited before it began
    killed_rule: str = ""  # of the kill record; empty: no policy killed it
    killed_reason: str = ""
    refused_reason: str = ""  # it was not let in
    hint_problems: tuple[str, ...] = ()  # sentences
    hint_verdict: str = ""  # a sentence
    neighbours: tuple[tuple[str, int], ...] = ()  # who else held memory: names and bytes
    host_full: bool = False  # it ran out of memory, and no limit of its session was met


NOTHING = Told()
"""The policy did nothing to it."""


class Incident(StrEnum):
    """Something that the output of the command itself cannot explain. In the order in which they are told."""

    REFUSED = "refused"
    OOM = "oom"
    KILLED = "killed"
    TIMED_OUT = "timed-out"
    PIDS = "pids"
    THROTTLED = "throttled"
    FROZEN = "frozen"
    QUEUED = "queued"
    LEFTOVERS = "leftovers"
    HINT = "hint"


ENDINGS = frozenset((Incident.REFUSED, Incident.OOM, Incident.KILLED, Incident.TIMED_OUT))
"""They are how the call ended; at most one of them is told."""
MEMORY = frozenset((Incident.REFUSED, Incident.OOM, Incident.KILLED, Incident.THROTTLED, Incident.FROZEN))
"""Memory was short."""
_NOBODY_LISTENS = frozenset((Outcome.CLIENT_KILLED, Outcome.SESSION_ENDED, Outcome.CUT))


def incidents(end: CallEnd, told: Told) -> tuple[Incident, ...]:
    """What happened to the call, most important first; empty when there is nothing to tell, or nobody to be told.

    OOM is what the counter of its cgroup says (memory.events oom_kill), whatever the exit status looks like.
    """
    if end.outcome in _NOBODY_LISTENS:
        return ()
    seen = {
        Incident.REFUSED: bool(told.refused_reason),
        Incident.OOM: bool(end.usage.oom_kill_events),
        Incident.KILLED: bool(told.killed_rule) or end.outcome is Outcome.KILLED,
        Incident.TIMED_OUT: end.outcome is Outcome.TIMED_OUT,
        Incident.PIDS: end.outcome is Outcome.PIDS,
        Incident.THROTTLED: told.throttled_s > WORTH_TELLING_S,
        Incident.FROZEN: told.frozen_s > WORTH_TELLING_S,
        Incident.QUEUED: told.queued_s > WORTH_TELLING_S,
        Incident.LEFTOVERS: end.leftovers.killed > 0 and end.outcome in (Outcome.OK, Outcome.FAILED),
        Incident.HINT: bool(told.hint_problems or told.hint_verdict),
    }
    found: list[Incident] = []
    for incident, happened in seen.items():
        if happened and not (incident in ENDINGS and ENDINGS.intersection(found)):
            found.append(incident)
    return tuple(found)
