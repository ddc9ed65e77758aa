"""The scheduler of the host's sessions, held by the daemon (kernel/scx.py): the kernel has one at a time.

A session is governed when the daemon knows its cgroup to be its user's (daemon/territory.py); it puts its own tasks
under sched_ext (`run --scheduler sched_ext`), which needs no privilege. When the daemon ends, or the kernel ends the
scheduler, they run on under the kernel's own, by the same weights.

Where the host's administrator runs another scheduler, one that lets others attach below it, each session has one of
ours for its own cgroup: the one above divides the CPU among the sessions, ours among the calls of each.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from agentcgroup.controller.scheduling import Brake
from agentcgroup.daemon.arbiter import Arbiter
from agentcgroup.daemon.schedulers import ForEach, ForHost
from agentcgroup.daemon.seat import Seat
from agentcgroup.daemon.timer import Timer
from agentcgroup.kernel.libbpf import BpfError
from agentcgroup.kernel.scx import Scheduler, enabled

_log = logging.getLogger(__name__)
_LOOK_EVERY_S = 1.0
DEFAULT, OURS = "default", "sched_ext"


class Scheduling:
    """Follows the sessions of ``arbiter`` if our scheduler is ``wanted``. ``start`` once, ``close`` at the end."""

    def __init__(self, arbiter: Arbiter, wanted: str = DEFAULT) -> None:
        self.scheduler = DEFAULT  # who divides the CPU: "default" or "sched_ext"
        self.why = "" if wanted == DEFAULT else "it has not been attached yet"  # why it is not what was wanted
        self._arbiter = arbiter
        self._wanted = wanted
        self._held: ForHost | ForEach | None = None
        self.brake: Brake | None = None  # of the schedulers that are held
        self._timer = Timer(self._look)

    async def start(self) -> None:
        """Attach it, in a thread; a host that cannot have it is told so, and served without."""
        if self._wanted == DEFAULT:
            return
        try:
            self._held = await self._attach()
        except BpfError as error:
            self.why = str(error)
            _log.warning("cpu.weight alone divides the CPU, not sched_ext: %s", error)
            return
        self.scheduler, self.why = OURS, ""
        self.brake = Brake(self._scheduler_of)
        self._arbiter.followers.append(self)
        for seat in self._arbiter.seats.values():
            self.joined(seat)
        self._timer.start(_LOOK_EVERY_S)

    def close(self) -> None:
        """Detach it."""
        self._timer.cancel()
        self.scheduler = DEFAULT
        self.brake = None
        if self._held is not None:
            self._held.close()
            self._held = None

    def joined(self, seat: Seat) -> None:
        """See arbiter.Follower."""
        if self._held is not None and seat.cgroup is not None:
            self._held.add(seat.cgroup)

    def left(self, seat: Seat) -> None:
        """See arbiter.Follower."""
        if self._held is not None and seat.cgroup is not None:
            self._held.remove(seat.cgroup)

    def of(self, seat: Seat) -> str:
        """The scheduler that is held for a session: ``sched_ext``, or empty for none."""
        return OURS if self._held is not None and seat.cgroup is not None else ""

    async def _attach(self) -> ForHost | ForEach:
        if (other := enabled()) is not None and other.open:
            _log.info("the sched_ext scheduler %s is enabled: ours is attached below it, to each session", other.name)
            return ForEach(other.name, self._lost)
        return ForHost(await asyncio.to_thread(Scheduler))

    def _scheduler_of(self, leaf: Path) -> Scheduler | None:
        return None if self._held is None else self._held.of(leaf)

    def _lost(self) -> None:
        if self.brake is not None:
            self.brake.lost()

    def _look(self) -> None:
        if self._held is None:
            return
        end = self._held.end()
        if end is None:
            self._held.refresh()
            self._timer.start(_LOOK_EVERY_S)
            return
        brake = self.brake
        self.close()
        self.why = f"the kernel ended it: {end}"
        _log.warning("the kernel ended our CPU scheduler (%s): cpu.weight divides the CPU from now on", end)
        if brake is not None:
            brake.lost()
