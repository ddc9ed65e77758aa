"""Counts a session as it goes: `SummaryBuilder` takes one record at a time and keeps little more than totals."""

from __future__ import annotations

import contextlib
import dataclasses
import heapq
import json
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from pathlib import Path

from agentcgroup.errors import TraceError
from agentcgroup.model import CallEnd, CallStart, Outcome, Usage, UsageSource
from agentcgroup.trace.records import BackgroundEnd, Json, Record, SessionEnd, SessionStart, Shell, Uncaught, usage_json
from agentcgroup.trace.text import command_of, shorten
from agentcgroup.trace.views import Session

SUMMARY = "summary.json"
HEAVIEST = 5
_COMMAND_CHARACTERS = 500  # kept of the command of a heavy call


@dataclass(frozen=True, slots=True)
class HeavyCall:
    """One of the calls with the largest memory peak."""

    call: str
    command: str  # unescaped, cut to 500 characters
    outcome: str
    memory_peak_bytes: int
    cpu_time_us: int | None
    duration_s: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """What a session did and used. None where the host or the trace does not say."""

    session: str = ""
    name: str = ""
    agent: str = ""
    support: str = ""
    status: int | None = None  # None: the trace is cut
    signal: int | None = None
    reason: str = ""
    duration_s: float = 0.0
    calls: int = 0  # that were started, or ended if the start is missing
    outcomes: dict[str, int] = field(default_factory=dict)  # by model.Outcome; calls without an end are "cut"
    calls_time_s: float = 0.0  # sum over the calls
    calls_busy_s: float = 0.0  # with at least one call running: overlapping calls count once
    queue_time_s: float = 0.0  # sum from request to start
    calls_cpu_time_us: int | None = None
    call_memory_peak_bytes: int | None = None  # the largest of any call
    heaviest: tuple[HeavyCall, ...] = ()  # by memory peak, at most five
    usage: Usage | None = None  # of the session
    agent_usage: Usage | None = None  # of the agent leaf: the agent's own baseline
    memory_max_bytes: int | None = None  # the budget of the session
    usage_sources: tuple[str, ...] = ()  # where the numbers of the calls come from
    background: int = 0  # calls that left processes running on purpose
    background_ended: dict[str, int] = field(default_factory=dict)  # by reason
    leftovers_killed: int = 0  # processes
    unmanaged: int = 0  # calls without a leaf of their own
    uncaught: int = 0  # commands that ran in the agent leaf
    shells: dict[str, int] = field(default_factory=dict)  # shells that are not calls, by label

    def to_json(self) -> Json:
        """The summary as in ``summary.json``."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        fields["heaviest"] = [dataclasses.asdict(call) for call in self.heaviest]
        fields["usage"] = usage_json(self.usage) if self.usage else None
        fields["agent_usage"] = usage_json(self.agent_usage) if self.agent_usage else None
        return {"v": 1, "kind": "summary"} | fields


class SummaryBuilder:
    """Adds up records of one session, in the order in which they are written (`TraceWriter`'s observer).

    Keeps the starts of running calls, five heavy calls and the disjoint intervals in which calls ran
    (16 bytes each), so it stays small over many calls.
    """

    def __init__(self) -> None:
        self._session = ""
        self._start: SessionStart | None = None
        self._end: SessionEnd | None = None
        self._first_ns: int | None = None
        self._last_ns = 0
        self._running: dict[str, CallStart] = {}
        self._heavy: list[tuple[int, int, HeavyCall]] = []  # a heap: peak, a number that keeps ties apart, call
        self._ended = 0
        self._busy = _Union()
        self._outcomes: dict[str, int] = {}
        self._background_ended: dict[str, int] = {}
        self._shells: dict[str, int] = {}
        self._sources: dict[str, None] = {}
        self._cpu_time_us: int | None = None
        self._time_ns = self._queue_ns = self._background = self._killed = self._unmanaged = self._uncaught = 0

    def add(self, record: Record) -> None:
        """Count one record."""
        self._session = self._session or record.session
        self._first_ns = record.mono_ns if self._first_ns is None else min(self._first_ns, record.mono_ns)
        self._last_ns = max(self._last_ns, record.mono_ns)
        match record.body:
            case CallStart() as start:
                self.add_start(start)
            case CallEnd() as end:
                self.add_end(end)
            case BackgroundEnd(reason=reason):
                _count(self._background_ended, reason)
            case Shell(label=label):
                _count(self._shells, label)
            case Uncaught():
                self._uncaught += 1
            case SessionStart() as session:
                self._start = session
            case SessionEnd() as session_end:
                self._end = session_end

    def add_start(self, start: CallStart) -> None:
        """A call has been started."""
        self._running[start.call] = start
        self._unmanaged += not start.managed
        self._queue_ns += max(start.started_ns - start.requested_ns, 0)

    def add_end(self, end: CallEnd) -> None:
        """A call has ended."""
        start = self._running.pop(end.call, None)
        self._ended += 1
        _count(self._outcomes, end.outcome.value)
        self._killed += end.leftovers.killed
        self._background += end.leftovers.kept > 0
        self._sources[end.usage.source.value] = None
        if end.usage.cpu_time_us is not None:
            self._cpu_time_us = (self._cpu_time_us or 0) + end.usage.cpu_time_us
        duration_s = None
        if start is not None:
            duration_ns = max(end.ended_ns - start.started_ns, 0)
            duration_s = duration_ns / 1e9
            self._time_ns += duration_ns
            self._busy.add(start.started_ns, end.ended_ns)
        self._weigh(start, end, duration_s)

    def build(self) -> Summary:
        """The summary so far; calls that still run count as ``cut``."""
        outcomes = dict(self._outcomes)
        if self._running:
            outcomes[Outcome.CUT.value] = outcomes.get(Outcome.CUT.value, 0) + len(self._running)
        start, end = self._start, self._end
        heaviest = tuple(call for _, _, call in sorted(self._heavy, key=lambda item: (-item[0], -item[1])))
        return Summary(
            session=self._session,
            name=start.name if start else "",
            agent=start.agent if start else "",
            support=start.support if start else "",
            status=end.status if end else None,
            signal=end.signal if end else None,
            reason=end.reason if end else "",
            duration_s=(self._last_ns - (self._first_ns or 0)) / 1e9,
            calls=sum(outcomes.values()),
            outcomes={outcome.value: outcomes[outcome.value] for outcome in Outcome if outcome.value in outcomes},
            calls_time_s=self._time_ns / 1e9,
            calls_busy_s=self._busy.total() / 1e9,
            queue_time_s=self._queue_ns / 1e9,
            calls_cpu_time_us=self._cpu_time_us,
            call_memory_peak_bytes=heaviest[0].memory_peak_bytes if heaviest else None,
            heaviest=heaviest,
            usage=end.usage if end else None,
            agent_usage=end.agent_usage if end else None,
            memory_max_bytes=start.limits.memory_max_bytes if start else None,
            usage_sources=tuple(source.value for source in UsageSource if source.value in self._sources),
            background=self._background,
            background_ended=dict(self._background_ended),
            leftovers_killed=self._killed,
            unmanaged=max(self._unmanaged, end.unmanaged if end else 0),
            uncaught=max(self._uncaught, end.uncaught if end else 0),
            shells=dict(self._shells),
        )

    def _weigh(self, start: CallStart | None, end: CallEnd, duration_s: float | None) -> None:
        peak = end.usage.memory_peak_bytes
        if peak is None or (len(self._heavy) == HEAVIEST and peak <= self._heavy[0][0]):
            return
        command = shorten(command_of(start.argv), _COMMAND_CHARACTERS) if start else ""
        call = HeavyCall(end.call, command, end.outcome.value, peak, end.usage.cpu_time_us, duration_s)
        push = heapq.heappush if len(self._heavy) < HEAVIEST else heapq.heapreplace
        push(self._heavy, (peak, -self._ended, call))


def summarize(session: Session) -> Summary:
    """The summary of a session that was read from a trace."""
    builder = SummaryBuilder()
    if session.start is not None:
        builder.add(Record(session.first_ns, session.start_wall, session.id, session.start))
    for call in session.calls:
        if call.start is not None:
            builder.add_start(call.start)
        if call.end is not None:
            builder.add_end(call.end)
        if call.background is not None:
            builder.add(Record(call.background_end_ns or session.last_ns, "", session.id, call.background))
    for event in session.events:
        if not isinstance(event.body, CallStart | CallEnd | BackgroundEnd | SessionStart | SessionEnd):
            builder.add(event)
    if session.end is not None:
        builder.add(Record(session.last_ns, "", session.id, session.end))
    summary = builder.build()
    return dataclasses.replace(summary, session=session.id, duration_s=session.duration_s)


def write_summary(folder: Path, summary: Summary) -> None:
    """Write ``summary.json``, whole or not at all; TraceError when it cannot be written."""
    partial = folder / f"{SUMMARY}.partial"
    try:
        partial.write_text(json.dumps(summary.to_json(), indent=1) + "\n", encoding="ascii")
        partial.rename(folder / SUMMARY)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise TraceError(f"{folder / SUMMARY} cannot be written: {error.strerror}", "free space there") from error


class _Union:
    """The length of a union of intervals that come in any order (mostly in that of their ends)."""

    def __init__(self) -> None:
        self._begins = array("q")
        self._ends = array("q")

    def add(self, begin: int, end: int) -> None:
        if end <= begin:
            return
        first = bisect_left(self._ends, begin)
        last = bisect_right(self._begins, end)
        if first < last:
            begin = min(begin, self._begins[first])
            end = max(end, self._ends[last - 1])
        self._begins[first:last] = array("q", [begin])
        self._ends[first:last] = array("q", [end])

    def total(self) -> int:
        return sum(self._ends) - sum(self._begins)


def _count(counts: dict[str, int], key: str) -> None:
    counts[key] = counts.get(key, 0) + 1
