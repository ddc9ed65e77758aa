"""The policy ``none``: everybody begins, nothing is done. What the kernel does by itself is what happens."""

from __future__ import annotations

from dataclasses import dataclass

from agentcgroup.policy.world import Admit, Decision, Signal, World


@dataclass(frozen=True, slots=True)
class Nothing:
    """Admits every request at once."""

    @property
    def name(self) -> str:
        """``none``."""
        return "none"

    def decide(self, world: World, signal: Signal) -> Decision:
        """See `world.Policy`."""
        return Decision(self, admit_all(world))


def admit_all(world: World) -> tuple[Admit, ...]:
    """An answer to every request, in order."""
    return tuple(Admit(request.id) for request in world.requests)
