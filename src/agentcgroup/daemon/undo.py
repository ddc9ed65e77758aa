"""What one decider did to a session that the next one does not know of, and how to take it back.

Whoever stops deciding (a daemon that died, a policy that was replaced) may leave calls frozen or held back by a lowered
memory.high. Whoever takes over has a memory of its own, in which they are not: so they are let go first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agentcgroup.policy.world import Action, CallId, CallState, Freeze, Kill, Limit, Thaw, Tripwire


class Undo:
    """Follows the actions on one session."""

    def __init__(self) -> None:
        self._frozen: set[CallId] = set()
        self._limits: dict[CallId, tuple[int | None, int | None]] = {}  # high and max before the first change
        self._tripwires: set[str] = set()  # sessions: ours, or none

    def __len__(self) -> int:
        """Calls that are held back in some way."""
        return len(self._frozen | self._limits.keys())

    def note(self, actions: Sequence[Action], calls: Iterable[CallState]) -> None:
        """``actions`` are about to be carried out on ``calls`` as they are now."""
        limited = {action.id for action in actions if isinstance(action, Limit)}
        known = {call.id: call for call in calls if call.id in limited} if limited else {}
        for action in actions:
            match action:
                case Freeze(id=id):
                    self._frozen.add(id)
                case Thaw(id=id):
                    self._frozen.discard(id)
                case Kill(id=id):
                    self._forget(id)
                case Limit(id=id):
                    self._limit(action, known.get(id))
                case Tripwire(session=session, high_bytes=high):
                    (self._tripwires.discard if high is None else self._tripwires.add)(session)

    def keep(self, calls: Iterable[CallState]) -> None:
        """Forget the calls that are not among those that still run."""
        if self._frozen or self._limits:
            running = {call.id for call in calls}
            for id in [*self._frozen, *self._limits]:
                if id not in running:
                    self._forget(id)

    def take(self, reason: str) -> tuple[Action, ...]:
        """The actions that take back what is left, limits first; after that nothing is left."""
        tripwires = [Tripwire(session, None, reason) for session in self._tripwires]
        limits = [Limit(id, high, most, reason) for id, (high, most) in self._limits.items()]
        thaws = [Thaw(id, reason) for id in self._frozen]
        self._frozen.clear()
        self._limits.clear()
        self._tripwires.clear()
        return (*tripwires, *limits, *thaws)

    def _limit(self, action: Limit, call: CallState | None) -> None:
        if action.id not in self._limits:
            if call is None:  # not running yet: its limits are where it starts from, not a brake
                return
            self._limits[action.id] = (call.high_bytes, call.max_bytes)
        if self._limits[action.id] == (action.high_bytes, action.max_bytes):
            del self._limits[action.id]

    def _forget(self, id: CallId) -> None:
        self._frozen.discard(id)
        self._limits.pop(id, None)
