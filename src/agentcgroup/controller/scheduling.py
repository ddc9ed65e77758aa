"""Who divides the CPU among the calls of a session: cpu.weight under the kernel's scheduler, or ours.

Ours has a brake (enforcer ``scx``): a call that a policy wants frozen softly is left a trickle of CPU time instead. It
hardly goes on, and gets to the end of whatever the kernel does for it; nobody has to wait for a lock that it owns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from agentcgroup.domain.tree import SessionTree
from agentcgroup.kernel.libbpf import BpfError
from agentcgroup.kernel.scx import Scheduler

_LOOK_EVERY_S = 1.0
_SHARE = 0.01  # of a CPU: what fills memory at 3 GB/s on a whole one does 30 MB/s with it
_MOST_S = 120.0  # a policy ends its freezes sooner (freeze_s, hold_s); this is for a controller that hangs


class Brake:
    """Slows leaves of calls by their scheduler; ``words`` say how. ``lost`` is called when the kernel has ended it.

    ``scheduler_of`` is asked for the one that has a leaf's tasks now; None: none has.
    """

    words = f"slowed to {_SHARE:.0%} of a CPU by sched_ext"

    def __init__(self, scheduler_of: Callable[[Path], Scheduler | None]) -> None:
        self._scheduler_of = scheduler_of
        self.lost: Callable[[], None] = lambda: None

    def slow(self, leaf: Path) -> bool:
        """Leave the tasks of ``leaf`` a trickle; False when that cannot be: the leaf is gone, or the scheduler is."""
        scheduler = self._scheduler_of(leaf)
        if scheduler is None or scheduler.ended() is not None:
            return False
        try:
            scheduler.slow(leaf, _SHARE, _MOST_S)
        except (OSError, BpfError):
            return False
        return True

    def release(self, leaf: Path) -> None:
        """Let them run again."""
        scheduler = self._scheduler_of(leaf)
        with suppress(OSError):
            if scheduler is not None:
                scheduler.release(leaf)


class Scheduling:
    """The scheduler of one session, for as long as the kernel keeps it: then cpu.weight counts again by itself.

    ``scheduler`` None: the daemon holds it, watches it, and keeps its brake to itself. ``note`` records and ``say``
    tells the user that the kernel has taken it away, with the kernel's reason.
    """

    def __init__(
        self,
        scheduler: Scheduler | None,
        loop: asyncio.AbstractEventLoop,
        note: Callable[[str], None],
        say: Callable[[str], None],
    ) -> None:
        self._scheduler = scheduler
        self._loop = loop
        self._note = note
        self._say = say
        self._timer: asyncio.TimerHandle | None = None
        self.brake = None if scheduler is None else Brake(lambda _leaf: self._scheduler)

    def start(self) -> None:
        """The session has begun: record who divides its CPU, and watch."""
        if self._scheduler is None:
            self._note("sched_ext: the scheduler of agentcgroup, held by the daemon, divides the CPU")
            return
        where = f", attached below {self._scheduler.above}," if self._scheduler.above else ""
        self._note(f"sched_ext: the scheduler of agentcgroup{where} divides the CPU")
        self._timer = self._loop.call_later(_LOOK_EVERY_S, self._look)

    def close(self) -> None:
        """Detach it; what still runs does so under the kernel's scheduler."""
        if self._timer is not None:
            self._timer.cancel()
        if self._scheduler is not None:
            self._scheduler.close()
            self._scheduler = None

    def _look(self) -> None:
        if self._scheduler is None:
            return
        end = self._scheduler.ended()
        if end is None:
            self._scheduler.refresh()
            self._timer = self._loop.call_later(_LOOK_EVERY_S, self._look)
            return
        self._note(f"default: the kernel ended the scheduler of agentcgroup ({end})")
        self._say(f"the kernel ended our CPU scheduler ({end}): cpu.weight divides the CPU from now on")
        if self.brake is not None:
            self.brake.lost()


def attach(
    tree: SessionTree,
    loop: asyncio.AbstractEventLoop,
    note: Callable[[str], None],
    say: Callable[[str], None],
) -> Scheduling | None:
    """Our scheduler for the session of ``tree``; None, and a line about why, where it cannot be had."""
    try:
        scheduler = Scheduler(tree.session.path)
    except BpfError as error:
        say(f"cpu.weight alone divides the CPU, not sched_ext: {error}")
        return None
    scheduler.add(tree.session.path)
    return Scheduling(scheduler, loop, note, say)
