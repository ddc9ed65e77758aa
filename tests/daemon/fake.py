"""A session without a kernel: its calls are numbers, and what is asked of it happens at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from agentcgroup.controller.local import LocalDecider
from agentcgroup.daemon.member import JoinedDecider, join_daemon
from agentcgroup.daemon.messages import Hello
from agentcgroup.model import Priority, Support
from agentcgroup.policy.none import Nothing
from agentcgroup.policy.world import (
    Action,
    Admit,
    Asked,
    Began,
    CallId,
    CallState,
    Ended,
    Freeze,
    Kill,
    Limit,
    Policy,
    Refuse,
    Request,
    SessionState,
    Thaw,
    Tripwire,
    World,
)

MIB = 1 << 20


class FakeSession:
    """controller.decider.Governed. ``done``: every action that was carried out."""

    def __init__(
        self, name: str, calls: int = 0, priority: Priority = Priority.NORMAL, support: Support = Support.FULL
    ) -> None:
        self.name = name
        self.support = support
        self.priority = priority
        self.done: list[Action] = []
        self.said: list[str] = []
        self.ended_for: list[str] = []
        self.held = False
        self.tripwire: int | None = None
        self.calls: dict[CallId, CallState] = {}
        self.requests: dict[CallId, Request] = {}
        self.decider: JoinedDecider
        self._number = 0
        for _ in range(calls):
            self._start(self._next())

    async def join(self, *sockets: Path, require: bool = False, alone: Policy | None = None) -> None:
        """As `run` does it."""
        hello = Hello(self.name, time.monotonic(), self.priority, ("agent",), budget_bytes=4096 * MIB)
        hello = replace(hello, support=self.support)
        policy = alone or Nothing()
        self.decider = await join_daemon(
            hello, lambda: LocalDecider(policy), self.said.append, require=require, sockets=sockets
        )
        self.decider.start(self)

    # What happens in it

    def begin(self) -> CallId:
        """A call begins without asking."""
        call = self._next()
        self._start(call)
        self.decider.submit(Began(call))
        return call

    def ask(self, expected: int | None = None) -> CallId:
        """A call asks."""
        call = self._next()
        self.requests[call] = Request(call, Priority.NORMAL, time.monotonic(), expected)
        self.decider.submit(Asked(call))
        return call

    def finish(self, call: CallId) -> None:
        """A call ends."""
        if self.calls.pop(call, None) is not None:
            self.decider.submit(Ended(call))

    def grow(self, call: CallId, memory_bytes: int) -> None:
        """A call uses more memory; no event tells of it."""
        self.calls[call] = replace(self.calls[call], memory_bytes=memory_bytes)

    @property
    def joined(self) -> bool:
        """Whether a daemon decides."""
        return self.decider.joined

    @property
    def braked(self) -> list[CallId]:
        """Calls that are frozen or have a limit."""
        return [call.id for call in self.calls.values() if call.frozen or call.high_bytes is not None]

    # Governed

    def world(self) -> World:
        """See Governed."""
        calls = tuple(self.calls.values())
        used = sum(call.memory_bytes for call in calls)
        state = SessionState(self.name, self.priority, used, 4096 * MIB, 4000 * MIB, 0, calls)
        return World(time.monotonic(), 8192 * MIB, 4096 * MIB, (state,), tuple(self.requests.values()))

    def carry_out(self, actions: Sequence[Action]) -> None:
        """See Governed."""
        for action in actions:
            self.done.append(action)
            match action:
                case Freeze(id=id) | Thaw(id=id) if id in self.calls:
                    self.calls[id] = replace(self.calls[id], frozen=isinstance(action, Freeze))
                case Limit(id=id) if id in self.calls:
                    self.calls[id] = replace(self.calls[id], high_bytes=action.high_bytes, max_bytes=action.max_bytes)
                case Tripwire(high_bytes=high):
                    self.tripwire = high
                case Kill(id=id):
                    self.finish(id)
                case Admit(id=id) if id in self.requests:
                    self._start(id, self.requests.pop(id).expected_bytes)
                    self.decider.submit(Began(id))
                case Refuse(id=id):
                    self.requests.pop(id, None)

    def set_priority(self, priority: Priority) -> None:
        """See Governed."""
        self.priority = priority

    def hold(self, frozen: bool, reason: str) -> None:
        """See Governed."""
        self.held = frozen

    def end(self, reason: str) -> None:
        """See Governed."""
        self.ended_for.append(reason)

    def _next(self) -> CallId:
        self._number += 1
        return CallId(self.name, f"c{self._number:05}")

    def _start(self, call: CallId, expected: int | None = None) -> None:
        self.calls[call] = CallState(call, Priority.NORMAL, time.monotonic(), MIB, expected)
