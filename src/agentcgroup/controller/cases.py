"""What is known of each call beyond its cgroup: what it declared and is expected to need, and what was done to it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from agentcgroup import commands
from agentcgroup.model import Limits, Priority, Usage
from agentcgroup.policy import hints
from agentcgroup.policy.expect import Expectation, History, Source
from agentcgroup.policy.hints import Hint


@dataclass(slots=True)
class Spell:
    """How long something was done to a call: begun and ended, perhaps several times. Seconds."""

    total_s: float = 0.0
    since_s: float | None = None

    def begin(self) -> None:
        """It is done from now on; nothing changes when it was already."""
        self.since_s = time.monotonic() if self.since_s is None else self.since_s

    def end(self) -> None:
        """It is over."""
        if self.since_s is not None:
            self.total_s += time.monotonic() - self.since_s
            self.since_s = None

    @property
    def seconds(self) -> float:
        """The sum, including a spell that lasts."""
        return self.total_s + (0.0 if self.since_s is None else time.monotonic() - self.since_s)


@dataclass(slots=True)
class Case:
    """One call, from its request (or its START, when it did not ask) to its end."""

    call: str
    argv: tuple[str, ...]
    hint: Hint  # its own, and what the environment says besides
    own_hint: Hint  # what the command itself says
    problems: tuple[str, ...]  # of its hints, as far as they have not been told before
    command: commands.Command
    key: str  # what the same command has again
    expectation: Expectation
    priority: Priority
    limits: Limits  # as they are now
    queued: Spell = field(default_factory=Spell)
    frozen: Spell = field(default_factory=Spell)  # by a policy
    held: Spell = field(default_factory=Spell)  # by an operator
    killed_rule: str = ""
    killed_reason: str = ""
    begun: bool = False  # else it waits in the queue
    warned: bool = False  # its client knows that there is something to tell at the end

    @property
    def need_bytes(self) -> int | None:
        """What it is known to need, declared or remembered; what its kind usually needs is no reason to wait."""
        return self.expectation.memory_bytes if self.expectation.source in (Source.HINT, Source.HISTORY) else None

    def ends_s(self, started_s: float) -> float | None:
        """When it will be over by its hint (CLOCK_MONOTONIC); the time for which it was stopped does not count."""
        if self.hint.time_s is None:
            return None
        return started_s + self.hint.time_s + self.frozen.seconds + self.held.seconds


class Casebook:
    """The cases of a session, and what its calls needed so far.

    ``agent_hint`` is what the agent's own environment declares, for agents that do not hand it on to their commands.
    ``limits`` are those of a new leaf; ``calls_bytes`` is what all calls share, ``call_bytes`` what one may use by the
    settings (None: all of that).
    """

    def __init__(
        self, limits: Limits, calls_bytes: int | None, call_bytes: int | None, host_bytes: int, agent_hint: str = ""
    ) -> None:
        self._limits = limits
        self._calls_bytes, self._call_bytes, self._host_bytes = calls_bytes, call_bytes, host_bytes
        self._agent_hint = hints.parse(agent_hint)
        self._history = History()
        self._answered: frozenset[str] = frozenset()  # problems of the environment's hint that have been told
        self._open: dict[str, Case] = {}

    def open(self, call: str, argv: tuple[str, ...], environment_hint: str) -> Case:
        """The case of a call; the one that its request has opened already, if it has."""
        if call in self._open:
            return self._open[call]
        own_hint = hints.of_command(argv)
        hint = hints.merge(self._agent_hint, hints.parse(environment_hint), own_hint)
        problems = tuple(problem for problem in hint.problems if problem not in self._answered)
        self._answered |= set(hint.problems) - set(own_hint.problems)
        command = commands.classify(argv)
        key = commands.normalised(command)
        expectation = self._expected(key, command, hint)
        # Only among the calls of its session: whatever a call declares, sessions are ordered by their own priority.
        priority = Priority.NORMAL if hint.priority is None else hint.priority
        self._open[call] = Case(call, argv, hint, own_hint, problems, command, key, expectation, priority, self._limits)
        return self._open[call]

    def get(self, call: str) -> Case | None:
        """The open case of a call."""
        return self._open.get(call)

    def ran(self, call: str, programs: tuple[str, ...]) -> None:
        """What a call really executed (basenames): a heavier kind than its text has is what is remembered of it."""
        if (case := self._open.get(call)) is not None:
            case.command = commands.by_programs(case.command, programs)

    def close(self, call: str, usage: Usage | None, duration_s: float) -> Case | None:
        """The call is over (``usage`` None: it never began); what it needed is remembered."""
        case = self._open.pop(call, None)
        if case is not None and usage is not None and usage.memory_peak_bytes is not None:
            self._history = self._history.observe(case.key, case.command.kind, usage.memory_peak_bytes, duration_s)
            for other in self._open.values():  # those of the same command that wait need not be strangers any more
                if not other.begun and other.key == case.key:
                    other.expectation = self._expected(other.key, other.command, other.hint)
        return case

    def _expected(self, key: str, command: commands.Command, hint: Hint) -> Expectation:
        return self._history.expected(
            key,
            command.kind,
            hint,
            self._calls_bytes,
            self._host_bytes,
            call_bytes=self._call_bytes,
        )
