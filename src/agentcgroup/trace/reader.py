"""Reads traces, whatever has happened to them: what is sound is kept, the rest is skipped and named."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from agentcgroup.errors import TraceError
from agentcgroup.model import CallEnd, CallStart
from agentcgroup.trace.fields import FieldError
from agentcgroup.trace.records import BackgroundEnd, Record, SessionEnd, SessionStart, decode
from agentcgroup.trace.views import Call, Damage, Session, Trace
from agentcgroup.trace.writer import RECORDS

_COMPRESSED = RECORDS + ".gz"
_CHUNK = 1 << 20
_LONGEST_LINE = 64 << 20  # a 2 MiB command line takes 12 MiB when every byte is escaped
_MOST_DAMAGE = 1000
_FIX = f"give the folder that holds {RECORDS}"


def read_trace(folder: Path) -> Trace:
    """The trace in ``folder``; TraceError when there is none or it cannot be opened at all."""
    path = _records_file(folder)
    try:
        file = path.open("rb")
    except OSError as error:
        raise TraceError(f"{path} cannot be opened: {error.strerror}", "check who may read it") from error
    with file:
        return join(folder, scan(file, path.name))


def read_traces(folder: Path) -> list[Trace]:
    """The trace in ``folder``, or those in its subfolders, by name; TraceError when there is none."""
    if is_trace(folder):
        return [read_trace(folder)]
    try:
        found = sorted(path for path in folder.iterdir() if is_trace(path))
    except OSError:
        found = []
    if not found:
        _records_file(folder)  # says what is wrong with it
    return [read_trace(path) for path in found]


def is_trace(folder: Path) -> bool:
    """Whether ``folder`` holds records."""
    try:
        return _find(folder) is not None
    except OSError:
        return False


def scan(file: BinaryIO, name: str = RECORDS) -> Iterator[Record | Damage]:
    """The records of a file (compressed if ``name`` ends in .gz), with the damage found between them."""
    trouble: list[str] = []
    chunks = _decompress(file, trouble) if name.endswith(".gz") else _read(file, trouble)
    number = offset = 0
    for line, whole, offset in _lines(chunks):
        number += 1
        if line is None:
            yield Damage(name, number, offset, f"a line of more than {_LONGEST_LINE >> 20} MiB")
            continue
        try:
            if line:
                yield decode(line)
        except FieldError as error:
            yield Damage(name, number, offset, str(error) if whole else "an incomplete last line")
        offset += len(line)
    for reason in trouble:
        yield Damage(name, number, offset, reason)


def join(folder: Path, found: Iterable[Record | Damage]) -> Trace:
    """A trace from records in any order."""
    sessions: dict[str, _Session] = {}
    damage: list[Damage] = []
    unknown: Counter[str] = Counter()
    skipped = records = 0
    for item in found:
        if isinstance(item, Damage):
            skipped += 1
            if len(damage) < _MOST_DAMAGE:
                damage.append(item)
            continue
        records += 1
        unknown.update(item.unknown)
        sessions.setdefault(item.session, _Session(item.session)).add(item)
    joined = sorted((session.join() for session in sessions.values()), key=lambda session: session.first_ns)
    return Trace(folder, tuple(joined), tuple(damage), skipped, dict(unknown), records)


class _Session:
    """Collects the records of one session. The first record of its kind (and call) wins; a repeated one is an event."""

    def __init__(self, id_: str) -> None:
        self.id = id_
        self.first: Record | None = None
        self.opened: Record | None = None
        self.closed: Record | None = None
        self.first_ns: int | None = None
        self.last_ns = 0
        self.starts: dict[str, CallStart] = {}
        self.ends: dict[str, CallEnd] = {}
        self.backgrounds: dict[str, tuple[BackgroundEnd, int]] = {}
        self.events: list[Record] = []

    def add(self, record: Record) -> None:
        self.first_ns = record.mono_ns if self.first_ns is None else min(self.first_ns, record.mono_ns)
        self.last_ns = max(self.last_ns, record.mono_ns)
        match record.body:
            case CallStart() as start if start.call not in self.starts:
                self.starts[start.call] = start
            case CallEnd() as end if end.call not in self.ends:
                self.ends[end.call] = end
            case BackgroundEnd() as end if end.call not in self.backgrounds:
                self.backgrounds[end.call] = (end, record.mono_ns)
            case SessionStart() if self.opened is None:
                self.opened = record
            case SessionEnd() if self.closed is None:
                self.closed = record
            case _:
                self.events.append(record)

    def join(self) -> Session:
        start = self.opened.body if self.opened else None
        end = self.closed.body if self.closed else None
        ids = dict.fromkeys((*self.starts, *self.ends, *self.backgrounds))
        return Session(
            id=self.id,
            start=start if isinstance(start, SessionStart) else None,
            start_ns=self.opened.mono_ns if self.opened else None,
            start_wall=self.opened.wall if self.opened else "",
            end=end if isinstance(end, SessionEnd) else None,
            end_ns=self.closed.mono_ns if self.closed else None,
            first_ns=self.first_ns or 0,
            last_ns=self.last_ns,
            calls=tuple(sorted(map(self._call, ids), key=lambda call: (call.first_ns, call.id))),
            events=tuple(sorted(self.events, key=lambda record: record.mono_ns)),
        )

    def _call(self, call: str) -> Call:
        background, ended_ns = self.backgrounds.get(call, (None, None))
        return Call(self.id, call, self.starts.get(call), self.ends.get(call), background, ended_ns)


def _find(folder: Path) -> Path | None:
    return next((path for name in (RECORDS, _COMPRESSED) if (path := folder / name).is_file()), None)


def _records_file(folder: Path) -> Path:
    try:
        if found := _find(folder):
            return found
        reason = "holds no trace" if folder.is_dir() else "is not a folder" if folder.exists() else "does not exist"
    except OSError as error:
        raise TraceError(
            f"{folder} cannot be opened: {error.strerror}", "check the path and who may read it"
        ) from error
    fix = "give the folder that `agentcgroup run --trace` wrote" if reason == "does not exist" else _FIX
    raise TraceError(f"{folder} {reason}", fix)


def _read(file: BinaryIO, trouble: list[str]) -> Iterator[bytes]:
    """The content of ``file``, chunk by chunk, until it cannot be read; the reason goes to ``trouble``."""
    try:
        while chunk := file.read(_CHUNK):
            yield chunk
    except OSError as error:
        trouble.append(f"cannot be read further: {error.strerror or error}")


def _decompress(file: BinaryIO, trouble: list[str]) -> Iterator[bytes]:
    """The text of a gzip file of one or more members, as far as it can be had."""
    member = zlib.decompressobj(wbits=31)
    for chunk in _read(file, trouble):
        data = chunk
        while True:
            if member.eof:
                if not data:
                    break
                member = zlib.decompressobj(wbits=31)
            before = member.copy()
            try:
                text = member.decompress(data, _CHUNK)
            except zlib.error as error:
                yield from _before_error(before, data)
                trouble.append(f"damaged gzip data: {error}")
                return
            yield text
            data = member.unused_data if member.eof else member.unconsumed_tail
            if not data and len(text) < _CHUNK:
                break
    if not member.eof:
        trouble.append("the gzip data ends early")


def _before_error(member: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    """What ``data`` holds before its first error: zlib drops the good part of a piece with the bad one."""
    for position in range(len(data)):
        try:
            yield member.decompress(data[position : position + 1])
        except zlib.error:
            return


def _lines(chunks: Iterable[bytes]) -> Iterator[tuple[bytes | None, bool, int]]:
    """Lines without their newline, whether they had one, and their offset; None for one that is too long."""
    offset = 0
    rest = b""
    dropped = 0  # bytes of a line that is too long
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield None if dropped else line, True, offset
            offset += dropped + len(line) + 1
            dropped = 0
        if dropped or len(rest) > _LONGEST_LINE:
            dropped += len(rest)
            rest = b""
    if rest or dropped:
        yield None if dropped else rest, False, offset
