"""The controller's socket: SOCK_SEQPACKET, one connection per client, closed by the kernel when the client dies.

A connection is a call's sign of life. Messages that are malformed, too long or come from another user close their
connection and nothing else.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from pathlib import Path
from typing import Protocol

from agentcgroup.client import wire
from agentcgroup.errors import WireError

_BACKLOG = 4096
_UCRED = struct.Struct("3i")  # pid, uid, gid: struct ucred, unix(7)


class Handler(Protocol):
    """Who is told what clients say."""

    def on_open(self, connection: Connection) -> None:
        """A client has connected."""

    def on_message(self, connection: Connection, message: wire.Message) -> None:
        """A sound message came."""

    def on_close(self, connection: Connection) -> None:
        """The client closed its end, or died, or was thrown out."""


class Connection:
    """One client. ``pid`` is the peer's, in our PID namespace (0: not visible from here)."""

    __slots__ = ("call", "pid", "socket")

    def __init__(self, peer: socket.socket, pid: int) -> None:
        self.socket = peer
        self.pid = pid
        self.call = ""

    def send(self, message: wire.Message) -> bool:
        """Send without waiting; False when the client is gone or does not read."""
        try:
            self.socket.send(wire.encode(message), socket.MSG_NOSIGNAL)
        except OSError:
            return False
        return True


class Server:
    """Accepts clients on ``path`` and hands their messages to ``handler``."""

    def __init__(self, path: Path, handler: Handler, loop: asyncio.AbstractEventLoop) -> None:
        self._handler = handler
        self._loop = loop
        self._connections: dict[int, Connection] = {}
        self._uid = os.geteuid()
        self.refused = 0  # connections closed for what they sent or who they were
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._socket.bind(str(path))
        path.chmod(0o600)
        self._socket.listen(_BACKLOG)
        loop.add_reader(self._socket, self._accept)

    def close(self) -> None:
        """Stop listening and close all connections."""
        self._loop.remove_reader(self._socket)
        self._socket.close()
        for connection in list(self._connections.values()):
            self._drop(connection)

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:  # nobody is waiting any more, or out of descriptors: the client's deadline lets it go on
                return
            peer.setblocking(False)
            pid, uid, _ = _UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
            if uid != self._uid:
                self.refused += 1
                peer.close()
                continue
            connection = Connection(peer, pid)
            self._connections[peer.fileno()] = connection
            self._loop.add_reader(peer, self._read, connection)
            self._handler.on_open(connection)

    def _read(self, connection: Connection) -> None:
        try:
            packet = connection.socket.recv(wire.MESSAGE_MAX)
            message = wire.decode(packet) if packet else None
        except BlockingIOError:
            return
        except WireError:
            self.refused += 1
            message = None
        except OSError:
            message = None
        if message is None:
            self._drop(connection)
            self._handler.on_close(connection)
        else:
            self._handler.on_message(connection, message)

    def _drop(self, connection: Connection) -> None:
        descriptor = connection.socket.fileno()
        if descriptor >= 0:
            self._loop.remove_reader(descriptor)
            self._connections.pop(descriptor, None)
            connection.socket.close()
