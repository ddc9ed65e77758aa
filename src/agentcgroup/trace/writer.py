"""Writes the records of a session: one line, one write(2), nothing that could stop the session.

A record survives the death of this process at any moment (it is in the page cache as soon as write(2)
returns); it is not synced, so a power failure may cost the last seconds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from agentcgroup.errors import UsageError
from agentcgroup.model import CallEnd, CallStart
from agentcgroup.trace.records import (
    SCHEMA,
    Action,
    BackgroundEnd,
    Body,
    Record,
    SessionEnd,
    SessionStart,
    Shell,
    Signal,
    Uncaught,
    encode,
    from_json,
    kind_of,
    to_json,
)
from agentcgroup.trace.samples import SPOOL

RECORDS = "records.jsonl"

Observer: TypeAlias = Callable[[Record], None]


class TraceWriter:
    """Appends records to a new trace folder.

    ``folder`` is made, with its parents; UsageError when it holds something or cannot be written.
    ``observer`` is given every record, written or lost (the summary counts by it).
    A write that fails is remembered in ``failed`` (the first reason) and counted in ``lost``; ``records`` counts the
    others.
    """

    def __init__(self, folder: Path, *, session: str, observer: Observer | None = None) -> None:
        self.folder = folder
        self.session = session
        self.failed = ""
        self.lost = 0
        self.records = 0
        self._observer = observer
        self._torn = False  # the last write was cut short: its line still needs an end
        self._created = _create(folder)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            self._fd = os.open(folder / RECORDS, flags, 0o600)
        except OSError as error:
            _remove(self._created)
            raise _unwritable(folder, error) from error

    def write(self, kind: str, **fields: object) -> None:
        """Append a record of ``kind`` with fields as in the file; FieldError when they do not fit the kind."""
        self._append(from_json(kind, fields), kind, fields)

    def session_start(self, start: SessionStart) -> None:
        """The session begins."""
        self._record(start)

    def call_start(self, start: CallStart) -> None:
        """A call has been started."""
        self._record(start)

    def call_end(self, end: CallEnd) -> None:
        """A call has ended."""
        self._record(end)

    def background_end(self, end: BackgroundEnd) -> None:
        """What a call had left running has ended."""
        self._record(end)

    def shell(self, shell: Shell) -> None:
        """A shell ran that is not a call."""
        self._record(shell)

    def uncaught(self, uncaught: Uncaught) -> None:
        """A command ran in the agent leaf."""
        self._record(uncaught)

    def action(self, call: str | None, action: str, reason: str = "") -> None:
        """Something was done to the domain of ``call`` (None: of the session)."""
        self._record(Action(call, action, reason))

    def signal(self, call: str | None, signal: str, value: object = None) -> None:
        """Something happened to the domain of ``call`` (None: of the session). ``value`` is any JSON."""
        self._record(Signal(call, signal, value))

    def session_end(self, end: SessionEnd) -> None:
        """The session is over; without this record the trace counts as cut."""
        self._record(end)

    def close(self) -> None:
        """Close the file; later records are lost and counted. Closing twice is fine."""
        if self._fd < 0:
            return
        if os.fstat(self._fd).st_nlink == 0 and not self.failed:
            self.failed = "the trace was removed while the session ran"
        os.close(self._fd)
        self._fd = -1

    def discard(self) -> None:
        """Close and remove what was written and every folder that was made for it (the session never began)."""
        self.close()
        for name in (RECORDS, SPOOL):
            (self.folder / name).unlink(missing_ok=True)
        _remove(self._created)

    def problem(self) -> str:
        """One line on what is missing from the trace and how to mend it; empty when nothing is."""
        if not self.failed:
            return ""
        lost = f", {self.lost} record{'s' * (self.lost != 1)} lost" if self.lost else ""
        return f"the trace {self.folder} is not complete: {self.failed}{lost}; give another folder with --trace"

    def _record(self, body: Body) -> None:
        self._append(body, kind_of(body), to_json(body))

    def _append(self, body: Body, kind: str, fields: dict[str, object]) -> None:
        mono_ns = time.monotonic_ns()
        wall = datetime.now(UTC).isoformat(timespec="microseconds")
        head = {"v": SCHEMA, "kind": kind, "mono_ns": mono_ns, "wall": wall, "session": self.session}
        self._write(encode(head | fields).encode("ascii") + b"\n")
        if self._observer is not None:
            self._observer(Record(mono_ns, wall, self.session, body))

    def _write(self, line: bytes) -> None:
        if self._torn:
            line = b"\n" + line
        try:
            written = os.write(self._fd, line)
        except OSError as error:
            self._lose(error.strerror or str(error))
            return
        self.records += 1
        self._torn = written != len(line)
        if self._torn:
            self._lose("a record was cut short (no space left?)")

    def _lose(self, reason: str) -> None:
        self.failed = self.failed or reason
        self.lost += 1


def _create(folder: Path) -> list[Path]:
    """Make ``folder``; the folders that were missing, outermost first."""
    missing: list[Path] = []
    created: list[Path] = []
    try:
        here = folder
        while not here.exists():
            missing.insert(0, here)
            here = here.parent
        for path in missing:
            path.mkdir(mode=0o700)
            created.append(path)
        if any(folder.iterdir()):
            raise UsageError(f"the trace folder {folder} is not empty", "give another --trace, or remove it first")
    except NotADirectoryError as error:
        _remove(created)
        raise UsageError(f"{error.filename or folder} is not a folder", "give another --trace") from error
    except OSError as error:
        _remove(created)
        raise _unwritable(folder, error) from error
    return created


def _remove(folders: list[Path]) -> None:
    """Remove folders that were made, innermost first, as far as they are empty."""
    for path in reversed(folders):
        try:
            path.rmdir()
        except OSError:
            return


def _unwritable(folder: Path, error: OSError) -> UsageError:
    reason = error.strerror or str(error)
    return UsageError(f"the trace folder {folder} cannot be written: {reason}", "give another --trace")
