"""Calls that have asked to begin and wait for the answer; each holds the connection of its client."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from agentcgroup.client import wire
from agentcgroup.controller.cases import Case
from agentcgroup.controller.server import Connection
from agentcgroup.policy.world import CallId, Request

LONGEST_WAIT_MS = 600_000  # what a client in the queue is told; the policy answers earlier


@dataclass(frozen=True, slots=True)
class Waiting:
    """Who waits for an answer, and since when (CLOCK_MONOTONIC)."""

    asked_s: float
    connection: Connection
    case: Case


@dataclass(slots=True)
class Queue:
    """The requests of one session, in the order in which they came."""

    session: str
    _waiting: dict[str, Waiting] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def requests(self) -> tuple[Request, ...]:
        """As the policy sees them; what is known of their needs may have changed while they wait."""
        return tuple(
            Request(CallId(self.session, call), waiting.case.priority, waiting.asked_s, waiting.case.need_bytes)
            for call, waiting in self._waiting.items()
        )

    def add(self, case: Case, connection: Connection) -> None:
        """A call asks."""
        self._waiting[case.call] = Waiting(time.monotonic(), connection, case)

    def hold(self, call: str) -> bool:
        """Tell the client to wait; False when it has its answer already."""
        waiting = self._waiting.get(call)
        if waiting is None:
            return False
        waiting.case.queued.begin()
        waiting.connection.send(wire.Wait(LONGEST_WAIT_MS))
        return True

    def take(self, call: str) -> Waiting | None:
        """The request is answered: no longer in the queue."""
        waiting = self._waiting.pop(call, None)
        if waiting is not None:
            waiting.case.queued.end()
        return waiting

    def left(self, connection: Connection) -> str:
        """The client of a waiting call is gone: the call that it was, or empty."""
        for call, waiting in self._waiting.items():
            if waiting.connection is connection:
                del self._waiting[call]
                return call
        return ""
