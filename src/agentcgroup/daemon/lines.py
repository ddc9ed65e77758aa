"""Bytes of a stream socket to lines of bounded length."""

from __future__ import annotations

from agentcgroup.daemon.messages import LINE_MAX
from agentcgroup.errors import WireError


class Lines:
    """Collects what has come of a line. ``pending``: bytes of a line that is not complete yet."""

    __slots__ = ("_parts", "_size")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def pending(self) -> int:
        """Bytes of the line that is not complete."""
        return self._size

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are complete now, without their ends. WireError for one that is too long."""
        *whole, rest = data.split(b"\n")
        if whole:
            whole[0] = b"".join([*self._parts, whole[0]])
            self._parts, self._size = [], 0
        if rest:
            self._parts.append(rest)
            self._size += len(rest)
        if self._size > LINE_MAX or any(len(line) > LINE_MAX for line in whole):
            raise WireError(f"a line of more than {LINE_MAX} bytes")
        return whole
