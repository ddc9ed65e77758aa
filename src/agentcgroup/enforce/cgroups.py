"""The enforcer that every host with cgroup v2 has: actions as writes to cgroup files, for an asyncio loop.

No method raises for what a cgroup or a host may do to it (gone, read-only, not offered, too slow) and none blocks the
loop: what may take long runs in a few threads and is waited for at most the given time. Such a write cannot be called
back; when time is up it goes on in its thread, and the result says so.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from agentcgroup.enforce import memory
from agentcgroup.enforce.result import DONE, GONE, Result, refused
from agentcgroup.errors import CgroupError
from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.closing import Closing
from agentcgroup.kernel.urgent import wait_event

_FREEZER = "Linux 5.2 or newer"
_GRACE_S = 0.5  # a reclaim looks at the time itself; this is for its last step


class CgroupEnforcer(Closing):
    """Carries out actions on cgroups; close it at the end, or use it in a ``with``."""

    def __init__(self, *, threads: int = 4) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="enforce")
        self._protecting = threading.Lock()  # the sums of two at once would miss each other

    def close(self) -> None:
        """Drop what has not begun; what has goes on, the kernel ends it."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def set_limits(
        self,
        cgroup: Cgroup,
        high_bytes: int | None,
        max_bytes: int | None,
        ceiling_bytes: int | None = None,
        *,
        timeout_s: float = 2.0,
    ) -> Result:
        """Set memory.high and memory.max in bytes, None: no limit, but never above ``ceiling_bytes``.

        memory.max is not set below what is in use, for the kernel would kill the call on the spot; memory.high holds
        it then, and the result is not ``done``.
        """
        maximum = _lower(max_bytes, ceiling_bytes)
        high = _lower(high_bytes, maximum) if high_bytes is not None else None
        given_up = threading.Event()

        def late() -> Result:
            given_up.set()  # a later call may have set other limits when this one gets on
            return Result(
                False, f"the kernel still reclaims after {timeout_s:g} s; memory.high counts, memory.max stays"
            )

        return await self._in_thread(lambda: memory.limit(cgroup, high, maximum, given_up), timeout_s, late)

    async def reclaim(self, cgroup: Cgroup, bytes_wanted: int, *, timeout_s: float = 1.0) -> Result:
        """Have the kernel take back up to so many bytes (memory.reclaim, 5.19), for about ``timeout_s`` at most.

        ``done`` when something was got back, ``bytes`` is how much; ``why`` says what stopped it before all was.
        """
        tally = memory.Tally()
        return await self._in_thread(
            lambda: memory.reclaim(cgroup, bytes_wanted, timeout_s, tally),
            timeout_s + _GRACE_S,
            lambda: Result(tally.bytes > 0, f"the kernel still reclaims after {timeout_s:g} s", bytes=tally.bytes),
        )

    async def protect(
        self,
        cgroup: Cgroup,
        low_bytes: int,
        min_bytes: int,
        above: Sequence[Cgroup] = (),
        *,
        timeout_s: float = 2.0,
    ) -> Result:
        """Set memory.low and memory.min of ``cgroup``; protection counts only with as much on every level above.

        ``above`` are the cgroups above it, nearest first, that have no numbers of their own: each gets the sum of what
        its children have, so that one session does not live off another's share.
        """

        def act() -> Result:
            with self._protecting:
                return memory.protect(cgroup, low_bytes, min_bytes, above)

        late = Result(False, f"memory.low and memory.min are not all written after {timeout_s:g} s")
        return await self._in_thread(act, timeout_s, lambda: late)

    async def freeze(self, cgroup: Cgroup, *, timeout_s: float = 1.0) -> Result:
        """Stop all processes at a safe point; ``done`` once the kernel confirms it (frozen 1).

        Unconfirmed it stays asked for, and may still come true: thaw it, or wait on.
        """
        late = f"not confirmed within {timeout_s:g} s: a process in it is deep in the kernel (state D); it stops later"
        return await self._freezer(cgroup, Cgroup.freeze, ("frozen", 1), timeout_s, late)

    async def thaw(self, cgroup: Cgroup, *, timeout_s: float = 1.0) -> Result:
        """Let the processes go on; ``done`` once the kernel confirms it (frozen 0)."""
        late = f"still frozen after {timeout_s:g} s: a cgroup above it is frozen, thaw that"
        return await self._freezer(cgroup, Cgroup.thaw, ("frozen", 0), timeout_s, late)

    async def kill(self, cgroup: Cgroup, *, timeout_s: float = 2.0) -> Result:
        """SIGKILL everything in it, frozen or not; ``done`` once nothing lives in it. A cgroup that is gone is done."""
        late = (
            f"killed, but a process is still in it after {timeout_s:g} s: deep in the kernel (state D), it ends later"
        )
        try:
            if cgroup.has("cgroup.kill"):
                cgroup.kill()
            elif cgroup.exists:  # before 5.14, in rounds
                rounds = await self._in_thread(lambda: _kill(cgroup), timeout_s, lambda: Result(False, late))
                if not rounds.done:
                    return rounds
            empty = await wait_event(cgroup, "populated", 0, timeout_s)
        except CgroupError as error:
            return refused(cgroup, error)
        return Result(False, late) if empty is False else DONE

    async def _freezer(
        self, cgroup: Cgroup, act: Callable[[Cgroup], None], wanted: tuple[str, int], timeout_s: float, late: str
    ) -> Result:
        try:
            act(cgroup)
            confirmed = await wait_event(cgroup, *wanted, timeout_s)
        except CgroupError as error:
            return refused(cgroup, error, needs=_FREEZER)
        if confirmed is None:
            return GONE
        return DONE if confirmed else Result(False, late)

    async def _in_thread(self, act: Callable[[], Result], timeout_s: float, late: Callable[[], Result]) -> Result:
        """``act`` in a thread; ``late()`` when that takes longer. What has not begun by then never does."""
        begun = threading.Event()

        def run() -> Result:
            begun.set()
            return act()

        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.get_running_loop().run_in_executor(self._threads, run)
        except TimeoutError:
            result = late()
            if begun.is_set():
                return result
            return Result(False, f"not begun within {timeout_s:g} s: too much else is being done, or no CPU is free")


def _lower(first: int | None, second: int | None) -> int | None:
    """The lower of two limits, None being none."""
    limits = [limit for limit in (first, second) if limit is not None]
    return min(limits) if limits else None


def _kill(cgroup: Cgroup) -> Result:
    try:
        cgroup.kill()
    except CgroupError as error:
        return refused(cgroup, error)
    return DONE
