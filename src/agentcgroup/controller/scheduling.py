"""Who divides the CPU among the calls of a session: cpu.weight under the kernel's scheduler, or ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agentcgroup.domain.tree import SessionTree
from agentcgroup.kernel.libbpf import BpfError
from agentcgroup.kernel.scx import Scheduler

_LOOK_EVERY_S = 1.0


class Scheduling:
    """The scheduler of one session, for as long as the kernel keeps it: then cpu.weight counts again by itself.

    ``note`` records and ``say`` tells the user that the kernel has taken it away, with the kernel's reason.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        loop: asyncio.AbstractEventLoop,
        note: Callable[[str], None],
        say: Callable[[str], None],
    ) -> None:
        self._scheduler = scheduler
        self._loop = loop
        self._note = note
        self._say = say
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """The session has begun: record who divides its CPU, and watch."""
        self._note("sched_ext: the scheduler of agentcgroup divides the CPU")
        self._timer = self._loop.call_later(_LOOK_EVERY_S, self._look)

    def close(self) -> None:
        """Detach it; what still runs does so under the kernel's scheduler."""
        if self._timer is not None:
            self._timer.cancel()
        self._scheduler.close()

    def _look(self) -> None:
        end = self._scheduler.ended()
        if end is None:
            self._timer = self._loop.call_later(_LOOK_EVERY_S, self._look)
            return
        why = ": ".join(part for part in (end.reason, end.message) if part)
        self._note(f"default: the kernel ended the scheduler of agentcgroup ({why})")
        self._say(f"the kernel ended our CPU scheduler ({why}): cpu.weight divides the CPU from now on")


def attach(
    tree: SessionTree,
    loop: asyncio.AbstractEventLoop,
    note: Callable[[str], None],
    say: Callable[[str], None],
) -> Scheduling | None:
    """Our scheduler for the session of ``tree``; None, and a line about why, where it cannot be had."""
    try:
        scheduler = Scheduler()
    except BpfError as error:
        say(f"cpu.weight alone divides the CPU, not sched_ext: {error}")
        return None
    scheduler.add(tree.session.path)
    return Scheduling(scheduler, loop, note, say)
