"""Moves of single processes between the cgroups of a session, beside the loop: the kernel takes its time.

A write to cgroup.procs waits for every CPU to pass through a quiet state unless there has been another one just before
(a grace period of RCU: 8 to 16 ms were measured), or cgroup v2 is mounted with ``favordynmods`` (Linux 6.0).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agentcgroup.errors import CgroupError
from agentcgroup.kernel.cgroup import Cgroup

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor


class Mover:
    """Moves processes in the order in which it was asked to. Close it when the session is over."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None  # most sessions need none

    async def move(self, pid: int, to: Cgroup) -> bool:
        """Move a process; False when the kernel refuses, mostly because it has ended. A zombie is not moved: True."""
        if self._thread is None:
            from concurrent.futures import ThreadPoolExecutor

            self._thread = ThreadPoolExecutor(1, "agentcgroup-moves")
        return await asyncio.get_running_loop().run_in_executor(self._thread, _move, pid, to)

    def close(self) -> None:
        """What has not begun never does."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)


def _move(pid: int, to: Cgroup) -> bool:
    try:
        to.attach(pid)
    except CgroupError:
        return False
    return True
