"""A session as its decider sees it: what is done to it is followed, so that it can be taken back."""

from __future__ import annotations

from collections.abc import Sequence

from agentcgroup.controller.decider import Governed, Overheard
from agentcgroup.daemon.undo import Undo
from agentcgroup.policy.world import Action, Limit, World


class Followed(Overheard):
    """``session``, with all that is carried out in it noted in ``undo``."""

    def __init__(self, session: Governed, undo: Undo) -> None:
        super().__init__(session)
        self._undo = undo

    def world(self) -> World:
        """See Governed."""
        world = self.session.world()
        for state in world.sessions:
            self._undo.keep(state.calls)
        return world

    def carry_out(self, actions: Sequence[Action]) -> None:
        """See Governed."""
        limited = any(isinstance(action, Limit) for action in actions)
        states = self.session.world().sessions if limited else ()
        self._undo.note(actions, [call for state in states for call in state.calls])
        self.session.carry_out(actions)
