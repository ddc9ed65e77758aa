"""The brake of the daemon's scheduler: what a policy wants frozen softly is left a trickle of CPU time instead.

The daemon holds the scheduler, so it slows the leaves itself, and tells the session that this has been done: there it
is a freeze in all else. When the scheduler goes, they are frozen as they would have been without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agentcgroup.controller.scheduling import Brake
from agentcgroup.daemon.seat import Seat
from agentcgroup.policy.world import Action, CallId, Freeze, Kill, Thaw


class Braking:
    """Follows the sessions of an arbiter (arbiter.Follower) and the actions on them."""

    def __init__(self, brake: Brake) -> None:
        self._brake = brake
        self._slowed: dict[CallId, Seat] = {}
        brake.lost = self._lost

    def carry_out(self, seat: Seat, actions: Sequence[Action]) -> list[Action]:
        """Do what is for the brake to do; the actions that the session is to be told."""
        return [self._told(seat, action) for action in actions]

    def joined(self, seat: Seat) -> None:
        """See arbiter.Follower."""

    def left(self, seat: Seat) -> None:
        """See arbiter.Follower: what is slowed goes on at once, as the session lets its calls go as well."""
        for call in [call for call, of in self._slowed.items() if of is seat]:
            self._release(call)

    def _told(self, seat: Seat, action: Action) -> Action:
        match action:
            case Freeze(id=call, soft=True) if self._slow(seat, call):
                return replace(action, reason=f"{action.reason} ({self._brake.words})", slowed=True)
            case Freeze(id=call) | Thaw(id=call) | Kill(id=call) if call in self._slowed:
                self._release(call)
        return action

    def _slow(self, seat: Seat, call: CallId) -> bool:
        if seat.cgroup is None or not self._brake.slow(seat.cgroup / "calls" / call.call):
            return False
        self._slowed[call] = seat
        return True

    def _release(self, call: CallId) -> None:
        seat = self._slowed.pop(call)
        if seat.cgroup is not None:
            self._brake.release(seat.cgroup / "calls" / call.call)

    def _lost(self) -> None:
        slowed, self._slowed = self._slowed, {}
        for call, seat in slowed.items():
            seat.act([Freeze(call, "the scheduler that slowed it is gone")])
