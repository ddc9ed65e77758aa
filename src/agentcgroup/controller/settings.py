"""What a session is asked to be. Built by the command line, read by everything in the controller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agentcgroup.domain.budget import Budget
from agentcgroup.model import Priority

DEFAULT_POLICY = "ladder"


@dataclass(frozen=True, slots=True)
class Settings:
    """One session's settings; durations in seconds."""

    argv: tuple[str, ...]
    session: str
    trace: Path
    budget: Budget
    agent: str = "generic"  # the recognised or forced agent, for the record
    baseline_bytes: int = 0  # what the agent needs by itself, 0 when unknown
    rules: str = ""  # the rule table of the client (docs/reference/client-protocol.md)
    environment: Mapping[str, str] = field(default_factory=dict)  # added to COMMAND's
    call_timeout_s: float | None = None
    keep_background_s: float = 3600.0
    sample_hz: float = 10.0
    placement: str = "auto"
    strict: bool = False
    client_deadline_ms: int = 50
    policy: str = DEFAULT_POLICY
    track: str = "auto"  # the exec tracker: auto, on or off (controller.tracking)
    scheduler: str = "default"  # who divides the CPU: default or sched_ext (controller.scheduling)
    enforcer: str = "auto"  # of enforce.choice: how the kernel helps when memory gets short
    policy_settings: Mapping[str, int | float | bool] = field(default_factory=dict)  # as written by the user
    priority: Priority = Priority.NORMAL
