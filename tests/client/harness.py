"""What the tests of the client share: a small real controller, and a session with stand-ins on a real hierarchy."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentcgroup.client import wire
from agentcgroup.client.image import ClientConfig, write_stand_in

REAL = {"bash": Path("/bin/bash").resolve(), "sh": Path("/bin/sh").resolve()}
_numbers = itertools.count(1)


@dataclass
class Connection:
    """All packets of one client, in order, and whether it has hung up."""

    messages: list[wire.Message] = field(default_factory=list)
    senders: list[int] = field(default_factory=list)
    closed: bool = False

    def of(self, kind: type[wire.Message]) -> list[wire.Message]:
        return [m for m in self.messages if type(m) is kind]

    @property
    def start(self) -> wire.Start:
        (message,) = self.of(wire.Start)
        assert isinstance(message, wire.Start)
        return message

    @property
    def end(self) -> wire.End:
        (message,) = self.of(wire.End)
        assert isinstance(message, wire.End)
        return message


class Controller:
    """Accepts clients, keeps what they say, and answers with ``grant`` and ``done`` (None: never)."""

    def __init__(self, path: Path, *, backlog: int = 128) -> None:
        self.path = path
        self.connections: list[Connection] = []
        self.grant: Callable[[wire.Request], bytes | None] = lambda _: wire.encode(wire.Grant(""))
        self.done: Callable[[Connection], bytes | None] = lambda _: wire.encode(wire.Done())
        self.news = b""  # sent when a call has begun
        self.wait_ms = 0  # sent as WAIT before ``done`` is asked
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(path))
        self._listener.listen(backlog)
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def start(self) -> Controller:
        self._thread.start()
        return self

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            connection = Connection()
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(peer, connection), daemon=True).start()

    def _serve(self, peer: socket.socket, connection: Connection) -> None:
        with peer, contextlib.suppress(ConnectionError, BrokenPipeError):
            while packet := peer.recv(wire.MESSAGE_MAX):
                message = wire.decode(packet)
                connection.messages.append(message)
                connection.senders.append(wire.sender_of(packet))
                answer = None
                if isinstance(message, wire.Request):
                    answer = self.grant(message)
                elif isinstance(message, wire.Start) and self.news:
                    answer = self.news
                elif isinstance(message, wire.End):
                    if self.wait_ms:
                        peer.send(wire.encode(wire.Wait(self.wait_ms)))
                    answer = self.done(connection)
                if answer is not None:
                    peer.send(answer)
        connection.closed = True

    def clear(self) -> None:
        self.connections.clear()

    def wait_for(self, ready: Callable[[list[Connection]], bool], seconds: float = 5.0) -> list[Connection]:
        until = time.monotonic() + seconds
        while not ready(self.connections):
            assert time.monotonic() < until, f"not seen by the controller: {self.connections}"
            time.sleep(0.002)
        return self.connections

    def settled(self) -> list[Connection]:
        """All connections made up to now, once they are over: one of our own, made last, is accepted last."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as own:
            own.connect(str(self.path))
            own.send(wire.encode(wire.Done("last")))
            self.wait_for(lambda c: any(x.of(wire.Done) for x in c))
        self.wait_for(lambda c: all(x.closed for x in c))
        self.connections[:] = [x for x in self.connections if not x.of(wire.Done)]
        return self.connections

    def calls(self, count: int = 1) -> list[Connection]:
        """The connections with a START, once there are ``count`` and all are over."""
        over = self.wait_for(lambda c: len([x for x in c if x.of(wire.Start)]) >= count and all(x.closed for x in c))
        return [connection for connection in over if connection.of(wire.Start)]


class Tree:
    """A session's cgroups, ``agent`` and ``calls``, below the unified hierarchy of this host."""

    def __init__(self, mount: Path) -> None:
        self.mount = mount
        self.root = mount / f"agentcgroup-test-{os.getpid()}-{next(_numbers)}"
        self.agent, self.calls = self.root / "agent", self.root / "calls"
        for folder in (self.root, self.agent, self.calls):
            folder.mkdir()

    def shown(self, folder: Path) -> str:
        """A cgroup as /proc/self/cgroup shows it."""
        return "/" + str(folder.relative_to(self.mount))

    def leaf(self, name: str) -> Path:
        folder = self.calls / name
        folder.mkdir(exist_ok=True)
        return folder

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            (self.root / "cgroup.kill").write_text("1")
        folders = sorted((p for p in self.root.rglob("*") if p.is_dir()), reverse=True)
        for folder in [*folders, self.root]:
            _remove_cgroup(folder)


def _remove_cgroup(folder: Path) -> None:
    until = time.monotonic() + 5
    while True:
        try:
            folder.rmdir()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.005)
        else:
            return


def unified_mount() -> Path | None:
    """Where cgroup v2 is mounted, if we may make cgroups there."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        fields = line.split()
        if fields[2] == "cgroup2" and os.access(fields[1], os.W_OK):
            return Path(fields[1])
    return None


def own_cgroup() -> str:
    """Our path in the unified hierarchy."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    return next(line[3:] for line in lines if line.startswith("0::"))


@contextlib.contextmanager
def moved_to(mount: Path, folder: Path) -> Iterator[None]:
    """This process, and what it starts, in a cgroup for a while."""
    before = mount / own_cgroup().lstrip("/") / "cgroup.procs"
    (folder / "cgroup.procs").write_text("0")
    try:
        yield
    finally:
        before.write_text("0")


@dataclass
class Session:
    """Stand-ins for the shells, and what they were told."""

    folder: Path
    client: Path
    config: ClientConfig
    tree: Tree | None = None

    def stand_in(self, name: str = "bash", **changes: Any) -> Path:
        """A stand-in for the shell of this name; ``changes`` replace fields of the configuration."""
        values = {f: getattr(self.config, f) for f in self.config.__dataclass_fields__}
        values.update({"real": str(REAL[name])} | changes)
        folder = self.folder / f"bin{next(_numbers)}"
        folder.mkdir()
        write_stand_in(self.client, folder / name, ClientConfig(**values))
        return folder / name
