"""The messages between a session, the daemon and its operators, version 1 (docs/reference/daemon-protocol.md).

One JSON object a line, in ASCII, at most ``LINE_MAX`` bytes. A session speaks of itself only: it gives its name once,
in its hello, and after that calls have bare names. The path of its cgroup is in its hello, a claim that the daemon
checks (territory.py); no other path is ever sent, so none can be forged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from agentcgroup.model import Priority
from agentcgroup.policy.world import Action, Request, SessionState, Signal
from agentcgroup.trace.kill_log import KillRecord

PROTOCOL = 1
LINE_MAX = 1 << 20
ARGV_CHARACTERS = 2000  # of a command line, for display

ORDERS = ("set-priority", "freeze", "thaw", "end")  # what an operator may do to a session
QUESTIONS = ("status", "list", "show", "reload", *ORDERS)


@dataclass(frozen=True, slots=True)
class Hello:
    """A session introduces itself. ``now_s`` is its CLOCK_MONOTONIC, which has to be the daemon's."""

    name: str
    now_s: float
    priority: Priority = Priority.NORMAL
    argv: tuple[str, ...] = ()
    agent: str = "generic"
    trace: str = ""  # where its records are, for display
    budget_bytes: int | None = None
    support: str = "full"  # a model.Support: what can be controlled of it
    cgroup: str = ""  # of the session, as /proc/PID/cgroup shows it; empty: it has none
    version: int = PROTOCOL


@dataclass(frozen=True, slots=True)
class Report:
    """The whole state of a session, and what happened in it since the last report.

    ``seen``: the last ``Actions.seq`` that the state includes. ``ping``: a number to be answered at once.
    Host-wide signals are not for sessions to send.
    """

    seen: int
    state: SessionState
    requests: tuple[Request, ...] = ()
    signals: tuple[Signal, ...] = ()
    ping: int | None = None


@dataclass(frozen=True, slots=True)
class Killed:
    """A call was killed, whoever decided it."""

    record: KillRecord


@dataclass(frozen=True, slots=True)
class Question:
    """What an operator asks or wants: one of ``QUESTIONS``. ``value``: the priority, in words, or the reason."""

    what: str
    session: str | None = None
    value: str = ""
    version: int = PROTOCOL


@dataclass(frozen=True, slots=True)
class Welcome:
    """The session is known to the daemon as ``name`` and reports at least every ``report_s`` seconds.

    ``scheduler``: the one that the daemon holds for it (``sched_ext``), so that it need not attach its own; or empty.
    """

    name: str
    policy: str
    report_s: float
    pid: int
    scheduler: str = ""
    version: int = PROTOCOL


@dataclass(frozen=True, slots=True)
class Refused:
    """The daemon will not do it, in words; after a hello the connection is closed."""

    message: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Actions:
    """To be carried out now, in order."""

    seq: int
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """An operator wants something of the session: one of ``ORDERS``."""

    what: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """Report now: the policy is about to decide."""


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to ``Report.ping``."""

    ping: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a question, as JSON."""

    body: Mapping[str, object] = field(default_factory=dict)


ToDaemon: TypeAlias = Hello | Report | Killed | Question
FromDaemon: TypeAlias = Welcome | Refused | Actions | Order | Look | Pong | Answer


def in_words(priority: Priority) -> str:
    """``low``, ``normal`` or ``high``."""
    return priority.name.lower()
