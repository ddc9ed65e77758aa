"""The calls of one session: from a client's START to the record of its end.

One object per running call; the normal end is a handful of synchronous steps, since a client waits for it. What takes
time (leftovers that must be killed and gone) runs as a task.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from agentcgroup.client import wire
from agentcgroup.controller.server import Connection
from agentcgroup.controller.voice import Voice
from agentcgroup.domain import outcome
from agentcgroup.domain.leaf import Leaf, ignores_hangup, is_starting, leftovers, with_rusage
from agentcgroup.domain.leftovers import Leftover, kept
from agentcgroup.errors import CgroupError
from agentcgroup.feedback.told import Told
from agentcgroup.kernel import process
from agentcgroup.model import CallEnd, CallStart, Leftovers, Limits, Outcome
from agentcgroup.trace.records import BackgroundEnd
from agentcgroup.trace.writer import TraceWriter

_STARTED_WITHIN_S = 1.0  # `nohup … &` needs a moment to become what it is, and more on a busy machine
_DECIDED_WITHIN_MS = 5_000  # what a client is asked to wait for all that
_GONE_WITHIN_S = 0.2  # a killed process that is still there after this is stuck in the kernel
_KILLED_STATUS = int(signal.SIGKILL)  # as waitpid(2) gives it


@dataclass(frozen=True, slots=True)
class Unattended:
    """What the end of a call without a client is judged by: its shell's session, and how that took SIGHUP.

    ``keeps_jobs``: the shell lives on, so whatever it has started is a job of its, and stays. ``voice``: where its
    agent can be told something.
    """

    sid: int
    ignored_hangup: bool = False
    keeps_jobs: bool = False
    voice: Voice | None = None


@dataclass(slots=True)
class Call:
    """One running call."""

    start: CallStart
    leaf: Leaf
    connection: Connection | None
    limits: Limits  # as they are now
    timer: asyncio.TimerHandle | None = None
    ended_by: Outcome | None = None
    why: str = ""
    sampled_peak_bytes: int | None = None
    ending: bool = False  # END came, or its client is gone
    background: bool = False  # its command has ended, something was started to stay
    unattended: Unattended | None = None  # it never had a client


class Observer(Protocol):
    """Who else is concerned with the calls of a session."""

    def told(self, call: Call, end: CallEnd) -> Told:
        """What has to be told of a call that has just ended, beyond its own record."""

    def ended(self, call: Call, end: CallEnd | None) -> None:
        """A call is over, its record is written and its domain may be taken away."""


@dataclass(slots=True)
class Calls:
    """All calls of a session. ``finished(call)`` is told when a call's domain may be taken away."""

    trace: TraceWriter
    finished: Callable[[Call], None]
    timeout_s: float | None
    keep_background_s: float
    observer: Observer | None = None
    budget_bytes: int | None = None  # of all calls together, for the advice
    programs: Callable[[Call], tuple[str, ...]] = lambda call: ()  # what a call that ends now has executed
    running: dict[str, Call] = field(default_factory=dict)
    count: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def begin(self, start: CallStart, leaf: Leaf, connection: Connection | None) -> Call:
        """A call has started: record it, set its deadline."""
        call = Call(start, leaf, connection, start.limits)
        self.running[start.call] = call
        self.count += 1
        if connection is not None:
            connection.call = start.call
        if self.timeout_s is not None:
            left = self.timeout_s - (time.monotonic_ns() - start.started_ns) / 1e9
            call.timer = asyncio.get_running_loop().call_later(max(0.0, left), self._time_out, call)
        self.trace.call_start(start)
        return call

    def end(self, call: Call, end: wire.End) -> None:
        """The command of a call has ended, its client waits for DONE."""
        if call.ending or call.start.call not in self.running:
            return
        call.ending = True
        if end.populated or (not call.leaf.seen_by_client and call.leaf.populated()):
            self._spawn(self._settle(call, end))
        else:
            self._close(call, end, Leftovers())

    def lost(self, call: Call, why: str = "the agent killed the command's client") -> None:
        """The client of a call is gone without an END: somebody killed it, so the tree of the call dies."""
        if call.start.call in self.running and not call.ending:
            call.ending = True
            self.stop(call, Outcome.CLIENT_KILLED, why)
            self._spawn(self._bury(call))

    def stop(self, call: Call, by: Outcome, why: str) -> None:
        """Kill the whole tree of a call. The end follows from its client's END, or from ``lost``."""
        if call.ended_by is None:
            call.ended_by, call.why = by, why
        self.trace.action(call.start.call, "kill", why)
        with suppress(CgroupError):  # gone already
            call.leaf.kill()

    async def end_all(self, patience_s: float) -> None:
        """The agent has ended: stop every call, wait for their clients' ENDs, close what does not answer."""
        self.keep_background_s = 0
        for call in list(self.running.values()):
            if call.background:
                self._end_background(call, "session-ended")
            elif not call.ending:
                self.stop(call, Outcome.SESSION_ENDED, "the agent ended before the call did")
        deadline = time.monotonic() + patience_s
        while (self.running or self._tasks) and time.monotonic() < deadline:
            await asyncio.sleep(0.002)
        for call in list(self.running.values()):
            self._close(call, _unreported(), Leftovers())

    def _time_out(self, call: Call) -> None:
        if call.start.call in self.running:
            self.stop(call, Outcome.TIMED_OUT, f"ran longer than --call-timeout ({self.timeout_s:g} s)")

    async def _settle(self, call: Call, end: wire.End) -> None:
        """Kill what was left behind but not started to stay, wait for it to be gone, then close the call."""
        by = call.unattended or _as_its_client(call)
        if call.connection is not None and end.waits:
            call.connection.send(wire.Wait(_DECIDED_WITHIN_MS))
        killed: set[int] = set()
        stay: frozenset[int] = frozenset()
        settled = time.monotonic() + (_STARTED_WITHIN_S if self.keep_background_s > 0 else 0)
        deadline = settled + _GONE_WITHIN_S
        while time.monotonic() < deadline:
            # Asked before their ids are read: afterwards one may have become what it was about to be.
            steady = {pid for pid in call.leaf.pids() if not is_starting(pid)}
            left = leftovers(call.leaf)
            stay = _staying(left, by) if self.keep_background_s > 0 and call.ended_by is None else frozenset()
            gone = {leftover.pid for leftover in left} - stay
            if not gone and (stay or not call.leaf.populated()):
                break
            if time.monotonic() < settled and not gone <= steady:
                await asyncio.sleep(0.001)
                continue
            if not stay and gone:
                call.leaf.kill()
            else:
                kill_in(call.leaf, gone)
            killed |= gone
            await asyncio.sleep(0.001)
        self._close(call, end, Leftovers(len(killed), len(stay), tuple(sorted(stay))))

    async def _bury(self, call: Call) -> None:
        deadline = time.monotonic() + _GONE_WITHIN_S
        while call.leaf.populated() and time.monotonic() < deadline:
            await asyncio.sleep(0.001)
        self._close(call, _unreported(), Leftovers())

    def _close(self, call: Call, end: wire.End, left: Leftovers) -> None:
        """Record the end, let the client go, and give the domain back unless something was kept."""
        if call.background or call.start.call not in self.running:
            return
        if call.timer is not None:
            call.timer.cancel()
        usage = call.leaf.usage(end.counters)
        if end.maxrss_bytes or usage.cpu_time_us is not None:  # else nobody has counted anything
            usage = with_rusage(usage, end.utime_us, end.stime_us, end.maxrss_bytes, call.sampled_peak_bytes)
        how, reason = outcome.judge(end.wait_status, usage, call.limits, call.ended_by, call.why)
        status, number = outcome.split_wait_status(end.wait_status)
        record = CallEnd(
            call=call.start.call,
            ended_ns=end.ended_ns,
            returned_ns=time.monotonic_ns(),
            status=status,
            signal=number,
            outcome=how,
            usage=usage,
            leftovers=left,
            reason=reason,
            programs=self.programs(call),
        )
        self.trace.call_end(record)
        if call.connection is not None and end.waits:
            call.connection.send(wire.Done(self._feedback(call, record)))
        elif call.unattended is not None and call.unattended.voice is not None:
            call.unattended.voice.say(self._feedback(call, record))
        if left.kept:
            self._keep(call)
        else:
            self._leave(call, record)

    def _feedback(self, call: Call, end: CallEnd) -> str:
        from agentcgroup.feedback.text import explain  # the session loads it while its agent starts

        told = Told() if self.observer is None else self.observer.told(call, end)
        return explain(end, call.limits, argv=call.start.argv, told=told, budget_bytes=self.budget_bytes)

    def _leave(self, call: Call, end: CallEnd | None) -> None:
        self.running.pop(call.start.call, None)
        if self.observer is not None:
            self.observer.ended(call, end)
        self.finished(call)

    def _keep(self, call: Call) -> None:
        call.background = True
        loop = asyncio.get_running_loop()
        call.timer = loop.call_later(self.keep_background_s, self._end_background, call, "limit")
        self._spawn(self._watch_background(call))

    async def _watch_background(self, call: Call) -> None:
        while call.start.call in self.running:
            if not call.leaf.populated():
                self._end_background(call, "exited")
                return
            await asyncio.sleep(0.25)

    def _end_background(self, call: Call, reason: str) -> None:
        if self.running.pop(call.start.call, None) is None:
            return
        if call.timer is not None:
            call.timer.cancel()
        if reason != "exited":
            self.trace.action(call.start.call, "kill", f"background: {reason}")
            with suppress(CgroupError):
                call.leaf.kill()
        self.trace.background_end(BackgroundEnd(call.start.call, reason, call.leaf.usage()))
        self._leave(call, None)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _as_its_client(call: Call) -> Unattended:
    client = call.connection.pid if call.connection is not None else call.start.client_pid
    stat = process.stat(client)
    return Unattended(0 if stat is None else stat.sid, ignores_hangup(client))


def _staying(left: list[Leftover], by: Unattended) -> frozenset[int]:
    if by.keeps_jobs:
        return frozenset(leftover.pid for leftover in left)
    return kept(left, by.sid, by.ignored_hangup)


def _unreported() -> wire.End:
    """The END of a client that cannot send one."""
    return wire.End(
        wait_status=_KILLED_STATUS,
        populated=False,
        ended_ns=time.monotonic_ns(),
        utime_us=0,
        stime_us=0,
        maxrss_bytes=0,
        counters={},
    )


def kill_in(leaf: Leaf, pids: set[int]) -> None:
    """SIGKILL to these processes of ``leaf``, by pidfd (5.3) and only if they are still in it: a pid may be reused."""
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if pid in leaf.pids():
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # ended; or of another user, by a set-user-ID program
            pass
        finally:
            os.close(descriptor)
