"""What came of a simulation: of each call, of each session, of all; as JSON, and added up for a comparison."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from agentcgroup.model import Priority
from agentcgroup.policy.world import CallId


class Ending(StrEnum):
    """How a call of the simulation ended."""

    OK = "ok"
    OOM = "oom"  # the kernel killed it
    KILLED = "killed"  # the policy did
    REFUSED = "refused"  # it never began
    TIMED_OUT = "timed-out"  # the agent gave it up
    SESSION_ENDED = "session-ended"  # its agent died


@dataclass(frozen=True, slots=True)
class CallResult:
    """One call. Instants and durations in seconds of virtual time."""

    id: CallId
    ending: Ending
    requested_s: float
    began_s: float
    ended_s: float
    alone_s: float  # what it takes when nothing slows it
    work_s: float = 0.0  # of that, done
    peak_bytes: int = 0
    frozen_s: float = 0.0
    throttled_s: float = 0.0
    rule: str = ""
    why: str = ""

    @property
    def queued_s(self) -> float:
        """Before it began."""
        return self.began_s - self.requested_s


@dataclass(frozen=True, slots=True)
class SessionResult:
    """One session; ``seconds`` until it ended, against ``alone_s`` on a host of its own with endless memory."""

    name: str
    priority: Priority
    agent_alive: bool
    seconds: float
    alone_s: float
    planned_calls: int
    peak_bytes: int
    calls: tuple[CallResult, ...]

    @property
    def slowdown(self) -> float:
        """``seconds`` over ``alone_s``; below 1 when calls were cut short."""
        return self.seconds / self.alone_s if self.alone_s > 0 else 1.0


@dataclass(frozen=True, slots=True)
class Totals:
    """A simulation, or several under one policy, in one line. Shares are from 0 to 1."""

    policy: str
    sessions: int
    agents_alive: int
    calls: int  # planned
    calls_ok: int
    oom: int
    killed: int
    refused: int
    timed_out: int
    high_lost: int  # calls of high sessions that did not end well
    work_kept: float  # work of the calls that ended well, of all the work there was to do
    slowdown_p50: float
    slowdown_p95: float
    slowdown_max: float
    makespan_s: float  # the longest
    queued_s: float
    frozen_s: float
    throttled_s: float
    longest_hold_s: float  # queued and frozen, of one call
    peak_bytes: int

    def to_json(self) -> dict[str, object]:
        """For machines."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Result:
    """One simulation."""

    policy: str
    host_bytes: int
    peak_bytes: int  # of the host
    makespan_s: float
    decisions: int
    events: int
    sessions: tuple[SessionResult, ...]

    @property
    def calls(self) -> tuple[CallResult, ...]:
        """Of all sessions."""
        return tuple(call for session in self.sessions for call in session.calls)

    def session(self, name: str) -> SessionResult:
        """The session called ``name``; KeyError when there is none."""
        for session in self.sessions:
            if session.name == name:
                return session
        raise KeyError(name)


def total(results: Iterable[Result]) -> Totals:
    """The sum of simulations under one policy; ValueError when there are none."""
    runs = list(results)
    if not runs:
        raise ValueError("no simulation")
    sessions = [session for run in runs for session in run.sessions]
    calls = [call for session in sessions for call in session.calls]
    endings = [call.ending for call in calls]
    planned_s = sum(call.alone_s for call in calls) or 1.0
    slow = sorted(session.slowdown for session in sessions) or [1.0]
    high = [session for session in sessions if session.priority is Priority.HIGH]
    return Totals(
        policy=runs[0].policy,
        sessions=len(sessions),
        agents_alive=sum(session.agent_alive for session in sessions),
        calls=sum(session.planned_calls for session in sessions),
        calls_ok=endings.count(Ending.OK),
        oom=endings.count(Ending.OOM),
        killed=endings.count(Ending.KILLED),
        refused=endings.count(Ending.REFUSED),
        timed_out=endings.count(Ending.TIMED_OUT),
        high_lost=sum(session.planned_calls - _ok(session) for session in high),
        work_kept=sum(call.work_s for call in calls if call.ending is Ending.OK) / planned_s,
        slowdown_p50=median(slow),
        slowdown_p95=slow[min(len(slow) - 1, int(0.95 * len(slow)))],
        slowdown_max=slow[-1],
        makespan_s=max(run.makespan_s for run in runs),
        queued_s=sum(call.queued_s for call in calls),
        frozen_s=sum(call.frozen_s for call in calls),
        throttled_s=sum(call.throttled_s for call in calls),
        longest_hold_s=max((call.queued_s + call.frozen_s for call in calls), default=0.0),
        peak_bytes=max(run.peak_bytes for run in runs),
    )


def _ok(session: SessionResult) -> int:
    return sum(call.ending is Ending.OK for call in session.calls)
