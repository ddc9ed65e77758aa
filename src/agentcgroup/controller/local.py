"""A policy in the process of the session decides over it."""

from __future__ import annotations

import asyncio
import time

from agentcgroup.controller.decider import Governed
from agentcgroup.policy.world import Policy, Signal, Woken


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
