"""Control of one session: what happens in it goes to the decider, what the decider asks for is carried out here.

    clients, kernel events, timers -> signal -> decider -> actions -> enforcer, clients' answers -> records

Only with the memory controller; without it there is nothing to decide by, and every call may begin at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agentcgroup.client import wire
from agentcgroup.controller.calls import Call, Calls
from agentcgroup.controller.cases import Case, Casebook
from agentcgroup.controller.decider import Decider
from agentcgroup.controller.hands import Hands
from agentcgroup.controller.pool import LeafPool
from agentcgroup.controller.queue import Queue
from agentcgroup.controller.server import Connection
from agentcgroup.controller.signals import Signals
from agentcgroup.controller.view import session_state
from agentcgroup.domain.leaf import CgroupLeaf
from agentcgroup.domain.tree import SessionTree
from agentcgroup.errors import CgroupError
from agentcgroup.feedback.text import refusal
from agentcgroup.feedback.told import Told
from agentcgroup.kernel.meminfo import read_meminfo
from agentcgroup.model import CallEnd, Limits, Outcome, Priority
from agentcgroup.policy.expect import verdict
from agentcgroup.policy.world import (
    Action,
    Admit,
    Asked,
    Began,
    CallId,
    Ended,
    Freeze,
    Kill,
    Limit,
    Moved,
    Protect,
    Reclaim,
    Refuse,
    SessionState,
    Stalled,
    Thaw,
    Tripwire,
    World,
)
from agentcgroup.trace.text import command_of
from agentcgroup.trace.writer import TraceWriter
from agentcgroup.units import format_size

if TYPE_CHECKING:
    from agentcgroup.controller.scheduling import Brake

_TELL_WITHIN_MS = 5_000  # what a client waits for the text at the end of a call that has one
_OWED_SPELL_S = 1.0  # shorter spells are not worth words
_STATE_HOLDS_S = 0.005
_NOTE_CONTENTION_EVERY_S = 10.0
_TICKET_BYTES = 128 << 20  # what a call that asks nobody is assumed to need
_MOST_TICKETS = 64
_FULL_FOR_S = 10.0  # in which those may end who are killed because the session is full


@dataclass(slots=True)
class Control:
    """Governs one session (controller.decider.Governed); ``give`` hands a granted leaf to a client."""

    name: str
    tree: SessionTree
    calls: Calls
    pool: LeafPool
    trace: TraceWriter
    decider: Decider
    priority: Priority
    call_bytes: int | None  # what one call may use by the settings
    agent_hint: str  # what the agent's own environment declares for all its commands
    give: Callable[[Connection, str], None]
    terminate: Callable[[str], None]
    brake: Brake | None = None  # slows calls in place of freezing them
    queue: Queue = field(init=False)
    cases: Casebook = field(init=False)
    signals: Signals = field(init=False)
    hands: Hands = field(init=False)
    _contended_s: dict[str | None, float] = field(default_factory=dict)  # when it was noted last
    _full: tuple[int, float] = (0, float("-inf"))  # how often a shared limit was met (oom), and when last
    _held: str = ""  # why an operator has frozen the calls
    _seen: tuple[float, SessionState] | None = None  # the state as it was read last, and when

    def __post_init__(self) -> None:
        self.queue = Queue(self.name)
        self.hands = Hands(self.tree, self.trace.action, self.brake)
        self.signals = Signals(self.name, self.tree.session, self.tree.calls, self.moved, self.stalled, self.contended)
        calls_bytes = self.tree.calls.read_max("memory.max")
        self.cases = Casebook(
            self.tree.limits_of_a_call, calls_bytes, self.call_bytes, read_meminfo().total_bytes, self.agent_hint
        )
        self._ration()

    # What happens

    def asked(self, connection: Connection, request: wire.Request) -> None:
        """A client wants to begin and waits for the answer."""
        name = self.pool.take()
        if not name:
            connection.send(wire.Grant(""))
            return
        case = self.cases.open(name, request.argv, request.hint)
        self._expect(case)
        self.queue.add(case, connection)
        self.decider.submit(Asked(self._id(name)))
        if self.queue.hold(name):
            need = "a call of unknown need" if case.need_bytes is None else format_size(case.need_bytes)
            self.trace.action(name, "queue", f"waits for room for {need}")
        self._ration()

    def limits_of(self, call: str) -> Limits:
        """The limits of a leaf as they are now."""
        case = self.cases.get(call)
        return self.tree.limits_of_a_call if case is None else case.limits

    def left(self, connection: Connection, granted: str) -> None:
        """A client is gone; if it was in the queue, so is its request. What was granted and not begun is free again."""
        if granted and not self.tree.calls.child(granted).populated():
            self._drop(granted)
        if call := self.queue.left(connection):
            self.trace.action(call, "unqueue", "the agent gave the command up")
            self._drop(call)

    def began(self, call: Call, hint: str) -> None:
        """A call is running."""
        case = self.cases.open(call.start.call, call.start.argv, hint)
        case.begun = True
        if case.problems or case.queued.seconds > _OWED_SPELL_S or isinstance(case.own_hint.memory, int):
            self._warn(call, case)
        if isinstance(call.leaf, CgroupLeaf):
            self.signals.add(call.leaf.cgroup)
            if self._held:
                self.hands.hold(case, True)
        self._seen = None
        expected = case.expectation
        self.decider.submit(Began(self._id(call.start.call), expected.high_bytes, expected.source))
        self._ration()

    def told(self, call: Call, end: CallEnd) -> Told:
        """What the agent has to be told of a call that has just ended."""
        case = self.cases.get(call.start.call)
        if case is None:
            return Told()
        return Told(
            throttled_s=(end.usage.memory_some_us or 0) / 1e6 if end.usage.memory_high_events else 0.0,
            frozen_s=case.frozen.seconds + case.held.seconds,
            queued_s=case.queued.seconds,
            killed_rule=case.killed_rule,
            killed_reason=case.killed_reason,
            hint_problems=case.problems,
            hint_verdict=verdict(case.own_hint, end.usage.memory_peak_bytes),
            neighbours=self._neighbours(name=call.start.call),
            host_full=bool(end.usage.oom_kill_events) and not self._session_was_full(),
        )

    def _session_was_full(self) -> bool:
        """Whether a limit that its calls share was met of late: by the counters, not by what they use now."""
        shared = (self.tree.calls, self.tree.session)
        count = sum(cgroup.read_keyed("memory.events.local").get("oom", 0) for cgroup in shared)
        if count > self._full[0]:
            self._full = count, time.monotonic()
        return time.monotonic() - self._full[1] < _FULL_FOR_S

    def ended(self, call: Call, end: CallEnd | None) -> None:
        """A call is over and its memory is free."""
        name = call.start.call
        duration_s = (time.monotonic_ns() - call.start.started_ns) / 1e9
        self.cases.close(name, None if end is None else end.usage, duration_s)
        if isinstance(call.leaf, CgroupLeaf):
            self.signals.remove(call.leaf.cgroup)
        self._seen = None
        self.decider.submit(Ended(self._id(name)))
        self._ration()

    def moved(self, call: str | None, increase: dict[str, int]) -> None:
        """Counters of memory.events moved, of a call or (None) of calls/."""
        counts = {key: increase.get(key, 0) for key in ("high", "max", "oom", "oom_kill")}
        if any(counts.values()):
            if counts["high"] and call is not None:
                self._owe(call)
            self.decider.submit(Moved(self.name, None if call is None else self._id(call), **counts))

    def stalled(self, signal: Stalled) -> None:
        """Tasks of the session or of the host stall on memory."""
        self.decider.submit(signal)

    def contended(self, session: str | None) -> None:
        """Tasks of the session, or of the host, wait for a CPU half of the time: noted, once in a while."""
        now_s = time.monotonic()
        if now_s - self._contended_s.get(session, -_NOTE_CONTENTION_EVERY_S) >= _NOTE_CONTENTION_EVERY_S:
            self._contended_s[session] = now_s
            whose = "the host" if session is None else "the session"
            self.trace.action(
                None, "cpu-pressure", f"tasks of {whose} waited for a CPU for half of the time (cpu.pressure)"
            )

    def close(self) -> None:
        """The session is over."""
        self.decider.close()
        self.signals.close()
        self.hands.close()

    # Governed

    def world(self) -> World:
        """See controller.decider.Governed."""
        memory = read_meminfo()
        return World(
            now_s=time.monotonic(),
            host_bytes=memory.total_bytes,
            available_bytes=memory.available_bytes,
            sessions=(self._state(),),
            requests=self.queue.requests,
        )

    def carry_out(self, actions: Sequence[Action]) -> None:
        """See controller.decider.Governed."""
        self._seen = None
        for action in actions:
            match action:
                case Admit(id=id):
                    self._admit(id.call)
                case Refuse(id=id, reason=reason):
                    self._refuse(id.call, reason)
                case Protect():
                    self.hands.protect(action)
                case Tripwire():
                    self.hands.stretch(action)
                case Kill(id=id):
                    self._kill(id.call, action)
                case Limit() | Reclaim() | Freeze() | Thaw():
                    self._on_leaf(action)

    def set_priority(self, priority: Priority) -> None:
        """See controller.decider.Governed."""
        self.priority, self._seen = priority, None
        self.trace.action(None, "priority", priority.name.lower())
        self.hands.weigh_session(priority)

    def hold(self, frozen: bool, reason: str) -> None:
        """See controller.decider.Governed."""
        self.trace.action(None, "freeze" if frozen else "thaw", reason)
        self._held = reason if frozen else ""
        for call in self.calls.running.values():
            case = self.cases.get(call.start.call)
            if case is not None and isinstance(call.leaf, CgroupLeaf):
                self.hands.hold(case, frozen)
                self._warn(call, case)

    def end(self, reason: str) -> None:
        """See controller.decider.Governed."""
        self.trace.action(None, "end", reason)
        self.terminate(reason)

    def _state(self) -> SessionState:
        """Read now; of many signals at once (limits are often met together) not once for each."""
        now_s = time.monotonic()
        if self._seen is None or now_s - self._seen[0] > _STATE_HOLDS_S:
            state = session_state(self.name, self.priority, self.tree, self.calls, self.cases)
            self._seen = (time.monotonic(), state)
        return self._seen[1]

    def _id(self, call: str) -> CallId:
        return CallId(self.name, call)

    # Requests

    def _neighbours(self, name: str) -> tuple[tuple[str, int], ...]:
        """The two other calls that hold most memory now: command and bytes."""
        others = [call for call in self.calls.running.values() if call.start.call != name]
        sizes = [
            (command_of(call.start.argv), call.leaf.cgroup.read_int("memory.current") or 0)
            for call in others
            if isinstance(call.leaf, CgroupLeaf)
        ]
        return tuple(sorted(sizes, key=lambda size: -size[1])[:2])

    def _admit(self, name: str) -> None:
        waiting = self.queue.take(name)
        if waiting is None:
            return
        if waiting.case.queued.total_s:
            self.trace.action(name, "admit", f"after {waiting.case.queued.total_s:.1f} s in the queue")
        self.give(waiting.connection, name)

    def _refuse(self, name: str, reason: str) -> None:
        waiting = self.queue.take(name)
        if waiting is None:
            return
        self.trace.action(name, "refuse", reason)
        case = waiting.case
        told = Told(queued_s=case.queued.seconds, hint_problems=case.problems, neighbours=self._neighbours(name))
        text = refusal(
            name, reason, case.limits, argv=case.argv, told=told, budget_bytes=self.tree.calls.read_max("memory.max")
        )
        waiting.connection.send(wire.Refuse(text))
        self._drop(name)

    def _drop(self, name: str) -> None:
        """A call that will never begin: its leaf is of no use, since its limits may have been moved."""
        self.cases.close(name, None, 0.0)
        with suppress(CgroupError):  # somebody has just died in it; the end of the session removes it
            self.tree.calls.child(name).remove()
        self.decider.submit(Ended(self._id(name)))

    def _expect(self, case: Case) -> None:
        """Move the hard limit of a leaf by what its call declares, before it begins; the soft one is for a policy."""
        most = case.expectation.max_bytes
        self.hands.weigh_call(case)
        if most is not None and most != case.limits.memory_max_bytes:
            reason = f"expected by its {case.expectation.source}"
            self.carry_out([Limit(self._id(case.call), case.limits.memory_high_bytes, most, reason)])

    def _ration(self) -> None:
        """How many calls may begin without asking: as many as there is room for, none while others wait."""
        if len(self.queue):
            self.pool.ration(0)
            return
        state, memory = self._state(), read_meminfo()
        room = min((state.calls_bytes or memory.total_bytes) - _promised(state), memory.available_bytes)
        self.pool.ration(max(0, min(_MOST_TICKETS, room // _TICKET_BYTES)))

    # Actions

    def _on_leaf(self, action: Limit | Reclaim | Freeze | Thaw) -> None:
        case = self.cases.get(action.id.call)
        if case is None:
            return
        self.hands.on_leaf(case, action)
        if (call := self.calls.running.get(action.id.call)) is not None:
            call.limits = case.limits
            self._warn(call, case)

    def _kill(self, name: str, action: Kill) -> None:
        call, case = self.calls.running.get(name), self.cases.get(name)
        if call is None or case is None:
            return
        case.killed_rule, case.killed_reason = action.rule, action.reason
        self.calls.stop(call, Outcome.KILLED, action.reason)

    # The agent's ear

    def _owe(self, name: str) -> None:
        """A call is slowed at its memory.high: that may have to be told."""
        call, case = self.calls.running.get(name), self.cases.get(name)
        if call is not None and case is not None:
            self._warn(call, case)

    def _warn(self, call: Call, case: Case) -> None:
        """Have the client wait for the text at the end of the call."""
        if not case.warned and call.connection is not None and not call.ending:
            case.warned = call.connection.send(wire.Wait(_TELL_WITHIN_MS))


def _promised(state: SessionState) -> int:
    """What the running calls use, or are expected to use still."""
    return sum(max(call.memory_bytes, call.expected_bytes or _TICKET_BYTES) for call in state.calls)
