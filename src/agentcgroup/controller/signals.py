"""What the kernel tells about one session, on the loop: counters of its calls, and pressure. Nothing here polls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from agentcgroup.errors import HostError
from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.events import EventWatch
from agentcgroup.kernel.psi import PsiTrigger
from agentcgroup.kernel.urgent import Urgent
from agentcgroup.policy.world import Stalled

_LOCAL = "memory.events.local"  # of calls/: its own limit, not those of the calls
_HOST = Path("/proc/pressure")
#: Stall and window in microseconds: the quicker one needs CAP_SYS_RESOURCE (psi(7): else a multiple of 2 s).
_MEMORY = ((50_000, 500_000), (200_000, 2_000_000))
_CPU = ((1_000_000, 2_000_000),)  # half of the time somebody waits for a CPU


class Signals:
    """Watches ``calls`` of the session ``name``, and each call that is added.

    ``moved(call, increase)`` hears of memory.events (``call`` None: of calls/ itself), ``stalled(signal)`` of pressure
    on memory, ``contended(session)`` of pressure on the CPU (None: of the host's; nobody decides by it, since
    cpu.weight divides the CPU in the kernel).
    Where the host refuses a part (no PSI, no inotify left), the rest works.
    """

    def __init__(
        self,
        name: str,
        session: Cgroup,
        calls: Cgroup,
        moved: Callable[[str | None, dict[str, int]], None],
        stalled: Callable[[Stalled], None],
        contended: Callable[[str | None], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls = calls
        self._moved = moved
        self._triggers: list[tuple[PsiTrigger, Urgent]] = []
        self._events = _opened()
        if self._events is not None:
            self._events.add(calls, (_LOCAL,))
            self._loop.add_reader(self._events, self._look)
        for where, memory, cpu in (
            (name, session.path / "memory.pressure", session.path / "cpu.pressure"),
            (None, _HOST / "memory", _HOST / "cpu"),
        ):
            self._press(memory, _MEMORY, partial(_tell_stall, stalled, where))
            self._press(cpu, _CPU, partial(_tell_contention, contended, where))

    def add(self, leaf: Cgroup) -> None:
        """A call runs in ``leaf``."""
        if self._events is not None:
            try:
                self._events.add(leaf)
            except HostError:  # no watch left: the call is seen when calls/ or PSI move
                return
            if counted := self._events.values(leaf, "memory.events"):  # before it was watched
                self._moved(leaf.path.name, counted)

    def remove(self, leaf: Cgroup) -> None:
        """It is over."""
        if self._events is not None:
            self._events.remove(leaf)

    def close(self) -> None:
        """Stop watching."""
        if self._events is not None:
            self._loop.remove_reader(self._events)
            self._events.close()
            self._events = None
        for trigger, urgent in self._triggers:
            self._loop.remove_reader(urgent)
            urgent.close()
            trigger.close()
        self._triggers = []

    def _look(self) -> None:
        for change in self._events.changes() if self._events is not None else ():
            if not change.gone:
                self._moved(None if change.cgroup == self._calls else change.cgroup.path.name, change.by)

    def _press(self, path: Path, triggers: Sequence[tuple[int, int]], hear: Callable[[int, int], None]) -> None:
        """Have ``hear`` called with stall and window whenever the first of ``triggers`` that the host takes fires."""
        for stall_us, window_us in triggers:
            try:
                trigger = PsiTrigger(path, "some", stall_us, window_us)
            except HostError:
                continue
            urgent = Urgent(trigger)
            self._loop.add_reader(urgent, hear, stall_us, window_us)
            self._triggers.append((trigger, urgent))
            return


def _tell_stall(stalled: Callable[[Stalled], None], session: str | None, stall_us: int, window_us: int) -> None:
    stalled(Stalled(session, stall_us, window_us))


def _tell_contention(
    contended: Callable[[str | None], None], session: str | None, stall_us: int, window_us: int
) -> None:
    contended(session)


def _opened() -> EventWatch | None:
    try:
        return EventWatch()
    except HostError:
        return None
