"""What one record of a trace says: a typed body per kind, to JSON and back.

Writing is exact. Reading is tolerant towards newer versions (unknown kinds and fields are kept and
named in ``Record.unknown``) and strict about what it does know: a known field of the wrong type makes
the record unsound (`FieldError`), because half a record would be taken for a whole one.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TypeAlias

from agentcgroup.model import CallEnd, CallStart, Label, Leftovers, Limits, Outcome, Support, Usage, UsageSource
from agentcgroup.trace.fields import FieldError, Fields
from agentcgroup.trace.text import is_cut

SCHEMA = 1  # raised only when a known field changes its meaning

Json: TypeAlias = dict[str, object]


@dataclass(frozen=True, slots=True)
class Host:
    """The machine of a session."""

    hostname: str = ""
    kernel: str = ""  # uname -r
    cpus: int | None = None
    memory_bytes: int | None = None  # MemTotal


@dataclass(frozen=True, slots=True)
class SessionStart:
    """A session as it began."""

    name: str
    argv: tuple[str, ...]
    cwd: str
    agent: str
    support: str  # a model.Support, or the word of a newer version
    placement: str  # how the client stands in for the shells: "mount" or "path"
    host: Host = field(default_factory=Host)
    limits: Limits = field(default_factory=Limits)
    call_limits: Limits = field(default_factory=Limits)
    call_timeout_s: float | None = None
    keep_background_s: float | None = None
    sample_hz: float | None = None
    cgroup: str | None = None
    agentcgroup_version: str = ""
    pid: int = 0  # of COMMAND


@dataclass(frozen=True, slots=True)
class BackgroundEnd:
    """What a call left running on purpose has ended. ``reason``: exited, limit or session-ended."""

    call: str
    reason: str
    usage: Usage  # of the whole life of the leaf, the call included


@dataclass(frozen=True, slots=True)
class Shell:
    """A shell of the agent that is not a call. ``label`` is a model.Label, or the word of a newer version."""

    label: str
    argv: tuple[str, ...]
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Uncaught:
    """A command that ran in the agent leaf, past the client."""

    pid: int
    exe: str
    argv: tuple[str, ...]
    parent: str = ""


@dataclass(frozen=True, slots=True)
class Action:
    """Something done to the domain of ``call``, or of the session when that is None."""

    call: str | None
    action: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Signal:
    """Something that happened to the domain of ``call``, or of the session when that is None."""

    call: str | None
    signal: str
    value: object = None  # any JSON


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """A session as it ended: exit status 0..255, or the signal that killed COMMAND."""

    status: int
    signal: int
    reason: str = ""
    calls: int = 0
    usage: Usage = field(default_factory=Usage)
    agent_usage: Usage = field(default_factory=Usage)
    uncaught: int = 0
    unmanaged: int = 0


@dataclass(frozen=True, slots=True)
class Unknown:
    """A record of a kind that this version does not know, as it was."""

    kind: str
    fields: Json


Body: TypeAlias = (
    SessionStart | CallStart | CallEnd | BackgroundEnd | Shell | Uncaught | Action | Signal | SessionEnd | Unknown
)


@dataclass(frozen=True, slots=True)
class Record:
    """One line of ``records.jsonl``: when (CLOCK_MONOTONIC ns, UTC), in which session, what."""

    mono_ns: int
    wall: str
    session: str
    body: Body
    unknown: tuple[str, ...] = ()  # names of fields and values of a newer version

    @property
    def kind(self) -> str:
        """The kind, as in the file."""
        return kind_of(self.body)

    def to_json(self) -> Json:
        """The record as it stands in the file."""
        head: Json = {"v": SCHEMA, "kind": self.kind, "mono_ns": self.mono_ns, "wall": self.wall}
        return head | {"session": self.session} | to_json(self.body)


class NewerSchemaError(FieldError):
    """The record is of a schema version above `SCHEMA`; its fields may mean something else."""


# Lone surrogates become \udcXX through ensure_ascii; check_circular is time spent on data made here.
encode = json.JSONEncoder(ensure_ascii=True, check_circular=False, allow_nan=False, separators=(",", ":")).encode


def decode(line: bytes) -> Record:
    """The record in one line; FieldError says what is wrong with it."""
    try:
        data = _parse(line)
    except RecursionError:
        raise FieldError("nested too deep") from None
    except ValueError:
        raise FieldError("not JSON") from None
    if not isinstance(data, dict):
        raise FieldError("not a JSON object")
    head = Fields(data)
    version = head.integer("v")
    if version > SCHEMA:
        raise NewerSchemaError(f"schema version {version}, this agentcgroup reads up to {SCHEMA}")
    kind, mono_ns, wall, session = head.text("kind"), head.integer("mono_ns"), head.text("wall"), head.text("session")
    rest = {name: value for name, value in data.items() if name not in _HEAD}
    reader = _READERS.get(kind)
    if reader is None:
        return Record(mono_ns, wall, session, Unknown(kind, rest), (f"kind {kind}",))
    fields = Fields(rest, f"{kind}.")
    body = reader(fields)
    return Record(mono_ns, wall, session, body, fields.unknown())


def from_json(kind: str, fields: Mapping[str, object]) -> Body:
    """The body of a record of ``kind`` with these fields (as in the file); FieldError when they do not fit."""
    reader = _READERS.get(kind)
    return Unknown(kind, dict(fields)) if reader is None else reader(Fields(fields, f"{kind}."))


def kind_of(body: Body) -> str:
    """The kind under which ``body`` is written."""
    return body.kind if isinstance(body, Unknown) else _KINDS[type(body)]


def to_json(body: Body) -> Json:
    """The fields of ``body`` as they are written, without those that every record has."""
    return dict(body.fields) if isinstance(body, Unknown) else _WRITERS[type(body)](body)


def _parse(line: bytes) -> object:
    """The JSON value in ``line``; ValueError when it is none. A decoder that is made once: loads() makes one a line."""
    if line.isascii() and b"\0" not in line[:4]:
        return _decode(line.decode("ascii"))
    value: object = json.loads(line, parse_constant=_refuse_constant)  # which also looks for the encoding
    return value


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_decode: Callable[[str], object] = json.JSONDecoder(parse_constant=_refuse_constant).decode


def _writer(kind: type, **nested: Callable[[object], object]) -> Callable[[object], Json]:
    """A function from an instance of dataclass ``kind`` to its fields.

    dataclasses.asdict copies deeply and takes ten times as long, which every call would pay.
    """
    names = tuple(f.name for f in dataclasses.fields(kind))
    values = attrgetter(*names)

    def write(instance: object) -> Json:
        fields = dict(zip(names, values(instance), strict=True))
        for name, convert in nested.items():
            fields[name] = convert(fields[name])
        return fields

    return write


usage_json = _writer(Usage)
limits_json = _writer(Limits)
leftovers_json = _writer(Leftovers)
_call_start_json = _writer(CallStart, limits=limits_json)


def _write_call_start(start: object) -> Json:
    fields = _call_start_json(start)
    if isinstance(start, CallStart):
        fields["argv_truncated"] = is_cut(start.argv, start.argv_bytes)
    return fields


_HEAD = frozenset({"v", "kind", "mono_ns", "wall", "session"})
_KINDS: dict[type, str] = {
    SessionStart: "session_start",
    CallStart: "call_start",
    CallEnd: "call_end",
    BackgroundEnd: "background_end",
    Shell: "shell",
    Uncaught: "uncaught",
    Action: "action",
    Signal: "signal",
    SessionEnd: "session_end",
}
_WRITERS: dict[type, Callable[[object], Json]] = {
    SessionStart: _writer(SessionStart, host=_writer(Host), limits=limits_json, call_limits=limits_json),
    CallStart: _write_call_start,
    CallEnd: _writer(CallEnd, usage=usage_json, leftovers=leftovers_json),
    BackgroundEnd: _writer(BackgroundEnd, usage=usage_json),
    Shell: _writer(Shell),
    Uncaught: _writer(Uncaught),
    Action: _writer(Action),
    Signal: _writer(Signal),
    SessionEnd: _writer(SessionEnd, usage=usage_json, agent_usage=usage_json),
}


def _usage(f: Fields) -> Usage:
    counts = f.integers_or_none(_USAGE_COUNTS)
    # An unknown source is taken for the least exact one, so that nobody trusts it too much.
    source = f.choice("source", UsageSource, UsageSource.PROC) if f.value("source") is not None else UsageSource.PROC
    return Usage(source=source, **counts)


def _limits(f: Fields) -> Limits:
    counts = f.integers_or_none(_LIMIT_COUNTS)
    return Limits(memory_oom_group=f.boolean("memory_oom_group", False), **counts)


def _host(f: Fields) -> Host:
    return Host(
        f.text_or("hostname"), f.text_or("kernel"), f.integer_or_none("cpus"), f.integer_or_none("memory_bytes")
    )


def _session_start(f: Fields) -> SessionStart:
    return SessionStart(
        name=f.text_or("name"),
        argv=f.texts("argv"),
        cwd=f.text_or("cwd"),
        agent=f.text_or("agent"),
        support=f.text_or("support", Support.PROCESS),
        placement=f.text_or("placement"),
        host=_host(f.child("host")),
        limits=_limits(f.child("limits")),
        call_limits=_limits(f.child("call_limits")),
        call_timeout_s=f.number_or_none("call_timeout_s"),
        keep_background_s=f.number_or_none("keep_background_s"),
        sample_hz=f.number_or_none("sample_hz"),
        cgroup=f.text_or_none("cgroup"),
        agentcgroup_version=f.text_or("agentcgroup_version"),
        pid=f.integer_or("pid", 0),
    )


def _call_start(f: Fields) -> CallStart:
    f.value("argv_truncated")  # follows from argv and argv_bytes
    return CallStart(
        call=f.text("call"),
        argv=f.texts("argv"),
        argv_bytes=f.integer_or("argv_bytes", 0),
        cwd=f.text_or("cwd"),
        requested_ns=f.integer("requested_ns"),
        started_ns=f.integer("started_ns"),
        managed=f.boolean("managed", True),
        agent=f.text_or("agent", "generic"),
        tool_call_id=f.text_or("tool_call_id"),
        pid=f.integer_or("pid", 0),
        client_pid=f.integer_or("client_pid", 0),
        limits=_limits(f.child("limits")),
        caught=f.text_or("caught"),
        placed_ns=f.integer_or("placed_ns", 0),
    )


def _call_end(f: Fields) -> CallEnd:
    status, signal, left = f.integer("status"), f.integer_or("signal", 0), f.child("leftovers")
    fallback = Outcome.OK if status == signal == 0 else Outcome.FAILED
    outcome, reason = f.choice("outcome", Outcome, fallback), f.text_or("reason")
    if f.notes:
        reason = f"{f.text('outcome')} (an outcome of a newer version)" + (f": {reason}" if reason else "")
    return CallEnd(
        call=f.text("call"),
        ended_ns=f.integer("ended_ns"),
        returned_ns=f.integer("returned_ns"),
        status=status,
        signal=signal,
        outcome=outcome,
        usage=_usage(f.child("usage")),
        leftovers=Leftovers(left.integer_or("killed", 0), left.integer_or("kept", 0), left.integers("kept_pids")),
        reason=reason,
        programs=f.texts("programs"),
    )


def _session_end(f: Fields) -> SessionEnd:
    return SessionEnd(
        status=f.integer("status"),
        signal=f.integer_or("signal", 0),
        reason=f.text_or("reason"),
        calls=f.integer_or("calls", 0),
        usage=_usage(f.child("usage")),
        agent_usage=_usage(f.child("agent_usage")),
        uncaught=f.integer_or("uncaught", 0),
        unmanaged=f.integer_or("unmanaged", 0),
    )


_USAGE_COUNTS = tuple(f.name for f in dataclasses.fields(Usage) if f.name != "source")
_LIMIT_COUNTS = tuple(f.name for f in dataclasses.fields(Limits) if f.name != "memory_oom_group")
_READERS: dict[str, Callable[[Fields], Body]] = {
    "session_start": _session_start,
    "call_start": _call_start,
    "call_end": _call_end,
    "background_end": lambda f: BackgroundEnd(f.text("call"), f.text_or("reason"), _usage(f.child("usage"))),
    "shell": lambda f: Shell(f.text_or("label", Label.HELPER), f.texts("argv"), f.integer_or("pid", 0)),
    "uncaught": lambda f: Uncaught(f.integer_or("pid", 0), f.text_or("exe"), f.texts("argv"), f.text_or("parent")),
    "action": lambda f: Action(f.text_or_none("call"), f.text("action"), f.text_or("reason")),
    "signal": lambda f: Signal(f.text_or_none("call"), f.text("signal"), f.value("value")),
    "session_end": _session_end,
}
