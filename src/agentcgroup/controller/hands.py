"""The hands of a session: carries actions out on its cgroups, in the background, and records what was done and why.

What cannot be done is recorded (``freeze-refused``) and never raised: a host that offers less must not end a session.
The last word counts: of limits of one cgroup that wait to be written only the newest are, and nobody waits any longer
for a freeze to be confirmed that was taken back. So a policy may change its mind faster than the kernel can follow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from agentcgroup.controller.cases import Case
from agentcgroup.domain.tree import SessionTree
from agentcgroup.enforce.cgroups import CgroupEnforcer
from agentcgroup.enforce.result import Result
from agentcgroup.errors import CgroupError
from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.model import CPU_WEIGHTS, Priority
from agentcgroup.policy.hints import Hint, Level
from agentcgroup.policy.world import Freeze, Limit, Protect, Reclaim, Thaw, Tripwire

if TYPE_CHECKING:  # it brings the loader of BPF objects, which few sessions need
    from agentcgroup.controller.scheduling import Brake

Work = Callable[[], Awaitable[Result]]  # what the enforcer is to do, when it is its turn

_FREEZE_CONFIRMED_WITHIN_S = 5.0


class Hands:
    """Acts on ``tree``; ``note(call, action, reason)`` records. On the loop of the session; close it at the end.

    With a ``brake`` a call that a policy freezes softly is slowed by the scheduler instead, and frozen should that be
    lost.
    """

    def __init__(
        self, tree: SessionTree, note: Callable[[str | None, str, str], None], brake: Brake | None = None
    ) -> None:
        self._tree = tree
        self._note = note
        self._enforcer = CgroupEnforcer()
        self._tasks: set[asyncio.Task[None]] = set()
        self._wanted: dict[tuple[Path, str], Work | None] = {}  # by cgroup and verb: what is to be written next
        self._freezer: dict[str, asyncio.Task[None]] = {}  # by call: a freeze or thaw to be confirmed
        self._brake = brake
        self._slowed: set[str] = set()
        self._slowed_how = ""
        if brake is not None:
            brake.lost, self._slowed_how = self._brake_lost, brake.words

    def close(self) -> None:
        """What has not begun never does."""
        for task in self._tasks:
            task.cancel()
        self._enforcer.close()

    def on_leaf(self, case: Case, action: Limit | Reclaim | Freeze | Thaw) -> None:
        """Carry out an action on the leaf of a call, and keep its case up to date."""
        leaf = self._tree.calls.child(case.call)
        verb = type(action).__name__.lower()
        slowed = isinstance(action, Freeze) and self._slow(case.call, leaf, action)
        by_us = slowed and self._brake is not None
        if isinstance(action, Freeze) and not slowed and self._stands(case):
            return
        self._note(case.call, verb, f"{action.reason} ({self._slowed_how})" if by_us else action.reason)
        match action:
            case Limit():
                high, most = action.high_bytes, action.max_bytes
                case.limits = replace(case.limits, memory_high_bytes=high, memory_max_bytes=most)
                self._write(leaf, case.call, verb, lambda: self._enforcer.set_limits(leaf, high, most, self._most()))
            case Reclaim():
                self._spawn(self._report(case.call, verb, lambda: self._enforcer.reclaim(leaf, action.bytes)))
            case Freeze():
                case.frozen.begin()
                if not slowed:
                    self._release(case.call, leaf)
                    self.hold_leaf(case.call, True)
            case Thaw():
                case.frozen.end()
                if not self._release(case.call, leaf) and case.held.since_s is None:  # else the operator thaws it
                    self.hold_leaf(case.call, False)

    def protect(self, action: Protect) -> None:
        """Set memory.low and memory.min of the session, and memory.min of the agent in it."""
        for cgroup in (self._tree.session, self._tree.agent):
            low = action.low_bytes if cgroup == self._tree.session else action.min_bytes
            self._write(cgroup, None, "protect", partial(self._enforcer.protect, cgroup, low, action.min_bytes))

    def stretch(self, action: Tripwire) -> None:
        """Set memory.high of calls/."""
        calls = self._tree.calls
        self._write(calls, None, "tripwire", lambda: self._enforcer.set_limits(calls, action.high_bytes, self._most()))

    def hold(self, case: Case, frozen: bool) -> None:
        """Freeze a call for an operator, or let it go on unless a policy has frozen it as well.

        Each leaf by itself, since the client of a call thaws its leaf, and no more, when the controller is gone.
        """
        if frozen:
            case.held.begin()
        else:
            case.held.end()
        if frozen or case.frozen.since_s is None:
            self.hold_leaf(case.call, frozen)

    def hold_leaf(self, call: str, frozen: bool) -> None:
        """Freeze or thaw the leaf of a call of which nothing else is known."""
        leaf = self._tree.calls.child(call)
        if (before := self._freezer.get(call)) is not None:
            before.cancel()
        if frozen:
            freeze = partial(self._enforcer.freeze, leaf, timeout_s=_FREEZE_CONFIRMED_WITHIN_S)
            task = self._spawn(self._report(call, "freeze", freeze))
        else:
            task = self._spawn(self._report(call, "thaw", lambda: self._enforcer.thaw(leaf)))
        self._freezer[call] = task
        task.add_done_callback(partial(self._settled, call))

    def _settled(self, call: str, task: asyncio.Task[None]) -> None:
        if self._freezer.get(call) is task:
            del self._freezer[call]

    def weigh_session(self, priority: Priority) -> None:
        """Set cpu.weight of the session by its priority."""
        _weigh(self._tree.session, CPU_WEIGHTS[priority])

    def weigh_call(self, case: Case) -> None:
        """Set cpu.weight of a leaf by what its call declares, if it does."""
        if (weight := _declared_weight(case.hint)) is not None:
            _weigh(self._tree.calls.child(case.call), weight)

    def _slow(self, call: str, leaf: Cgroup, freeze: Freeze) -> bool:
        """Slow a call in place of a freeze that is soft, unless that is done; False when it has to be frozen."""
        ours = freeze.soft and self._brake is not None and self._brake.slow(leaf.path)
        if ours or freeze.slowed:
            self._slowed.add(call)
        return ours or freeze.slowed

    def _release(self, call: str, leaf: Cgroup) -> bool:
        """Slow a call no longer; False when it was not."""
        if call not in self._slowed:
            return False
        self._slowed.discard(call)
        if self._brake is not None:
            self._brake.release(leaf.path)
        return True

    def _stands(self, case: Case) -> bool:
        """Whether a policy has frozen the call already, and it does not only go slowly."""
        return case.frozen.since_s is not None and case.call not in self._slowed

    def _brake_lost(self) -> None:
        """What the scheduler has slowed runs freely now: freeze it, as it would have been without."""
        for call in sorted(self._slowed):
            if self._tree.calls.child(call).exists:
                self._note(call, "freeze", "the scheduler that slowed it is gone")
                self.hold_leaf(call, True)
        self._slowed.clear()

    def _most(self) -> int | None:
        return self._tree.calls.read_max("memory.max")

    def _write(self, cgroup: Cgroup, call: str | None, verb: str, work: Work) -> None:
        """Do ``work`` next, in place of what waits for its turn at the same files."""
        key = cgroup.path, verb
        at_it = key in self._wanted
        self._wanted[key] = work
        if not at_it:
            self._spawn(self._write_all(key, call, verb))

    async def _write_all(self, key: tuple[Path, str], call: str | None, verb: str) -> None:
        """One after the other, since the writes are made in threads and the last one shall be the last."""
        try:
            while (work := self._wanted[key]) is not None:
                self._wanted[key] = None
                await self._report(call, verb, work)
        finally:
            del self._wanted[key]

    async def _report(self, call: str | None, verb: str, work: Work) -> None:
        """Wait for what the enforcer does, and record why it could not."""
        result = await work()
        if not result.done and not result.gone and result.why:  # who has ended meanwhile needs nothing more
            self._note(call, f"{verb}-refused", result.why)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _weigh(cgroup: Cgroup, weight: int) -> None:
    with suppress(CgroupError):  # the cpu controller may not be ours
        cgroup.write("cpu.weight", weight)


def _declared_weight(hint: Hint) -> int | None:
    """cpu.weight (1..10000, 100 is usual) by a declared need of CPU, else by a declared priority; None: neither."""
    if hint.cpu is None:
        return None if hint.priority is None else CPU_WEIGHTS[hint.priority]
    if isinstance(hint.cpu, Level):
        return 50 if hint.cpu is Level.LOW else 200
    return max(1, min(10_000, round(100 * hint.cpu)))
