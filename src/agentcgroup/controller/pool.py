"""Leaves prepared ahead of time, so that a client need not wait for one.

Each free leaf is a 32-byte grant in a FIFO: a client reads one grant in one read(2), which the kernel serialises, and
owns the leaf. The controller learns of it from the client's START and refills. When the FIFO is empty, the client asks:
so the leaves that lie in it are also the tickets for calls that may begin without a decision.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios
from collections.abc import Callable
from pathlib import Path

from agentcgroup.client import wire

_FIRST = 4  # leaves made before COMMAND starts
_LEAST, _MOST = 16, 64


class LeafPool:
    """Keeps between 16 and 64 free leaves (twice the calls now running) in the FIFO at ``path``.

    ``make(name)`` creates a leaf; ``None`` when the tree refuses. Names are c000001, c000002 …
    """

    def __init__(self, path: Path, make: Callable[[str], bool], loop: asyncio.AbstractEventLoop) -> None:
        self._make = make
        self._loop = loop
        self._count = 0
        self._filling = False
        self._target = _LEAST
        self._ration = _MOST
        self._spare: list[str] = []  # leaves that were taken back from the FIFO
        self.free: dict[str, None] = {}  # granted through the FIFO, not yet claimed; in order
        os.mkfifo(path, 0o600)
        # Read-write, so that there is always a reader and a writer and no end of file.
        self._fifo = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    @property
    def unclaimed(self) -> int:
        """Grants that clients have read and not yet claimed: most often none, and one ioctl(2) to know it."""
        (waiting,) = struct.unpack("i", fcntl.ioctl(self._fifo, termios.FIONREAD, b"\0" * 4))
        return len(self.free) - int(waiting) // wire.GRANT_SIZE

    def prime(self) -> None:
        """The first leaves, before the first client comes."""
        for _ in range(min(_FIRST, self._ration)):
            self._add()
        self.fill()

    def take(self) -> str:
        """A new leaf for a client that asked; empty when none can be made."""
        return self._new()

    def give_back(self, name: str) -> None:
        """A leaf that was taken and not used: nothing was in it and its limits are those of a new one."""
        self._spare.append(name)

    def ration(self, tickets: int) -> None:
        """At most so many calls may begin without asking; leaves beyond that are taken back from the FIFO."""
        self._ration = tickets
        while len(self.free) > tickets and (name := self._take_back()):
            self._spare.append(name)
        self.fill()

    def claimed(self, name: str, running: int) -> bool:
        """A client took ``name`` from the FIFO. False when it was not there to be taken."""
        self._target = min(_MOST, max(_LEAST, 2 * running))
        self.fill()
        if name not in self.free:
            return False
        del self.free[name]
        return True

    def fill(self) -> None:
        """Refill, one leaf per turn of the loop, so that messages never wait for it."""
        if not self._filling and len(self.free) < min(self._target, self._ration):
            self._filling = True
            self._loop.call_soon(self._fill_one)

    def close(self) -> None:
        """No more grants."""
        self._target = self._ration = 0
        os.close(self._fifo)

    def _fill_one(self) -> None:
        self._filling = False
        if len(self.free) < min(self._target, self._ration) and self._add():
            self.fill()

    def _add(self) -> bool:
        name = self._new()
        if not name:
            return False
        self.free[name] = None
        os.write(self._fifo, wire.grant_entry(name))
        return True

    def _take_back(self) -> str:
        """The next leaf in the FIFO; empty when clients have taken all of them."""
        try:
            entry = os.read(self._fifo, wire.GRANT_SIZE)
        except BlockingIOError:
            return ""
        name = entry.rstrip(b"\0").decode("ascii")
        del self.free[name]
        return name

    def _new(self) -> str:
        if self._spare:
            return self._spare.pop()
        self._count += 1
        name = f"c{self._count:06d}"
        return name if self._make(name) else ""
