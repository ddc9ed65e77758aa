"""Descriptors that report by POLLPRI, for an asyncio loop, which itself asks for POLLIN only.

Pressure triggers and the files of cgroupfs are always "readable"; that something happened they say with POLLPRI. An
epoll descriptor that asks for POLLPRI is itself readable exactly when one of them has said it (epoll(7): nesting).
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import time
from typing import Protocol

from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.closing import Closing
from agentcgroup.kernel.counters import parse_keyed
from agentcgroup.kernel.refusal import refusal

_GONE = (errno.ENOENT, errno.ENODEV)  # ENODEV: removed between open and read


class HasFileno(Protocol):
    """An open descriptor, such as a ``PsiTrigger``."""

    def fileno(self) -> int:
        """The descriptor."""


class Urgent(Closing):
    """``source`` as a descriptor for ``loop.add_reader``; it does not own the source.

    One for each source, and being called is all there is to know: a pressure trigger forgets that it has fired as soon
    as the loop has asked (psi_trigger_poll), so asking again, even which of several it was, finds nothing. A file of
    cgroupfs reports until it is read.
    """

    def __init__(self, source: HasFileno | int) -> None:
        self._epoll = select.epoll(1)
        self._epoll.register(source, select.EPOLLPRI)

    def fileno(self) -> int:
        """The descriptor to hand to the loop; -1 when closed."""
        return -1 if self._epoll.closed else self._epoll.fileno()

    def close(self) -> None:
        """Stop watching. Remove the reader from the loop first. Harmless when closed already."""
        self._epoll.close()


async def wait_event(cgroup: Cgroup, key: str, value: int, timeout_s: float) -> bool | None:
    """Wait until ``key`` of cgroup.events is ``value``; False after ``timeout_s`` seconds, None: the cgroup is gone.

    Raises CgroupFileError when the file cannot be read.
    """
    loop = asyncio.get_running_loop()
    deadline = time.monotonic() + timeout_s
    moved = asyncio.Event()
    try:
        with (cgroup.path / "cgroup.events").open("rb", buffering=0) as events, Urgent(events) as urgent:
            loop.add_reader(urgent, moved.set)
            try:
                while True:
                    moved.clear()
                    if parse_keyed(os.pread(events.fileno(), 4096, 0).decode()).get(key) == value:
                        return True
                    async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                        await moved.wait()
            except TimeoutError:
                return False
            finally:
                loop.remove_reader(urgent)
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise refusal(cgroup.path, "cgroup.events", "watch", error) from None
