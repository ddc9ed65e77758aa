"""The kill log: what was killed, why, and on whose word. One JSON object a line, outside of the traces, which may go.

Written by every `run` for its own calls, and by the daemon for those of other users. Nothing here stops a session: a
line that cannot be written is lost, and said.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agentcgroup.errors import TraceError, WireError

VERSION = 1
MOST_BYTES = 16 << 20  # of one file; the one before it is kept
_TEXT = {"session": 100, "call": 100, "rule": 100, "reason": 1000, "program": 200, "command": 2000, "wall": 40}
_NUMBERS = ("uid", "memory_bytes", "peak_bytes", "limit_bytes")
_TRIES = 5


@dataclass(frozen=True, slots=True)
class KillRecord:
    """One kill. None is "not known" or "no limit"."""

    session: str
    call: str
    rule: str  # a stable word, of the policy
    reason: str  # for people
    program: str = ""
    command: str = ""  # may be cut
    memory_bytes: int | None = None  # when the decision was carried out
    peak_bytes: int | None = None
    limit_bytes: int | None = None
    pressure_percent: float | None = None  # of the last 10 s in which some task of the session stalled on memory
    uid: int | None = None
    wall: str = ""  # ISO 8601, UTC; filled in when it is written


def record_to_json(record: KillRecord) -> dict[str, Any]:
    """The fields of a line, texts cut to what is kept."""
    found = {"v": VERSION, **asdict(record)}
    return {name: value[: _TEXT[name]] if name in _TEXT else value for name, value in found.items()}


def record_from_json(found: Mapping[str, Any]) -> KillRecord:
    """A record of a line; WireError when a field is missing, wrong or too long."""
    values: dict[str, Any] = {}
    for name, most in _TEXT.items():
        value = found.get(name, "")
        if not isinstance(value, str) or len(value) > most:
            raise WireError(f"field {name!r} of a kill record is wrong")
        values[name] = value
    for name in _NUMBERS:
        number = found.get(name)
        if number is not None and (type(number) is not int or not 0 <= number < 1 << 63):
            raise WireError(f"field {name!r} of a kill record is wrong")
        values[name] = number
    pressure = found.get("pressure_percent")
    if pressure is not None and (type(pressure) not in (int, float) or not 0 <= pressure <= 100):
        raise WireError("field 'pressure_percent' of a kill record is wrong")
    if not values["session"] or not values["call"]:
        raise WireError("a kill record without a session and a call")
    return KillRecord(**values, pressure_percent=pressure)


def default_path() -> Path:
    """Where this user's kill log is: root's is the log of the host."""
    if os.geteuid() == 0:
        return Path("/var/lib/agentcgroup/kill-log.jsonl")
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state, "agentcgroup", "kill-log.jsonl")


class KillLog:
    """Appends to the kill log at ``path``, which is rotated at ``most_bytes``; several processes may."""

    def __init__(self, path: Path | None = None, most_bytes: int = MOST_BYTES) -> None:
        self.path = path or default_path()
        self.most_bytes = most_bytes

    def append(self, record: KillRecord) -> str:
        """Write one line; what went wrong with how to mend it, empty when nothing did."""
        wall = record.wall or datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps(record_to_json(replace(record, wall=wall)), allow_nan=False).encode("ascii") + b"\n"
        try:
            self._append(line)
        except OSError as error:
            return f"the kill log {self.path} cannot be written: {error.strerror}; make room or check who may write it"
        return ""

    def _append(self, line: bytes) -> None:
        self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        for _ in range(_TRIES):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if self._moved(descriptor):
                    continue  # another process has rotated it while we waited
                size = os.fstat(descriptor).st_size
                if size and size + len(line) > self.most_bytes:
                    self.path.rename(_before(self.path))
                    continue
                torn = size and os.pread(descriptor, 1, size - 1) != b"\n"
                whole = b"\n" + line if torn else line
                if os.write(descriptor, whole) != len(whole):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return
            finally:
                os.close(descriptor)
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    def _moved(self, descriptor: int) -> bool:
        try:
            return not os.path.samestat(os.fstat(descriptor), self.path.stat())
        except FileNotFoundError:
            return True


@dataclass(frozen=True, slots=True)
class Kills:
    """What a kill log holds, oldest first, and how many of its lines are damaged."""

    records: tuple[KillRecord, ...]
    damaged: int


def read_kill_log(path: Path | None = None, session: str | None = None) -> Kills:
    """The kills in the log and in the one before it, of all sessions or of one; none when there is no log.

    TraceError when it is there and cannot be read.
    """
    path = path or default_path()
    records: list[KillRecord] = []
    damaged = 0
    for file in (_before(path), path):
        for line in _lines(file):
            try:
                record = record_from_json(_object(line))
            except (ValueError, RecursionError, WireError):
                damaged += 1
                continue
            if session is None or record.session == session:
                records.append(record)
    return Kills(tuple(records), damaged)


def _object(line: bytes) -> dict[str, Any]:
    found = json.loads(line)
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def _lines(file: Path) -> list[bytes]:
    try:
        return [line for line in file.read_bytes().split(b"\n") if line]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise TraceError(f"the kill log {file} cannot be read: {error.strerror}", "check who may read it") from error


def _before(path: Path) -> Path:
    return path.with_name(path.name + ".1")
