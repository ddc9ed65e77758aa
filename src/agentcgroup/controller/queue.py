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
    """A request and who waits for its answer."""

    request: Request
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
        """As the policy sees them."""
        return tuple(waiting.request for waiting in self._waiting.values())

    def add(self, case: Case, connection: Connection) -> Request:
        """A call asks."""
        request = Request(CallId(self.session, case.call), case.priority, time.monotonic(), case.need_bytes)
        self._waiting[case.call] = Waiting(request, connection, case)
        return request

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
