"""What is asked of a plan: the host, the bounds, the policy, and how much is simulated."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agentcgroup.errors import UsageError


class Together(StrEnum):
    """How sessions are placed against each other in time, which is how far their bursts come together."""

    INDEPENDENT = "independent"  # each at an instant of its own
    HALF = "half"  # every other one begins a session at the same instant
    ALL = "all"  # all begin one at the same instant


@dataclass(frozen=True, slots=True)
class Question:
    """Sizes in bytes. UsageError when a number makes no sense."""

    memory_bytes: int
    cpus: float
    risk: float = 1e-3  # lost calls and agents, per session-hour
    slowdown: float = 1.1  # of sessions, on the average
    cpu_share: float = 0.8  # of the CPUs, that the mean demand may take
    policy: str = "ladder"
    call_bytes: int | None = None  # limit of a call, of the policy static; None: what the largest call needs
    replicates: int = 19  # sessions drawn anew
    effort: float = 1.0  # of simulated hours, against the default
    seed: int = 0

    def __post_init__(self) -> None:
        if self.memory_bytes <= 0 or self.cpus <= 0:
            raise UsageError("a host needs memory and CPUs", "such as --memory 128g --cpus 24")
        if not 0 < self.risk < 1:
            raise UsageError(f"a risk of {self.risk:g} per session-hour", "give one above 0 and below 1, such as 1e-3")
        if self.slowdown <= 1:
            raise UsageError(f"a slow-down of {self.slowdown:g} cannot be kept", "give one above 1, such as 1.1")
        if not 0 < self.cpu_share <= 1:
            raise UsageError(f"{self.cpu_share:g} is no share of the CPUs", "give one above 0 and at most 1")
        if self.call_bytes is not None and self.policy != "static":
            raise UsageError("--call-memory is the limit of the policy static", "add --policy static, or leave it out")
