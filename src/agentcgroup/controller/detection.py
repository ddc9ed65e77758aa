"""Who stalls for memory in a session, told by the kernel itself and handed on as a signal (kernel/pressure.py).

Loaded when the session has lasted a moment, in a thread, so that it costs no command its start; and not while a daemon
decides, which looks for all its sessions. Where it cannot be had, counters and PSI have to do, as they always did.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from agentcgroup.enforce.choice import AUTO, LAST, Choice, choose
from agentcgroup.enforce.offers import offers
from agentcgroup.errors import HostError
from agentcgroup.kernel.pressure import Detector, Stall, Where
from agentcgroup.model import Priority
from agentcgroup.policy.world import CallId, Short

EVERY_S = 0.02  # a call is told of so often while it stalls: as often as the ladder looks at most
_AGAIN_S = 5.0  # while a daemon decides


def shorts(stalls: Iterable[Stall], session: str) -> list[Short]:
    """What ``stalls`` of the session called ``session`` are to a policy, each once.

    A call that meets its own limit is nobody else's affair. Whatever lies around the session is the host to it.
    """
    found: dict[Short, None] = {}  # in order
    for stall in stalls:
        if stall.where is not Where.OWN:
            id_ = None if stall.agent else CallId(session, stall.call_name)
            found[Short(session, id_, None if stall.where >= Where.ABOVE else session)] = None
    return list(found)


@dataclass(frozen=True, slots=True)
class Opened:
    """What looks, and delays, in the kernel; nothing for the enforcer ``cgroup``."""

    choice: Choice
    detector: Detector | None
    close: Callable[[], None]


def opened(wanted: str, available: Mapping[str, str | None], session: tuple[Path, Priority] | None = None) -> Opened:
    """The enforcer for ``wanted``, over ``session`` (cgroup, priority). Takes tens of milliseconds, and needs no loop.

    ``available``: see enforce.choice. What the kernel refuses in spite of it is not chosen again.
    """
    offered = dict(available)
    while (choice := choose(wanted, offered)).enforcer != LAST:
        with ExitStack() as stack:
            lost = [name for name in offered if name != LAST]  # all of them need the detector
            try:
                detector = stack.enter_context(Detector(EVERY_S))
                if session is not None:
                    detector.add(*session)
                if session is not None and choice.enforcer == "memcg_bpf":
                    lost = [choice.enforcer]
                    from agentcgroup.kernel.memcg_ops import MemcgOps  # for a kernel that is not released

                    operations = stack.enter_context(MemcgOps(pressed=detector.pressed))
                    operations.add(*session)
                    operations.attach(session[0])
            except (HostError, OSError) as error:
                offered.update({name: offered[name] or str(error) for name in lost})
                continue
            return Opened(choice, detector, stack.pop_all().close)
    return Opened(choice, None, lambda: None)


def available(wanted: str, scheduled: bool) -> dict[str, str | None]:
    """What this host offers a session; ``scheduled``: our scheduler divides its CPU already, and has its brake."""
    if wanted == LAST:  # many sessions in one process: no need to look
        return {LAST: None}
    offered = offers()
    if scheduled:
        offered["scx"] = offered["bpf"]
    else:
        offered["scx"] = offered["scx"] or "the session was not started with --scheduler sched_ext"
    return offered


class Detection:
    """Looks for stalls of one session. On its loop; ``start`` once, ``close`` at the end.

    ``open`` opens it in a thread (see `opened`), ``elsewhere`` says whether a daemon decides now. ``submit`` hears of
    stalls, ``note`` records which enforcer rules and why, ``say`` tells the user when it is not what was ``wanted``.
    """

    def __init__(
        self,
        session: str,
        wanted: str,
        open: Callable[[], Opened],
        *,
        elsewhere: Callable[[], bool],
        submit: Callable[[Short], None],
        note: Callable[[str], None],
        say: Callable[[str], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._session = session
        self._wanted = wanted
        self._open = open
        self._elsewhere = elsewhere
        self._submit = submit
        self._note = note
        self._say = say
        self._opened: Opened | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def start(self) -> None:
        """Look, unless a daemon does; then as soon as it does no longer."""
        if self._elsewhere():
            self._timer = self._loop.call_later(_AGAIN_S, self.start)
        else:
            self._loop.run_in_executor(None, self._open).add_done_callback(self._take)

    def close(self) -> None:
        """Detach it."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._opened is not None:
            self._let_go(self._opened)
            self._opened = None

    def _take(self, opening: asyncio.Future[Opened]) -> None:
        if opening.cancelled():
            return
        opened = opening.result()
        if self._closed:
            opened.close()
            return
        self._opened = opened
        if opened.detector is not None:
            self._loop.add_reader(opened.detector, self._hear, opened.detector)
        choice = opened.choice
        self._note(f"{choice.enforcer}: {choice.why}")
        if self._wanted not in (AUTO, choice.enforcer):
            self._say(f"the enforcer is {choice.enforcer}: {choice.why}")

    def _hear(self, detector: Detector) -> None:
        for signal in shorts(detector.events(), self._session):
            self._submit(signal)

    def _let_go(self, opened: Opened) -> None:
        if opened.detector is not None:
            self._loop.remove_reader(opened.detector)
            if lost := opened.detector.counters().lost:
                self._note(f"{lost} stalls were not told: the controller was too slow to hear of them")
        opened.close()
