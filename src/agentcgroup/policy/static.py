"""The policy ``static``: the same memory.max for every call, as agents and sandboxes offer it by now."""

from __future__ import annotations

from dataclasses import dataclass

from agentcgroup.errors import UsageError
from agentcgroup.policy.none import admit_all
from agentcgroup.policy.world import Action, Began, Decision, Limit, SessionState, Signal, World


@dataclass(frozen=True, slots=True)
class Static:
    """Each call gets ``call_bytes``, or ``budget_share`` of what the calls of its session may use together."""

    call_bytes: int | None = None
    budget_share: float = 0.5

    def __post_init__(self) -> None:
        if self.call_bytes is not None and self.call_bytes <= 0:
            raise UsageError(f"call_bytes {self.call_bytes} must be above 0", "such as 536870912 for 512 MiB")
        if not 0 < self.budget_share <= 1:
            raise UsageError(f"budget_share {self.budget_share:g} must be above 0 and at most 1", "such as 0.5")

    @property
    def name(self) -> str:
        """``static``."""
        return "static"

    def decide(self, world: World, signal: Signal) -> Decision:
        """See `world.Policy`."""
        actions: list[Action] = list(admit_all(world))
        if isinstance(signal, Began):
            session = next((found for found in world.sessions if found.name == signal.id.session), None)
            call = next((found for found in session.calls if found.id == signal.id), None) if session else None
            size = self._size(session) if session else None
            if call is not None and size is not None:
                actions.append(Limit(call.id, call.high_bytes, size, "the same limit for every call"))
        return Decision(self, tuple(actions))

    def _size(self, session: SessionState) -> int | None:
        if self.call_bytes is not None:
            return self.call_bytes
        room = session.calls_bytes if session.calls_bytes is not None else session.budget_bytes
        return None if room is None else max(1, int(room * self.budget_share))
