"""The nouns of agentcgroup as frozen dataclasses: limits, usage, outcomes, calls and sessions.

Words as in docs/architecture.md. Units are in the field names; ``None`` means "this host did not
say", never zero. Nothing here does I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum


class Outcome(StrEnum):
    """How a call ended."""

    OK = "ok"  # exit status 0
    FAILED = "failed"  # non-zero exit status, or a signal of its own making
    OOM = "oom"  # memory.events of its cgroup counted an oom_kill
    PIDS = "pids"  # it failed, and pids.events of its cgroup counted a refused fork
    KILLED = "killed"  # the policy ended it, as its last resort
    TIMED_OUT = "timed-out"  # the controller ended it at its deadline
    CLIENT_KILLED = "client-killed"  # the agent killed the client: the tree of the call was killed with it
    SESSION_ENDED = "session-ended"  # still running when the agent ended
    CUT = "cut"  # the trace ends before the call does


class Label(StrEnum):
    """What a shell started from the agent leaf is."""

    CALL = "call"  # a tool call: gets a leaf of its own
    COMMAND = "command"  # COMMAND of `agentcgroup run` itself
    LAUNCHER = "launcher"  # a shell between COMMAND and the agent (npx, scripts, env …)
    PROBE = "probe"  # a start-up or completion probe of the agent
    HOOK = "hook"  # a hook of the agent
    HELPER = "helper"  # any other shell the agent starts for itself (an MCP server, a status line)


class UsageSource(StrEnum):
    """Where the numbers of a usage come from, best first."""

    CGROUP = "cgroup"  # memory, pids and CPU from cgroup v2
    CGROUP_CPU = "cgroup-cpu"  # CPU from cgroup v2; memory from /proc (PSS of the tree) and getrusage(2)
    PROC = "proc"  # everything from /proc and getrusage(2)


class Support(StrEnum):
    """What control this host allows a session, best first."""

    FULL = "full"  # cgroup v2 with the memory controller
    GROUPING = "grouping"  # cgroup v2 without it: grouping, cgroup.freeze, cgroup.kill
    PROCESS = "process"  # no writable cgroup v2: process groups and subreapers


class Priority(IntEnum):
    """Of a session, or of a call within its session; the higher goes first."""

    LOW = 0
    NORMAL = 1
    HIGH = 2


# cpu.weight of a cgroup by priority (cgroup v2, 1 to 10000; the kernel's default is 100).
CPU_WEIGHTS = {Priority.LOW: 25, Priority.NORMAL: 100, Priority.HIGH: 400}


# How much sooner than the agent its calls go when the kernel has to kill for the host (oom_score_adj: thousandths of
# the host's memory). Raising it needs no privilege, so this holds where no cgroup counts memory, too.
OOM_SCORES = {Priority.LOW: 300, Priority.NORMAL: 200, Priority.HIGH: 100}


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one domain, as written to its cgroup files; ``None`` leaves the file at its default."""

    memory_max_bytes: int | None = None
    memory_high_bytes: int | None = None
    memory_swap_max_bytes: int | None = None
    memory_oom_group: bool = False
    pids_max: int | None = None
    cpu_weight: int | None = None  # 1..10000, cgroup v2 cpu.weight


@dataclass(frozen=True, slots=True)
class Usage:
    """What the kernel counted for one domain over its life (cgroup v2 names in the comments)."""

    source: UsageSource = UsageSource.CGROUP
    memory_peak_bytes: int | None = None  # memory.peak (5.19), or the largest PSS sum sampled
    swap_peak_bytes: int | None = None  # memory.swap.peak (6.5)
    cpu_time_us: int | None = None  # cpu.stat usage_usec
    cpu_user_us: int | None = None  # cpu.stat user_usec
    cpu_system_us: int | None = None  # cpu.stat system_usec
    pids_peak: int | None = None  # pids.peak (6.1)
    pids_max_events: int | None = None  # pids.events max
    memory_high_events: int | None = None  # memory.events high
    memory_max_events: int | None = None  # memory.events max
    oom_events: int | None = None  # memory.events oom
    oom_kill_events: int | None = None  # memory.events oom_kill
    memory_some_us: int | None = None  # memory.pressure some total
    memory_full_us: int | None = None  # memory.pressure full total
    cpu_some_us: int | None = None  # cpu.pressure some total
    io_some_us: int | None = None  # io.pressure some total


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Processes that were still there when the command of a call had ended."""

    killed: int = 0
    kept: int = 0
    kept_pids: tuple[int, ...] = ()


EXEC_TRACKER = "exec-tracker"  # the kernel told us of its shell, by whose command line it was known
HOOK = "hook"  # a hook of the agent opened it, in a shell that stays


@dataclass(frozen=True, slots=True)
class CallStart:
    """A call as it began. Instants are CLOCK_MONOTONIC nanoseconds of the host (or guest)."""

    call: str  # its id, the name of its leaf: c000001 …; u000001 … when unmanaged
    argv: tuple[str, ...]  # decoded with surrogateescape; may be cut, see argv_bytes
    argv_bytes: int  # length of the whole argument vector, NUL-separated
    cwd: str
    requested_ns: int
    started_ns: int
    managed: bool = True  # False: ran in the session without a leaf of its own
    agent: str = "generic"
    tool_call_id: str = ""  # the agent's own id of this call, where its environment carries one
    pid: int = 0  # of the shell
    client_pid: int = 0
    limits: Limits = field(default_factory=Limits)
    caught: str = ""  # by whom when it has no client: EXEC_TRACKER (it cannot wait in the queue) or HOOK
    placed_ns: int = 0  # when it came into its leaf; 0: it was born there


@dataclass(frozen=True, slots=True)
class CallEnd:
    """A call as it ended. ``status`` is the exit status 0..255, ``signal`` the killing signal or 0."""

    call: str
    ended_ns: int  # the command ended
    returned_ns: int  # the client was free to return to the agent
    status: int
    signal: int
    outcome: Outcome
    usage: Usage
    leftovers: Leftovers = field(default_factory=Leftovers)
    reason: str = ""  # in words, where the outcome needs one
    programs: tuple[str, ...] = ()  # basenames of what it executed, each once, in order; where the kernel told us
