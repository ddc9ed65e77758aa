"""One output of the guest on its way to a descriptor of this process, or into memory."""

from __future__ import annotations

import os
import socket

from agentcgroup.errors import LabError

# What a pipe that poll(2) calls writable takes without blocking (PIPE_BUF)
_CHUNK = 4096


class Stream:
    """Copies ``source`` to ``sink`` (None: keep the bytes) up to, and without, ``token``.

    Nothing is read while something waits to be written, so a slow reader slows the guest down.
    """

    def __init__(self, source: socket.socket, sink: int | None, token: bytes) -> None:
        source.setblocking(False)
        self.source = source
        self.sink = sink
        self.kept = bytearray()  # what was received, when there is no sink
        self.complete = False  # the token came: the command wrote nothing more
        self.ended = False  # the other side is gone
        self._token = token
        self._held = bytearray()  # received, and perhaps the beginning of the token
        self._pending = bytearray()

    @property
    def writing(self) -> bool:
        """Whether bytes wait for the sink."""
        return bool(self._pending)

    @property
    def reading(self) -> bool:
        """Whether more is to be read now."""
        return not (self._pending or self.complete or self.ended)

    def receive(self) -> None:
        """Take what has arrived."""
        try:
            data = self.source.recv(65536)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self.ended = True
            self._pass(len(self._held))
            return
        self._held += data
        at = self._held.find(self._token)
        if at >= 0:
            self.complete = True
            self._pass(at)
        else:
            self._pass(len(self._held) - self._overlap())

    def send(self) -> None:
        """Write some of what waits; BrokenPipeError if nobody reads any more, LabError if it cannot be written."""
        if self.sink is None:
            return
        try:
            written = os.write(self.sink, self._pending[:_CHUNK])
        except BlockingIOError:
            return
        except BrokenPipeError:
            raise
        except OSError as error:
            raise LabError(f"cannot write the output: {error.strerror}", "write it to another place") from error
        del self._pending[:written]

    def _pass(self, count: int) -> None:
        data = self._held[:count]
        del self._held[:count]
        if self.sink is None:
            self.kept += data
        else:
            self._pending += data

    def _overlap(self) -> int:
        """How many of the last bytes may begin the token."""
        longest = min(len(self._token) - 1, len(self._held))
        return next((n for n in range(longest, 0, -1) if self._held.endswith(self._token[:n])), 0)
