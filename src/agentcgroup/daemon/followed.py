"""A session as its decider sees it: what is done to it is followed, so that it can be taken back."""

from __future__ import annotations

from collections.abc import Sequence

from agentcgroup.controller.decider import Governed
from agentcgroup.daemon.undo import Undo
from agentcgroup.policy.world import Action, Limit, Priority, World


class Followed:
    """``session``, with all that is carried out in it noted in ``undo`` (controller.decider.Governed)."""

    def __init__(self, session: Governed, undo: Undo) -> None:
        self._session = session
        self._undo = undo

    @property
    def name(self) -> str:
        """The name of the session."""
        return self._session.name

    def world(self) -> World:
        """See Governed."""
        world = self._session.world()
        for state in world.sessions:
            self._undo.keep(state.calls)
        return world

    def carry_out(self, actions: Sequence[Action]) -> None:
        """See Governed."""
        limited = any(isinstance(action, Limit) for action in actions)
        states = self._session.world().sessions if limited else ()
        self._undo.note(actions, [call for state in states for call in state.calls])
        self._session.carry_out(actions)

    def set_priority(self, priority: Priority) -> None:
        """See Governed."""
        self._session.set_priority(priority)

    def hold(self, frozen: bool, reason: str) -> None:
        """See Governed."""
        self._session.hold(frozen, reason)

    def end(self, reason: str) -> None:
        """See Governed."""
        self._session.end(reason)
