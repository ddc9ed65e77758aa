"""A session's connection to a daemon, once it has been welcomed."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from agentcgroup.daemon import codec
from agentcgroup.daemon.lines import Lines
from agentcgroup.daemon.messages import PROTOCOL, FromDaemon, Hello, Refused, Welcome
from agentcgroup.errors import HostError, WireError

START = "start one with: agentcgroup daemon (or systemctl start agentcgroup)"
_MOST_UNSENT = 2 << 20
_WELCOME_WITHIN_S = 2.0
_UCRED = struct.Struct("3i")  # pid, uid, gid: struct ucred, unix(7)


class Link(asyncio.Protocol):
    """``take`` and ``lost`` are called with what comes after the welcome; set them in the turn in which it is made."""

    def __init__(self, session: str) -> None:
        self._session = session
        self._lines = Lines()
        self._transport: asyncio.Transport | None = None
        self.welcome: asyncio.Future[Welcome] = asyncio.get_running_loop().create_future()
        self.take: Callable[[FromDaemon], None] | None = None
        self.lost: Callable[[str], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (what a stream connection makes)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        try:
            for line in self._lines.feed(data):
                if self._transport is None:
                    return  # closed by what came before
                self._got(codec.decode_from_daemon(line, self._session))
        except WireError as error:
            self.close(f"the daemon sent {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self.close("the daemon is gone")

    def send(self, line: bytes) -> None:
        """Send without waiting."""
        if self._transport is not None:
            self._transport.write(line)
            if self._transport.get_write_buffer_size() > _MOST_UNSENT:
                self.close("the daemon does not read")

    def close(self, reason: str = "") -> None:
        """Close; with a reason, whoever listens is told."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        if not self.welcome.done():
            self.welcome.set_exception(HostError(reason or "the connection to the daemon was closed", START))
            self.welcome.exception()  # nobody may be waiting for it any more
        lost, self.lost = self.lost, None
        if reason and lost is not None:
            lost(reason)

    def _got(self, message: FromDaemon) -> None:
        if self.take is not None:
            self.take(message)
        elif self.welcome.done():
            return
        elif isinstance(message, Welcome) and message.version == PROTOCOL:
            self.welcome.set_result(message)
        elif isinstance(message, Refused):
            self.welcome.set_exception(HostError(message.message, message.fix))
        else:
            self.close("the daemon speaks another version of the protocol")


async def connect(sockets: Sequence[Path], hello: Hello) -> tuple[Link, Welcome]:
    """A link to the first of ``sockets`` where a daemon welcomes the session. HostError: why the last would not."""
    problem = HostError("no daemon is running here", START)
    for path in sockets:
        try:
            return await _connect(path, hello)
        except HostError as error:
            problem = error if error.fix != START or len(sockets) == 1 else problem
    raise problem


async def _connect(path: Path, hello: Hello) -> tuple[Link, Welcome]:
    loop = asyncio.get_running_loop()
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        peer.connect(str(path))  # AF_UNIX: at once, or EAGAIN with a full backlog
        check_owner(peer, path)
        _, link = await loop.create_unix_connection(lambda: Link(hello.name), sock=peer)
    except OSError as error:
        peer.close()
        raise HostError(f"no daemon is running at {path}: {error.strerror}", START) from None
    except HostError:
        peer.close()
        raise
    try:
        link.send(codec.encode(replace(hello, now_s=time.monotonic())))
        async with asyncio.timeout(_WELCOME_WITHIN_S):
            return link, await link.welcome
    except TimeoutError:
        link.close()
        raise HostError(f"the daemon at {path} does not answer", "systemctl restart agentcgroup") from None
    except BaseException:
        link.close()
        raise


def check_owner(peer: socket.socket, path: Path) -> None:
    """Only root and we ourselves may decide over our calls."""
    _, uid, _ = _UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    if uid not in (0, os.geteuid()):
        raise HostError(f"the daemon at {path} belongs to user {uid}", "use one of root or your own, or --daemon off")
