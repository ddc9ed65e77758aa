"""What a reader makes of a trace: sessions and calls, joined from their records, and what was damaged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from agentcgroup.model import CallEnd, CallStart, Limits, Outcome, Usage, UsageSource
from agentcgroup.trace.records import BackgroundEnd, Record, SessionEnd, SessionStart
from agentcgroup.trace.text import command_of, is_cut

_NO_USAGE = Usage(source=UsageSource.PROC)
_NO_LIMITS = Limits()


class Damage(NamedTuple):
    """A place in a file of a trace that could not be read. ``line`` counts from 1; 0 where there are none."""

    file: str
    line: int
    offset: int  # bytes from the beginning (of the text, in a compressed file)
    reason: str

    def __str__(self) -> str:
        line = f" line {self.line}," if self.line else ""
        return f"{self.file}{line} byte {self.offset}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Call:
    """One call. ``start`` or ``end`` is None when its record is missing; instants are CLOCK_MONOTONIC ns."""

    session: str
    id: str
    start: CallStart | None = None
    end: CallEnd | None = None
    background: BackgroundEnd | None = None
    background_end_ns: int | None = None

    @property
    def argv(self) -> tuple[str, ...]:
        """The command line; may be cut (see `argv_cut`), empty when the start is missing."""
        return self.start.argv if self.start else ()

    @property
    def argv_cut(self) -> bool:
        """Whether the trace holds a part of the command line only."""
        return self.start is not None and is_cut(self.start.argv, self.start.argv_bytes)

    @property
    def command(self) -> str:
        """What it ran, unescaped: the script of ``bash -c``, else the command line."""
        return command_of(self.argv)

    @property
    def outcome(self) -> Outcome:
        """How it ended; ``cut`` when the trace does not say."""
        return self.end.outcome if self.end else Outcome.CUT

    @property
    def usage(self) -> Usage:
        """Of the call until its command ended; all None when the trace does not say."""
        return self.end.usage if self.end else _NO_USAGE

    @property
    def limits(self) -> Limits:
        """Of its leaf."""
        return self.start.limits if self.start else _NO_LIMITS

    @property
    def requested_ns(self) -> int | None:
        """When the client was called."""
        return self.start.requested_ns if self.start else None

    @property
    def started_ns(self) -> int | None:
        """When the command began."""
        return self.start.started_ns if self.start else None

    @property
    def ended_ns(self) -> int | None:
        """When the command ended."""
        return self.end.ended_ns if self.end else None

    @property
    def duration_s(self) -> float | None:
        """Seconds the command ran."""
        if self.started_ns is None or self.ended_ns is None:
            return None
        return max(self.ended_ns - self.started_ns, 0) / 1e9

    @property
    def first_ns(self) -> int:
        """The earliest instant that is known of it, for ordering."""
        return self.start.requested_ns if self.start else self.end.ended_ns if self.end else self.background_end_ns or 0


@dataclass(frozen=True, slots=True)
class Session:
    """One session: its records, and its calls in the order in which they were requested."""

    id: str
    start: SessionStart | None = None
    start_ns: int | None = None
    start_wall: str = ""
    end: SessionEnd | None = None
    end_ns: int | None = None
    first_ns: int = 0  # the earliest and the last instant of any record
    last_ns: int = 0
    calls: tuple[Call, ...] = ()
    events: tuple[Record, ...] = ()  # shells, uncaught commands, actions, signals and unknown kinds, by mono_ns

    @property
    def cut(self) -> bool:
        """Whether the trace ends before the session does."""
        return self.end is None

    @property
    def duration_s(self) -> float:
        """Seconds from its first record to its last."""
        return (self.last_ns - self.first_ns) / 1e9

    @property
    def name(self) -> str:
        """Its name, or its id."""
        return (self.start.name if self.start else "") or self.id

    def call(self, call: str) -> Call | None:
        """The call with this id."""
        return next((found for found in self.calls if found.id == call), None)


@dataclass(frozen=True, slots=True)
class Trace:
    """Whatever is sound in a trace folder."""

    folder: Path
    sessions: tuple[Session, ...] = ()
    damage: tuple[Damage, ...] = ()  # the first thousand
    skipped: int = 0  # places that could not be read, all of them
    unknown: Mapping[str, int] = field(default_factory=dict)  # kinds, fields and values of newer versions, counted
    records: int = 0  # sound ones

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls of all sessions, in order of their requests within each."""
        return tuple(call for session in self.sessions for call in session.calls)

    @property
    def cut(self) -> bool:
        """Whether it ends before its session does."""
        return not self.sessions or any(session.cut for session in self.sessions)

    def damage_text(self) -> str:
        """One line on what is not there; empty when all is."""
        parts = []
        if self.skipped:
            more = f" and {self.skipped - 1} more" if self.skipped > 1 else ""
            parts.append(f"skipped {self.damage[0]}{more}")
        if self.cut:
            parts.append(f"cut after {self.records} records: the session does not end in it")
        if self.unknown:
            names = ", ".join(list(self.unknown)[:3]) + ("…" if len(self.unknown) > 3 else "")
            parts.append(f"written by a newer version, not understood: {names}")
        return "; ".join(parts)
