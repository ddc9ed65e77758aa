"""A session whose memory nobody can control (no memory controller), as the daemon sees it: shown, hardly steered.

Its calls are counted, but what they use is not known, so no policy decides over them. An operator may end it, and
freeze its calls where they have cgroups.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agentcgroup.controller.calls import Calls
from agentcgroup.controller.hands import Hands
from agentcgroup.domain.leaf import CgroupLeaf
from agentcgroup.domain.tree import SessionTree
from agentcgroup.kernel.meminfo import read_meminfo
from agentcgroup.model import Priority
from agentcgroup.policy.world import Action, CallId, CallState, SessionState, World
from agentcgroup.trace.writer import TraceWriter


@dataclass(slots=True)
class Onlooker:
    """Governs nothing (controller.decider.Governed); ``tree`` is None where there are no cgroups at all."""

    name: str
    tree: SessionTree | None
    calls: Calls
    trace: TraceWriter
    priority: Priority
    terminate: Callable[[str], None]
    _hands: Hands | None = field(init=False)

    def __post_init__(self) -> None:
        self._hands = None if self.tree is None else Hands(self.tree, self.trace.action)

    def world(self) -> World:
        """See Governed; the memory of the session and of its calls is not known, and given as 0."""
        memory = read_meminfo()
        calls = tuple(
            CallState(
                id=CallId(self.name, call.start.call),
                priority=Priority.NORMAL,
                started_s=call.start.started_ns / 1e9,
                memory_bytes=0,
                background=call.background,
            )
            for call in self.calls.running.values()
            if call.start.managed
        )
        state = SessionState(self.name, self.priority, 0, calls=calls)
        return World(time.monotonic(), memory.total_bytes, memory.available_bytes, (state,))

    def carry_out(self, actions: Sequence[Action]) -> None:
        """Nothing can be carried out, and no call waits for an answer."""

    def set_priority(self, priority: Priority) -> None:
        """See Governed. It is shown, and divides the CPU where that can be divided."""
        self.priority = priority
        self.trace.action(None, "priority", priority.name.lower())
        if self._hands is not None:
            self._hands.weigh_session(priority)

    def hold(self, frozen: bool, reason: str) -> None:
        """See Governed. The daemon refuses it where there are no cgroups."""
        if self._hands is None:
            return
        self.trace.action(None, "freeze" if frozen else "thaw", reason)
        for call in self.calls.running.values():
            if isinstance(call.leaf, CgroupLeaf):
                self._hands.hold_leaf(call.start.call, frozen)

    def end(self, reason: str) -> None:
        """See Governed."""
        self.trace.action(None, "end", reason)
        self.terminate(reason)

    def close(self) -> None:
        """The session is over."""
        if self._hands is not None:
            self._hands.close()
