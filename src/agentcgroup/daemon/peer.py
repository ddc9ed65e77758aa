"""One connection to the daemon: what comes is a sound message at the right time, or the connection is closed."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections import deque
from typing import Protocol

from agentcgroup.daemon import codec
from agentcgroup.daemon.lines import Lines
from agentcgroup.daemon.messages import FromDaemon, Hello, Killed, Question, Refused, Report
from agentcgroup.daemon.seat import Seat
from agentcgroup.errors import WireError

MOST_UNSENT = 1 << 20  # bytes that wait for a peer that does not read
_FIX = "see the protocol of the daemon in its reference; run both from the same version of agentcgroup"
_UCRED = struct.Struct("3i")  # pid, uid, gid: struct ucred, unix(7)


class Host(Protocol):
    """What a connection needs of the server."""

    def opened(self, peer: Peer) -> Refused | None:
        """A connection is there; why it may not stay, if it may not."""

    def time_of(self, uid: int) -> float:
        """Seconds of CPU that are left until the next sweep for what the connections of a user say."""

    def spent(self, uid: int, seconds: float) -> None:
        """So much of it has been used."""

    def closed(self, peer: Peer) -> None:
        """The connection is gone."""

    def hello(self, peer: Peer, hello: Hello) -> None:
        """A session introduces itself."""

    def report(self, seat: Seat, report: Report) -> None:
        """A session reports."""

    def killed(self, seat: Seat, killed: Killed) -> None:
        """A session has killed a call."""

    def question(self, peer: Peer, question: Question) -> None:
        """An operator asks."""


class Peer(asyncio.Protocol):
    """``uid`` and ``pid`` are the kernel's word (SO_PEERCRED); ``seat`` is set once it is a session."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._lines = Lines()
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[bytes] = deque()
        self._paused = False
        self.uid = -1
        self.pid = 0
        self.seat: Seat | None = None
        self._quiet_since_s = time.monotonic()  # since when nothing whole has come that was due

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (what a stream server makes)
        self._transport = transport
        own = transport.get_extra_info("socket")
        self.pid, self.uid, _ = _UCRED.unpack(own.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        if refused := self._host.opened(self):
            self.finish(refused)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if not self._open:
            return
        whole = not self._lines.pending
        try:
            lines = self._lines.feed(data)
        except WireError as error:
            self._reject(error)
            return
        if whole or lines:
            self._quiet_since_s = time.monotonic()
        self._waiting.extend(lines)
        self._work()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._transport = None
        self._host.closed(self)

    # For the server

    def send(self, message: FromDaemon) -> None:
        """Send without waiting; a peer that does not read is dropped."""
        if self._transport is not None and self._open:
            self._transport.write(codec.encode(message))
            if self.unsent > MOST_UNSENT:
                self.drop()

    def finish(self, message: FromDaemon) -> None:
        """Send a last message; who does not read it is dropped by the next sweep."""
        self.send(message)
        if self._transport is not None:
            self._transport.close()

    def drop(self) -> None:
        """Close the connection; the server hears of it a turn later."""
        if self._transport is not None:
            self._transport.abort()

    def sweep(self, now_s: float, line_within_s: float, hello_within_s: float) -> None:
        """Now and then: close the connection if what was due has not come, let it be heard again if it was paused."""
        if not self._open:
            self.drop()
        elif self._paused:
            self._work()
        elif self._lines.pending and now_s - self._quiet_since_s > line_within_s:
            self._reject(WireError(f"the end of a message has not come within {line_within_s:g} s"))
        elif self.seat is None and now_s - self._quiet_since_s > hello_within_s:
            self._reject(WireError(f"nothing has come for {hello_within_s:g} s"))

    @property
    def pending(self) -> int:
        """Bytes of an incomplete line."""
        return self._lines.pending

    @property
    def unsent(self) -> int:
        """Bytes that it has not read."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    @property
    def _open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def _reject(self, error: WireError) -> None:
        self._waiting.clear()
        self.finish(Refused(f"the daemon closes the connection: {error}", _FIX))

    def _work(self) -> None:
        """Take the lines that wait, as far as the time of this user goes; what is left waits for the next sweep."""
        begun, left_s = time.thread_time(), self._host.time_of(self.uid)
        while self._waiting and self._open and time.thread_time() - begun < left_s:
            try:
                self._take(self._waiting.popleft())
            except WireError as error:
                self._reject(error)
        self._host.spent(self.uid, time.thread_time() - begun)
        if self._transport is not None and self._open and self._paused != bool(self._waiting):
            self._paused = not self._paused
            if self._paused:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _take(self, line: bytes) -> None:
        message = codec.decode_to_daemon(line, None if self.seat is None else self.seat.name)
        match message:
            case Report() if self.seat is not None:
                self._host.report(self.seat, message)
            case Killed() if self.seat is not None:
                self._host.killed(self.seat, message)
            case Hello():
                self._host.hello(self, message)
            case Question():
                self._host.question(self, message)
