"""What a policy is shown, what it is told, and what it may ask for: the vocabulary of every policy.

A policy is a value. ``decide(world, signal)`` gives the actions to carry out now, the instant at which it wants to be
asked again, and the policy as it is afterwards. Seconds are of one monotonic clock that the caller owns
(CLOCK_MONOTONIC live, virtual in the simulator); bytes are bytes; ``None`` is "not known" or "no limit".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from agentcgroup.model import Priority


@dataclass(frozen=True, slots=True)
class CallId:
    """A call: the name of its session and its own."""

    session: str
    call: str


@dataclass(frozen=True, slots=True)
class CallState:
    """A running call as the kernel shows it now."""

    id: CallId
    priority: Priority
    started_s: float
    memory_bytes: int  # memory.current
    expected_bytes: int | None = None  # what it declared, or what such commands needed before
    high_bytes: int | None = None  # memory.high now
    max_bytes: int | None = None  # memory.max now
    frozen: bool = False
    reclaimable_bytes: int = 0  # file pages, and what fits into free swap
    background: bool = False  # its command has ended, something was started to stay
    ends_s: float | None = None  # by its own word (hint time:), without the time for which it was frozen
    stood_s: float = 0.0  # of its life: frozen, or all of it waiting for a CPU; it has shown nothing meanwhile

    def ran_s(self, now_s: float) -> float:
        """How long it has had to show what it needs: its age less what it stood still."""
        return now_s - self.started_s - self.stood_s


@dataclass(frozen=True, slots=True)
class SessionState:
    """A session and its calls."""

    name: str
    priority: Priority
    memory_bytes: int  # memory.current of the session, agent included
    budget_bytes: int | None = None  # memory.max of the session
    calls_bytes: int | None = None  # memory.max of calls/, below the budget
    agent_bytes: int = 0  # memory.current of the agent leaf
    calls: tuple[CallState, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """A call that has asked to begin and waits for the answer."""

    id: CallId  # the call it will be
    priority: Priority
    asked_s: float
    expected_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class World:
    """Everything that is known at ``now_s``."""

    now_s: float
    host_bytes: int  # memory of the host, or what the sessions together may use of it
    available_bytes: int  # MemAvailable of /proc/meminfo, or what is left of ``host_bytes``
    sessions: tuple[SessionState, ...] = ()
    requests: tuple[Request, ...] = ()  # in the order in which they came


@dataclass(frozen=True, slots=True)
class Asked:
    """A request has come."""

    id: CallId


@dataclass(frozen=True, slots=True)
class Began:
    """A call is running; also one that nobody had to admit."""

    id: CallId
    high_bytes: int | None = None  # the memory.high that is wide enough for what is expected of it
    source: str = ""  # who expects it: its hint, the history of its session, its kind


@dataclass(frozen=True, slots=True)
class Ended:
    """A call is over and its memory is free, or a waiting request was given up."""

    id: CallId


@dataclass(frozen=True, slots=True)
class Moved:
    """Counters of memory.events of a call moved, by so much since the last time.

    ``id`` None: of calls/ of the session (memory.events.local), whose limit all its calls share.
    """

    session: str
    id: CallId | None
    high: int = 0
    max: int = 0
    oom: int = 0
    oom_kill: int = 0


@dataclass(frozen=True, slots=True)
class Stalled:
    """PSI: tasks stalled on memory for ``stall_us`` of the last ``window_us``; ``session`` None: on the whole host."""

    session: str | None
    stall_us: int
    window_us: int
    full: bool = False


@dataclass(frozen=True, slots=True)
class Short:
    """A task of a call (``id`` None: of the agent) stalls right now: there is no room for it in ``scope``.

    ``scope``: its session, whose limit all its calls share; None: the host. A call that meets its own limit is no
    such signal. Only where the kernel tells (kernel/pressure.py); PSI says the same later.
    """

    session: str
    id: CallId | None
    scope: str | None


@dataclass(frozen=True, slots=True)
class Woken:
    """The instant has come that the policy asked for; also the way to ask it without an occasion."""


Signal: TypeAlias = Asked | Began | Ended | Moved | Stalled | Short | Woken


@dataclass(frozen=True, slots=True)
class Limit:
    """Set memory.high and memory.max of a call; None removes the limit. The enforcer never lets max exceed calls/."""

    id: CallId
    high_bytes: int | None
    max_bytes: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Reclaim:
    """Have the kernel take back up to ``bytes`` of a call (memory.reclaim)."""

    id: CallId
    bytes: int
    reason: str


@dataclass(frozen=True, slots=True)
class Freeze:
    """Stop a call at a safe point (cgroup.freeze).

    ``soft``: leaving it a trickle of CPU time would do, where the scheduler can (enforcer ``scx``): it hardly grows,
    and gets to the end of what it does in the kernel. A later one that is not soft makes it stand. ``slowed`` is not
    for policies: whoever passes it on has slowed the call instead, and the rest is as if it stood.
    """

    id: CallId
    reason: str
    soft: bool = False
    slowed: bool = False


@dataclass(frozen=True, slots=True)
class Thaw:
    """Let a frozen call go on."""

    id: CallId
    reason: str


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill a call, whole (cgroup.kill). ``rule`` is a stable word for the kill record, ``reason`` is for people."""

    id: CallId
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Admit:
    """Let a request begin."""

    id: CallId
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Do not let a request begin; the command ends at once with the reason as its feedback."""

    id: CallId
    reason: str


@dataclass(frozen=True, slots=True)
class Protect:
    """Set memory.low and memory.min of a session (and so of every level above its agent leaf)."""

    session: str
    low_bytes: int
    min_bytes: int
    reason: str


@dataclass(frozen=True, slots=True)
class Tripwire:
    """Set memory.high of calls/ of a session: crossing it moves a counter and brakes whoever grows. None removes it."""

    session: str
    high_bytes: int | None
    reason: str


Action: TypeAlias = Limit | Reclaim | Freeze | Thaw | Kill | Admit | Refuse | Protect | Tripwire


@dataclass(frozen=True, slots=True)
class Decision:
    """``actions`` in order, the next ``policy``, and when it wants to be asked again (None: at the next signal)."""

    policy: Policy
    actions: tuple[Action, ...] = field(default_factory=tuple)
    wake_s: float | None = None


class Policy(Protocol):
    """What every policy is. Implementations are frozen dataclasses whose state is replaced, never changed."""

    @property
    def name(self) -> str:
        """The name under which it is chosen and recorded."""

    def decide(self, world: World, signal: Signal) -> Decision:
        """What to do now that ``signal`` has come. Never raises for a world that is possible."""
