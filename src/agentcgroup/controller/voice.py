"""The stderr of a call that has no client to append to it.

A copy of the shell's own descriptor, taken when the call is found: it is that pipe, socket, terminal or file, whatever
becomes of the shell. Who reads a pipe to its end waits for us as well, so it is closed when the call is over.
"""

from __future__ import annotations

import os
import select
from contextlib import suppress

from agentcgroup.kernel import process

_STDERR = 2
_MOST_BYTES = select.PIPE_BUF  # what a pipe that polls writable takes without blocking


class Voice:
    """Of one call; ``say`` or ``close`` ends it."""

    def __init__(self, pid: int) -> None:
        self._descriptor = process.copy_descriptor(pid, _STDERR)

    def say(self, text: str) -> None:
        """Append ``text``, if there is any, whole or cut to what goes there at once; never waits for who reads."""
        if self._descriptor is None:
            return
        with suppress(OSError):  # nobody reads any more
            if text and _takes(self._descriptor):
                os.write(self._descriptor, text.encode(errors="replace")[:_MOST_BYTES])
        self.close()

    def close(self) -> None:
        """Let go of it; may be called again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _takes(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return any(events & select.POLLOUT for _, events in poll.poll(0))
