"""Answers in closed form: agents by CPU, and by reservations of memory that nobody shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from agentcgroup.plan.session import Session

PERCENTILE = 0.95
_MOST = 100_000  # agents of a host: what uses next to nothing need not be counted further


@dataclass(frozen=True, slots=True)
class Demand:
    """What the sessions use on the average of time (a long session counts for longer)."""

    memory_bytes: float
    cores: float | None  # None: of no session is it known
    cores_unknown: int  # sessions whose CPU is not known; they are taken for the average of the others
    hours: float  # of all sessions together


@dataclass(frozen=True, slots=True)
class Reservation:
    """Every agent gets ``bytes`` and no more. ``lost``: sessions that need more; each loses a call or its agent."""

    bytes: float
    agents: int
    lost: int


def demand(sessions: Sequence[Session]) -> Demand:
    """What ``sessions`` use on the average."""
    length_s = sum(session.length_s for session in sessions)
    known = [(session.cores, session.length_s) for session in sessions if session.cores is not None]
    cpu_s, cpu_length_s = sum(cores * of for cores, of in known), sum(of for _, of in known)
    memory = sum(sum(session.line) for session in sessions) / length_s
    cores = cpu_s / cpu_length_s if known else None
    return Demand(memory, cores, len(sessions) - len(known), length_s / 3600)


def by_cpu(of: Demand, cpus: float, share: float) -> int | None:
    """How many sessions use ``share`` of ``cpus`` on the average; None when nothing is known of their CPU."""
    if of.cores is None:
        return None
    return min(_MOST, int(cpus * share / of.cores + 1e-9)) if of.cores > 0 else _MOST


def reservation(sessions: Sequence[Session], share: float, memory_bytes: int) -> Reservation:
    """Reserving for each agent what ``share`` of the sessions need at most (1: the highest peak of all)."""
    peaks = sorted(session.peak_bytes for session in sessions)
    size = peaks[max(0, ceil(share * len(peaks) - 1e-9) - 1)]
    return Reservation(size, min(_MOST, int(memory_bytes / size + 1e-9)), sum(peak > size for peak in peaks))


def by_mean(of: Demand, memory_bytes: int) -> int:
    """More than this cannot be on the host for long, whoever controls it."""
    return min(_MOST, int(memory_bytes / of.memory_bytes + 1e-9))
