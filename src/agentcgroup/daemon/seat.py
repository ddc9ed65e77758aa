"""One session as the daemon knows it: what it last said, and what it was asked to do since."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from agentcgroup.daemon.messages import Actions, FromDaemon, Hello, Report
from agentcgroup.daemon.undo import Undo
from agentcgroup.model import Support
from agentcgroup.policy.world import (
    Action,
    Admit,
    CallId,
    CallState,
    Freeze,
    Limit,
    Refuse,
    Request,
    SessionState,
    Signal,
    Thaw,
)

_ACTIONS_A_MESSAGE = 40  # with the longest reasons they still fit into a line


@dataclass(slots=True, eq=False)
class Seat:
    """``name`` is unique on the host, ``hello.name`` among the sessions of ``uid``."""

    name: str
    uid: int
    pid: int
    hello: Hello
    send: Callable[[FromDaemon], None]
    joined_s: float
    cgroup: Path | None = None  # of the session, when it is known to be its user's
    state: SessionState = field(init=False)
    requests: tuple[Request, ...] = ()
    undo: Undo = field(default_factory=Undo)
    held: bool = False  # frozen by an operator
    heard_s: float = field(init=False)
    reported: bool = False  # has said how it is at least once
    kills: int = 0
    _sequence: int = 0
    _unseen: deque[Actions] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.heard_s = self.joined_s
        self.state = SessionState(self.name, self.hello.priority, 0, self.hello.budget_bytes)

    def report(self, report: Report, now_s: float) -> tuple[Signal, ...]:
        """Take the state of a report, with what was asked for since it was made; the signals that came with it."""
        self.heard_s, self.reported = now_s, True
        self.state, self.requests = report.state, report.requests
        while self._unseen and self._unseen[0].seq <= report.seen:
            self._unseen.popleft()
        for sent in self._unseen:
            self._expect(sent.actions)
        self.undo.keep(self.state.calls)
        return report.signals

    def act(self, actions: Sequence[Action]) -> None:
        """Ask the session to carry out actions."""
        self.undo.note(actions, self.state.calls)
        for start in range(0, len(actions), _ACTIONS_A_MESSAGE):
            self._sequence += 1
            sent = Actions(self._sequence, tuple(actions[start : start + _ACTIONS_A_MESSAGE]))
            self._unseen.append(sent)
            self._expect(sent.actions)
            self.send(sent)

    @property
    def governed(self) -> bool:
        """Whether the policy decides over it: it can be controlled, and has said how it is."""
        return self.reported and self.hello.support == Support.FULL

    @property
    def unseen(self) -> int:
        """How many messages with actions the session has not confirmed yet."""
        return len(self._unseen)

    def _expect(self, actions: Sequence[Action]) -> None:
        """The state as it will be, so that the next decision does not ask for the same again."""
        for action in actions:
            match action:
                case Admit(id=id) | Refuse(id=id):
                    self.requests = tuple([request for request in self.requests if request.id != id])
                case Freeze(id=id):
                    self._change(id, lambda call: replace(call, frozen=True))
                case Thaw(id=id):
                    self._change(id, lambda call: replace(call, frozen=False))
                case Limit(id=id, high_bytes=high, max_bytes=most):
                    self._change(id, _limited(high, most))

    def _change(self, id: CallId, change: Callable[[CallState], CallState]) -> None:
        calls = tuple([change(call) if call.id == id else call for call in self.state.calls])
        self.state = replace(self.state, calls=calls)


def _limited(high: int | None, most: int | None) -> Callable[[CallState], CallState]:
    return lambda call: replace(call, high_bytes=high, max_bytes=most)
