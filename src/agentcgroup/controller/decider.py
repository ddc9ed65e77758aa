"""Who decides over a session: a policy in this process, or (daemon/) the service of the host.

A session has signals and carries out actions; in between somebody decides. The seam is the same for both: the session
submits signals, the decider looks at the world of the session when it needs to and asks for actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # loaded with the policy, by a session that has one
    from agentcgroup.model import Priority
    from agentcgroup.policy.world import Action, Signal, World


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


class Undecided:
    """Nobody decides: nothing counts the memory of the session, and no daemon wants to know of it."""

    def start(self, session: Governed) -> None:
        """See Decider."""

    def submit(self, signal: Signal) -> None:
        """See Decider."""

    def close(self) -> None:
        """See Decider."""
