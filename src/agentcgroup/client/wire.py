"""The messages between client and controller as dataclasses, and the journal that replaces them.

Layouts are in docs/reference/client-protocol.md. Texts are decoded with ``surrogateescape``, so every byte survives.
Nothing here but ``WireError`` is raised for malformed bytes; what a counter means is left to the controller.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from agentcgroup.errors import WireError

MAGIC = 0x31474341
MESSAGE_MAX = 98304
"""Bytes of the longest message; give recv(2) a buffer of this size."""
ARGV_MAX = 65536
CALLS_VERSION = 1
"""Of the messages that open and close a call in a shell that stays (OPEN, OPENED, CLOSE)."""
NOTE_ARGV_MAX = 4096
LEAF_MAX = 31
GRANT_SIZE = 32
"""Bytes of one entry of the pool."""

_HEADER = struct.Struct("<IHHII")
_REQUEST = struct.Struct("<IQ")
_START = struct.Struct("<IIIIQQ")
_END = struct.Struct("<iIQQQQ")
_NOTE = struct.Struct("<IIII")
_OPEN = struct.Struct("<II")
_CLOSE = struct.Struct("<II")
_WAIT = struct.Struct("<I")
_LENGTH = struct.Struct("<I")
_FLAG_POPULATED = 1
_FLAG_WAITS = 2
_LEAF_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-")


@dataclass(frozen=True, slots=True)
class Request:
    """A client asks for a leaf. ``requested_ns`` is CLOCK_MONOTONIC, as all instants here."""

    pid: int
    requested_ns: int
    argv: tuple[str, ...] = ()  # cut at 65,536 bytes
    hint: str = ""  # AGENT_RESOURCE_HINT of its environment, cut at 4,096 bytes


@dataclass(frozen=True, slots=True)
class Grant:
    """The controller names a leaf; ``""`` refuses."""

    leaf: str


@dataclass(frozen=True, slots=True)
class Start:
    """A command has been started, in ``leaf`` or (``""``) unmanaged."""

    client_pid: int
    pid: int
    ppid: int
    argv_bytes: int
    requested_ns: int
    started_ns: int
    leaf: str
    agent: str
    tool_call_id: str
    cwd: str
    argv: tuple[str, ...]  # cut at 65,536 bytes of argv_bytes
    hint: str = ""  # AGENT_RESOURCE_HINT of its environment, cut at 4,096 bytes

    @property
    def key(self) -> tuple[int, int]:
        """What tells this call from every other: a call that is in the journal may have been received as well."""
        return self.client_pid, self.started_ns


@dataclass(frozen=True, slots=True)
class End:
    """A command has ended. ``counters`` maps the name of a cgroup file to its text."""

    wait_status: int  # as waitpid(2) gives it
    populated: bool  # the leaf still has processes
    ended_ns: int
    utime_us: int  # of wait4(2): the command and what it waited for
    stime_us: int
    maxrss_bytes: int
    counters: dict[str, str] = field(default_factory=dict)
    waits: bool = False  # the client waits for DONE


@dataclass(frozen=True, slots=True)
class Done:
    """The controller has recorded the end; ``text`` goes to the command's stderr."""

    text: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """The controller needs more time for its answer: the client waits up to ``ms`` from now (at most 10 minutes)."""

    ms: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """The controller does not let the command begin; ``text`` goes to its stderr, and its exit status is 75."""

    text: str


@dataclass(frozen=True, slots=True)
class Note:
    """A shell that is not a call; ``label`` is one of model.Label."""

    pid: int
    ppid: int
    argv_bytes: int
    label: str
    agent: str
    argv: tuple[str, ...]  # cut at 4,096 bytes of argv_bytes


@dataclass(frozen=True, slots=True)
class Open:
    """A hook of an agent: its shell ``pid``, which stays, is to be given ``command``. Answer: Opened or Refuse."""

    pid: int
    command: str
    tool_call_id: str = ""
    hint: str = ""  # AGENT_RESOURCE_HINT of the hook's environment
    version: int = CALLS_VERSION


@dataclass(frozen=True, slots=True)
class Opened:
    """The call has begun; ``call`` is its id."""

    call: str


@dataclass(frozen=True, slots=True)
class Close:
    """That command is over. Answer: Done, with the text for the agent, or Refuse."""

    call: str
    status: int  # exit status, 0..255
    version: int = CALLS_VERSION


Message = Request | Grant | Start | End | Done | Note | Wait | Refuse | Open | Opened | Close

_TYPES: dict[type[Message], int] = {
    **{Request: 1, Grant: 2, Start: 3, End: 4, Done: 5, Note: 6, Wait: 7, Refuse: 8},
    **{Open: 9, Opened: 10, Close: 11},
}


def encode(message: Message, sender: int = 0) -> bytes:
    """The packet of a message; ``sender`` is the pid of a client, 0 for the controller. WireError if it is too long."""
    match message:
        case Request():
            numbers = _REQUEST.pack(message.pid, message.requested_ns)
            body = numbers + _blob(_argv_bytes(message.argv, ARGV_MAX)) + _blob(_bytes(message.hint))
        case Grant():
            body = _blob(_leaf_bytes(message.leaf) if message.leaf else b"")
        case Start():
            body = _start_body(message)
        case End():
            body = _end_body(message)
        case Done() | Refuse():
            body = _blob(_bytes(message.text))
        case Wait():
            body = _WAIT.pack(message.ms)
        case Note():
            numbers = _NOTE.pack(message.pid, message.ppid, message.argv_bytes, 0)
            texts = _bytes(message.label), _bytes(message.agent), _argv_bytes(message.argv, NOTE_ARGV_MAX)
            body = numbers + b"".join(map(_blob, texts))
        case Open():
            texts = _bytes(message.command), _bytes(message.tool_call_id), _bytes(message.hint)
            body = _OPEN.pack(message.version, message.pid) + b"".join(map(_blob, texts))
        case Opened():
            body = _blob(_leaf_bytes(message.call))
        case Close():
            body = _CLOSE.pack(message.version, message.status) + _blob(_leaf_bytes(message.call))
    size = _HEADER.size + len(body)
    if size > MESSAGE_MAX:
        raise WireError(f"a {type(message).__name__} of {size} bytes is longer than {MESSAGE_MAX}", "shorten its texts")
    return _HEADER.pack(MAGIC, _TYPES[type(message)], 0, size, sender) + body


def decode(packet: bytes) -> Message:
    """The message in one packet; WireError if it is malformed."""
    return _decode(packet)[1]


def sender_of(packet: bytes) -> int:
    """The pid in the header of a packet; WireError if it has none."""
    return int(_header(packet)[3])


def grant_entry(leaf: str) -> bytes:
    """The 32 bytes that put a leaf into the pool; WireError if ``leaf`` is no leaf name."""
    return _leaf_bytes(leaf).ljust(GRANT_SIZE, b"\0")


def read_journal(data: bytes) -> Iterator[tuple[Start, End | None]]:
    """The calls of a journal, in the order in which they ended; those without an END last.

    Clients write at the same time: the pid in the header joins an END to the START before it. What is cut or
    malformed is skipped up to the next message. A repeated call (the same ``Start.key``) is given once.
    """
    open_calls: dict[int, Start] = {}
    given: set[tuple[int, int]] = set()
    for sender, message in _journal_messages(data):
        if isinstance(message, Start):
            open_calls[sender] = message
        elif isinstance(message, End) and sender in open_calls:
            start = open_calls.pop(sender)
            if start.key not in given:
                given.add(start.key)
                yield start, message
    for start in open_calls.values():
        if start.key not in given:
            given.add(start.key)
            yield start, None


def _journal_messages(data: bytes) -> Iterator[tuple[int, Message]]:
    magic = _LENGTH.pack(MAGIC)
    offset = data.find(magic)
    while offset >= 0:
        size = _HEADER.unpack_from(data, offset)[3] if offset + _HEADER.size <= len(data) else 0
        try:
            yield _decode(data[offset : offset + size])
            offset += size
        except WireError:
            offset += 1
        offset = data.find(magic, offset)


def _header(packet: bytes) -> tuple[int, int, int, int]:
    if len(packet) < _HEADER.size:
        raise WireError(f"a packet of {len(packet)} bytes has no header")
    magic, kind, flags, size, sender = _HEADER.unpack_from(packet)
    if magic != MAGIC:
        raise WireError("a packet that does not begin with ACG1")
    if size != len(packet) or size > MESSAGE_MAX:
        raise WireError(f"a packet of {len(packet)} bytes claims to have {size}")
    return kind, flags, size, sender


def _decode(packet: bytes) -> tuple[int, Message]:
    kind, _, _, sender = _header(packet)
    body = _Body(packet[_HEADER.size :])
    message: Message
    match kind:
        case 1:
            pid, requested = body.numbers(_REQUEST)
            message = Request(pid, requested, body.argv(ARGV_MAX), body.text())
        case 2:
            message = Grant(_leaf_or_empty(body.blob()))
        case 3:
            client_pid, pid, ppid, size, requested, started = body.numbers(_START)
            leaf, agent, call_id, cwd = _leaf_or_empty(body.blob()), body.text(), body.text(), body.text()
            argv = body.argv(ARGV_MAX)
            ids = client_pid, pid, ppid, size, requested, started
            message = Start(*ids, leaf, agent, call_id, cwd, argv, body.text())
        case 4:
            status, flags, ended, utime, stime, maxrss = body.numbers(_END)
            populated, waits = bool(flags & _FLAG_POPULATED), bool(flags & _FLAG_WAITS)
            message = End(status, populated, ended, utime, stime, maxrss, _counters(body.blob()), waits)
        case 5:
            message = Done(body.text())
        case 6:
            pid, ppid, argv_bytes, _ = body.numbers(_NOTE)
            message = Note(pid, ppid, argv_bytes, body.text(), body.text(), body.argv(NOTE_ARGV_MAX))
        case 7:
            message = Wait(*body.numbers(_WAIT))
        case 8:
            message = Refuse(body.text())
        case 9:
            version, pid = body.numbers(_OPEN)
            message = Open(pid, body.text(), body.text(), body.text(), version)
        case 10:
            message = Opened(_leaf_bytes(body.text()).decode("ascii"))
        case 11:
            version, status = body.numbers(_CLOSE)
            message = Close(_leaf_bytes(body.text()).decode("ascii"), status, version)
        case _:
            raise WireError(f"a message of the unknown type {kind}")
    body.finish()
    return sender, message


class _Body:
    """A cursor over the body of a message; WireError when it ends too early or too late."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def numbers(self, layout: struct.Struct) -> tuple[int, ...]:
        return layout.unpack(self._take(layout.size))

    def blob(self) -> bytes:
        return self._take(self.numbers(_LENGTH)[0])

    def text(self) -> str:
        return _text(self.blob())

    def argv(self, limit: int) -> tuple[str, ...]:
        data = self.blob()
        if len(data) > limit:
            raise WireError(f"an argument vector of {len(data)} bytes was not cut at {limit}")
        return tuple(_text(part) for part in data.removesuffix(b"\0").split(b"\0")) if data else ()

    def finish(self) -> None:
        if self._at != len(self._data):
            raise WireError(f"{len(self._data) - self._at} bytes too many at the end of a message")

    def _take(self, size: int) -> bytes:
        if size > len(self._data) - self._at:
            raise WireError(f"a message ends {size - len(self._data) + self._at} bytes too early")
        self._at += size
        return self._data[self._at - size : self._at]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _blob(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data


def _leaf_or_empty(data: bytes) -> str:
    return _leaf_bytes(data.decode("latin-1")).decode("ascii") if data else ""


def _leaf_bytes(leaf: str) -> bytes:
    data = leaf.encode("latin-1", "replace")
    if not 1 <= len(data) <= LEAF_MAX or not _LEAF_LETTERS.issuperset(data):
        raise WireError(f"{leaf!r} is not the name of a leaf", f"use 1 to {LEAF_MAX} of a-z, 0-9 and -")
    return data


def _argv_bytes(argv: tuple[str, ...], limit: int) -> bytes:
    return b"".join(_bytes(word) + b"\0" for word in argv)[:limit]


def _start_body(start: Start) -> bytes:
    numbers = _START.pack(
        start.client_pid, start.pid, start.ppid, start.argv_bytes, start.requested_ns, start.started_ns
    )
    leaf = _leaf_bytes(start.leaf) if start.leaf else b""
    names = leaf, _bytes(start.agent), _bytes(start.tool_call_id), _bytes(start.cwd)
    texts = *names, _argv_bytes(start.argv, ARGV_MAX), _bytes(start.hint)
    return numbers + b"".join(map(_blob, texts))


def _end_body(end: End) -> bytes:
    flags = (_FLAG_POPULATED if end.populated else 0) | (_FLAG_WAITS if end.waits else 0)
    numbers = _END.pack(end.wait_status, flags, end.ended_ns, end.utime_us, end.stime_us, end.maxrss_bytes)
    return numbers + _blob(b"".join(_bytes(f"{name}\0{text}\0") for name, text in end.counters.items()))


def _counters(data: bytes) -> dict[str, str]:
    parts = _text(data).split("\0")
    if len(parts) % 2 == 0 or parts[-1]:
        raise WireError("counters are not pairs of a name and a text")
    return dict(zip(parts[:-1:2], parts[1:-1:2], strict=True))
