"""Who stalls for memory on the host, for all sessions: one detector in the kernel (kernel/pressure.py).

A session is looked at when the daemon knows its cgroup to be its user's (daemon/territory.py), and is known by the
number of that cgroup, so that none can speak in the name of another. Loaded in a thread while the daemon serves
already. Where it cannot be had, the sessions' own counters and PSI have to do.
"""

from __future__ import annotations

import asyncio
import logging

from agentcgroup.controller.detection import Opened, opened, shorts
from agentcgroup.controller.scheduling import Brake
from agentcgroup.daemon.arbiter import Arbiter
from agentcgroup.daemon.braking import Braking
from agentcgroup.daemon.seat import Seat
from agentcgroup.enforce.choice import AUTO, LAST
from agentcgroup.enforce.offers import offers
from agentcgroup.errors import HostError
from agentcgroup.kernel.pressure import Detector, Stall
from agentcgroup.model import Priority

_log = logging.getLogger(__name__)


class Detection:
    """Tells ``arbiter`` who stalls. On the loop of the daemon; ``start`` once, ``close`` at the end."""

    def __init__(self, arbiter: Arbiter, wanted: str = AUTO, brake: Brake | None = None) -> None:
        self.enforcer = LAST
        self.why = "the kernel has not been asked yet"
        self._arbiter = arbiter
        self._wanted = wanted
        self._brake = brake
        self._loop = asyncio.get_running_loop()
        self._known: dict[int, tuple[Seat, Priority]] = {}  # by the number of the cgroup; its rank in the kernel
        self._opened: Opened | None = None
        self._closed = False

    def start(self) -> None:
        """Follow the sessions, and look."""
        self._arbiter.followers.append(self)
        self._loop.run_in_executor(None, self._open).add_done_callback(self._take)

    def close(self) -> None:
        """Look no longer."""
        self._closed = True
        if self._opened is None:
            return
        if (detector := self._opened.detector) is not None:
            self._loop.remove_reader(detector)
            if lost := detector.counters().lost:
                _log.warning("%d stalls were not told: the daemon was too slow to hear of them", lost)
        self._opened.close()
        self._opened = None

    def joined(self, seat: Seat) -> None:
        """See arbiter.Follower."""
        if self._detector is not None:
            self._add(self._detector, seat)

    def left(self, seat: Seat) -> None:
        """See arbiter.Follower."""
        for number, (known, _) in list(self._known.items()):
            if known is seat:
                del self._known[number]
                if self._detector is not None and seat.cgroup is not None:
                    self._detector.remove(seat.cgroup)

    @property
    def _detector(self) -> Detector | None:
        return None if self._opened is None else self._opened.detector

    def _open(self) -> Opened:
        offered = offers()
        offered["memcg_bpf"] = offered["memcg_bpf"] or "the daemon leaves that to the sessions"
        offered["scx"] = offered["bpf"] if self._brake is not None else "the daemon holds no scheduler"
        return opened(self._wanted, offered)

    def _take(self, opening: asyncio.Future[Opened]) -> None:
        if opening.cancelled():
            return
        result = opening.result()
        if self._closed:
            result.close()
            return
        self._opened, self.enforcer, self.why = result, result.choice.enforcer, result.choice.why
        if self.enforcer == "scx" and self._brake is not None:
            self._arbiter.braking = Braking(self._brake)
            self._arbiter.followers.append(self._arbiter.braking)
        level = logging.DEBUG if self._wanted in (AUTO, self.enforcer) else logging.WARNING
        _log.log(level, "the enforcer is %s: %s", self.enforcer, self.why)
        if result.detector is not None:
            for seat in self._arbiter.seats.values():
                self._add(result.detector, seat)
            self._loop.add_reader(result.detector, self._hear, result.detector)

    def _add(self, detector: Detector, seat: Seat) -> None:
        if seat.cgroup is None:
            return
        try:
            number = seat.cgroup.stat().st_ino
            detector.add(seat.cgroup, seat.state.priority)
        except (HostError, OSError):  # it has ended meanwhile
            return
        self._known[number] = seat, seat.state.priority

    def _hear(self, detector: Detector) -> None:
        by_session: dict[int, list[Stall]] = {}
        for stall in detector.events():
            by_session.setdefault(stall.session, []).append(stall)
        for number, stalls in by_session.items():
            seat, rank = self._known.get(number, (None, None))
            if seat is None or not seat.governed:
                continue
            if rank is not seat.state.priority:  # an operator has changed it
                self._add(detector, seat)
            for signal in shorts(stalls, seat.name):
                self._arbiter.short(signal)
