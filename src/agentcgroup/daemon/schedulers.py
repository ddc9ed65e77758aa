"""The schedulers that the daemon holds (kernel/scx.py): one for the host, or, below that of another, one per session.

Both are asked the same: ``add`` and ``remove`` a session by its cgroup, ``of`` for the scheduler that has a cgroup's
tasks, ``end`` for why the kernel has it no longer, ``refresh`` for what the kernel does not tell, ``close``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from agentcgroup.errors import HostError
from agentcgroup.kernel.scx import End, Scheduler, enabled

_log = logging.getLogger(__name__)


class ForHost:
    """One that has the tasks of all sessions."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def add(self, session: Path) -> None:
        """The cgroup ``session`` is one."""
        try:
            self._scheduler.add(session)
        except (HostError, OSError) as error:  # it has ended meanwhile
            _log.debug("%s is not governed: %s", session, error)

    def remove(self, session: Path) -> None:
        """It is one no longer."""
        self._scheduler.remove(session)

    def of(self, cgroup: Path) -> Scheduler | None:
        """The scheduler that has the tasks of ``cgroup``."""
        return self._scheduler

    def end(self) -> End | None:
        """Why none is governed any more; None while they are."""
        return self._scheduler.ended()

    def refresh(self) -> None:
        """See Scheduler."""
        self._scheduler.refresh()

    def close(self) -> None:
        """Detach it."""
        self._scheduler.close()


class ForEach:
    """One for each session, attached below ``above``, which divides the CPU among the sessions and everybody else.

    Each is loaded in a thread: until then, and should that fail, ``above`` has the session's tasks. ``lost`` is called
    when the kernel has ended one while others go on.
    """

    def __init__(self, above: str, lost: Callable[[], None]) -> None:
        self._above = above
        self._lost = lost
        self._coming: dict[Path, asyncio.Task[None]] = {}
        self._held: dict[Path, Scheduler] = {}

    def add(self, session: Path) -> None:
        """The cgroup ``session`` is one: attach a scheduler to it."""
        self._coming[session] = asyncio.get_running_loop().create_task(self._attach(session))

    def remove(self, session: Path) -> None:
        """It is one no longer."""
        self._coming.pop(session, None)
        if (scheduler := self._held.pop(session, None)) is not None:
            asyncio.get_running_loop().run_in_executor(None, scheduler.close)  # the kernel waits for its readers

    def of(self, cgroup: Path) -> Scheduler | None:
        """The scheduler that has the tasks of ``cgroup``; None while it is being attached, and where it cannot be."""
        return next((self._held[path] for path in (cgroup, *cgroup.parents) if path in self._held), None)

    def end(self) -> End | None:
        """Why none is governed any more; None while they may be. One that fails alone is logged."""
        for session, scheduler in list(self._held.items()):
            if (end := scheduler.ended()) is None:
                continue
            if session.exists():  # else it went with its cgroup
                _log.warning("the kernel ended the scheduler of %s (%s): %s has its tasks", session, end, self._above)
            self.remove(session)
            self._lost()
        other = enabled()
        if other is not None and other.open:
            return None
        return End("the scheduler above has ended", self._above)

    def refresh(self) -> None:
        """See Scheduler."""
        for scheduler in self._held.values():
            scheduler.refresh()

    def close(self) -> None:
        """Detach them all."""
        self._coming.clear()
        for scheduler in self._held.values():
            scheduler.close()
        self._held.clear()

    async def _attach(self, session: Path) -> None:
        own = asyncio.current_task()
        try:
            scheduler = await asyncio.to_thread(Scheduler, session)
        except (HostError, OSError) as error:
            _log.warning("%s has no scheduler of ours, %s has its tasks: %s", session, self._above, error)
            return
        with suppress(HostError, OSError):  # it has ended meanwhile, or the session has
            scheduler.add(session)
        if self._coming.get(session) is own:
            self._held[session] = scheduler
        else:
            await asyncio.to_thread(scheduler.close)
