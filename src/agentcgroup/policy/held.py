"""What the ladder remembers between two decisions: of each call it has touched, and of each pressure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agentcgroup.policy.room import Level, Scope
from agentcgroup.policy.settings import LadderSettings
from agentcgroup.policy.victims import Rank
from agentcgroup.policy.world import CallId

NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Hold:
    """What has been done to one call."""

    scope: Scope = None  # for whose sake it is throttled or frozen
    throttled_s: float | None = None  # since when memory.high is lowered
    high_bytes: int | None = None  # what it is restored to
    frozen_s: float | None = None  # since when it is frozen
    soft: bool = False  # a trickle of CPU time was allowed to do for the freeze
    pushed: bool = False  # frozen because somebody of higher priority stalled
    spent_s: float = 0.0  # queued and frozen, up to the last thaw
    thawed_s: float = NEVER
    released_s: float = NEVER  # when its last throttle ran out
    reclaimed_s: float = NEVER

    @property
    def active(self) -> bool:
        """Whether it is slowed or stopped now."""
        return self.throttled_s is not None or self.frozen_s is not None

    def freeze_ends_s(self, settings: LadderSettings) -> float:
        """When its freeze has to end: its own bound, or what is left of all that a call can be held."""
        begun = self.frozen_s if self.frozen_s is not None else NEVER
        return begun + min(settings.freeze_s, max(0.0, settings.hold_s - self.spent_s))

    def may_freeze(self, now_s: float, settings: LadderSettings) -> bool:
        """Whether it can be frozen: it has had its time to run, and a step of its bound is left."""
        return now_s - self.thawed_s >= settings.run_s and settings.hold_s - self.spent_s >= settings.step_s


@dataclass(frozen=True, slots=True)
class Pressure:
    """A time of too little room, in one scope."""

    level: Level
    marks: Mapping[CallId, int]  # what each call used when it began
    acted_s: float = NEVER  # the last step, and what was in use then
    acted_bytes: int = 0
    eased_s: float = NEVER  # the last time somebody was let go
    gone_s: float | None = None  # since when there has been no room at all, and what was in use then
    gone_bytes: int = 0
    turns: frozenset[CallId] = frozenset()  # frozen calls that were let go on because nobody else could


@dataclass(frozen=True, slots=True)
class Grant:
    """Room given to a request that has been admitted and has not begun yet."""

    bytes: int
    at_s: float
    waited_s: float
    known: bool  # the need was declared or remembered


@dataclass(frozen=True, slots=True)
class Seen:
    """The use of a scope that is being watched: since when it is about ``bytes``, the last look, and how it grows."""

    bytes: int
    since_s: float
    at_s: float
    at_bytes: int
    rate: float  # bytes a second, 0 when it does not grow


@dataclass(frozen=True, slots=True)
class Memory:
    """Everything the ladder remembers. All of it can be lost without harm: a new ladder adopts what it finds."""

    holds: Mapping[CallId, Hold] = field(default_factory=dict)
    pressures: Mapping[Scope, Pressure] = field(default_factory=dict)
    stalls: Mapping[Scope, float] = field(default_factory=dict)  # when PSI last said that it hurts
    moves: Mapping[Scope, float] = field(default_factory=dict)  # when a counter last moved
    killed: Mapping[CallId, float] = field(default_factory=dict)  # calls that we ended, and that may still be there
    shorts: Mapping[tuple[Scope, Rank], float] = field(default_factory=dict)  # when a task of that rank last stalled
    seen: Mapping[Scope, Seen] = field(default_factory=dict)  # the host, and sessions near their limit
    grants: Mapping[CallId, Grant] = field(default_factory=dict)
    protections: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # memory.low, memory.min by session
    protected_s: float = NEVER
    wires: Mapping[str, int | None] = field(default_factory=dict)  # memory.high of calls/ by session
