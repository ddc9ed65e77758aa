"""Who decides over a session: a policy in this process, or (daemon/) the service of the host.

A session has signals and carries out actions; in between somebody decides. The seam is the same for both: the session
submits signals, the decider looks at the world of the session when it needs to and asks for actions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

from agentcgroup.policy.world import Action, Policy, Priority, Signal, Woken, World


class Governed(Protocol):
    """What a session offers to whoever decides over it. All of it must be called on the session's loop."""

    @property
    def name(self) -> str:
        """The name of the session."""

    def world(self) -> World:
        """The world with this one session in it, read now; seconds are CLOCK_MONOTONIC."""

    def carry_out(self, actions: Sequence[Action]) -> None:
        """Begin to carry out actions, in order; what cannot be done is recorded and never raised."""

    def set_priority(self, priority: Priority) -> None:
        """An operator gave the session another priority."""

    def hold(self, frozen: bool, reason: str) -> None:
        """An operator freezes all calls of the session, or lets them go on. The agent itself is never frozen."""

    def end(self, reason: str) -> None:
        """An operator ends the session: COMMAND is told to end, and killed when it does not."""


class Overheard:
    """``session`` itself, for those who listen in on what passes between it and its decider: override and pass on."""

    def __init__(self, session: Governed) -> None:
        self.session = session

    @property
    def name(self) -> str:
        """See Governed."""
        return self.session.name

    def world(self) -> World:
        """See Governed."""
        return self.session.world()

    def carry_out(self, actions: Sequence[Action]) -> None:
        """See Governed."""
        self.session.carry_out(actions)

    def set_priority(self, priority: Priority) -> None:
        """See Governed."""
        self.session.set_priority(priority)

    def hold(self, frozen: bool, reason: str) -> None:
        """See Governed."""
        self.session.hold(frozen, reason)

    def end(self, reason: str) -> None:
        """See Governed."""
        self.session.end(reason)


class Decider(Protocol):
    """Decides over one session."""

    def start(self, session: Governed) -> None:
        """The session is about to begin."""

    def submit(self, signal: Signal) -> None:
        """Something happened in the session; actions follow through ``carry_out``, at once or later."""

    def close(self) -> None:
        """The session is over."""


class LocalDecider:
    """A policy in this process: decides at once, and again at the instant that the policy asked for."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._session: Governed | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._open = False

    def start(self, session: Governed) -> None:
        """See Decider."""
        self._session = session
        self._open = True
        self.submit(Woken())

    def submit(self, signal: Signal) -> None:
        """See Decider."""
        if self._session is None or not self._open:
            return
        decision = self._policy.decide(self._session.world(), signal)
        self._policy = decision.policy
        self._wake_at(decision.wake_s)
        if decision.actions:
            self._session.carry_out(decision.actions)

    def close(self) -> None:
        """See Decider."""
        self._open = False
        self._wake_at(None)

    def _wake_at(self, wake_s: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wake_s is not None:
            delay = max(0.0, wake_s - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self.submit, Woken())
