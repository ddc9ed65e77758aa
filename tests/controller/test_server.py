"""The controller's socket against clients that misbehave: they lose their connection, the others notice nothing."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentcgroup.client import wire
from agentcgroup.controller.server import Connection, Server


class Listener:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.opened: list[Connection] = []
        self.closed: list[Connection] = []
        self.messages: list[wire.Message] = []

    def on_open(self, connection: Connection) -> None:
        self.opened.append(connection)

    def on_message(self, connection: Connection, message: wire.Message) -> None:
        self.messages.append(message)
        connection.send(wire.Done("thanks"))

    def on_close(self, connection: Connection) -> None:
        self.closed.append(connection)


def connect(path: Path) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    peer.settimeout(2)
    peer.connect(str(path))
    return peer


def talk(tmp_path: Path, conversation: Callable[[Path], None]) -> tuple[Listener, Server]:
    """Run a server on a loop while ``conversation`` talks to it from a thread."""
    path = tmp_path / f"sock-{time.monotonic_ns()}"
    listener = Listener()

    async def serve() -> Server:
        loop = asyncio.get_running_loop()
        server = Server(path, listener, loop)
        try:
            await asyncio.wait_for(loop.run_in_executor(None, conversation, path), 20)
            await asyncio.sleep(0.02)
        finally:
            server.close()
        return server

    return listener, asyncio.run(serve())


REQUEST = wire.Request(pid=1, requested_ns=2)


def test_a_message_is_heard_and_answered_and_the_peer_is_known(tmp_path: Path) -> None:
    def conversation(path: Path) -> None:
        with connect(path) as peer:
            peer.send(wire.encode(REQUEST))
            assert wire.decode(peer.recv(wire.MESSAGE_MAX)) == wire.Done("thanks")

    listener, server = talk(tmp_path, conversation)
    assert listener.messages == [REQUEST]
    assert [connection.pid for connection in listener.opened] == [os.getpid()]
    assert listener.closed == listener.opened
    assert server.refused == 0


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(min_size=1, max_size=2000), min_size=1, max_size=5))
def test_random_bytes_close_their_connection_and_nothing_else(tmp_path: Path, packets: list[bytes]) -> None:
    def conversation(path: Path) -> None:
        with connect(path) as good, connect(path) as bad:
            with suppress(BrokenPipeError, ConnectionResetError):  # closed with packets of ours unread
                for packet in packets:
                    bad.send(packet)
                assert bad.recv(100) == b""
            good.send(wire.encode(REQUEST))
            assert wire.decode(good.recv(wire.MESSAGE_MAX)) == wire.Done("thanks")

    listener, server = talk(tmp_path, conversation)
    assert listener.messages == [REQUEST]
    assert server.refused == 1
    assert len(listener.closed) == 2


def test_a_huge_message_and_a_half_one_are_refused(tmp_path: Path) -> None:
    whole = wire.encode(REQUEST)

    def conversation(path: Path) -> None:
        for packet in (whole + b"x" * 100_000, whole[:-3], whole[:5]):
            with connect(path) as peer:
                peer.send(packet)
                assert peer.recv(100) == b""

    listener, server = talk(tmp_path, conversation)
    assert listener.messages == []
    assert server.refused == 3


def test_hundreds_of_connections_that_say_nothing(tmp_path: Path) -> None:
    def conversation(path: Path) -> None:
        silent = [connect(path) for _ in range(400)]
        try:
            with connect(path) as peer:
                peer.send(wire.encode(REQUEST))
                assert wire.decode(peer.recv(wire.MESSAGE_MAX)) == wire.Done("thanks")
        finally:
            for peer in silent:
                peer.close()

    listener, _ = talk(tmp_path, conversation)
    assert len(listener.opened) == len(listener.closed) == 401
