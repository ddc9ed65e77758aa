"""The kernel of the simulation: it moves the memory of calls, meets limits, brakes, takes back, kills, and tells.

What it assumes is written down in `memory`. It knows nothing of policies: what happens goes out through `Events`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from agentcgroup.policy.world import CallId, Moved, Signal, Stalled
from agentcgroup.replay.call import Call
from agentcgroup.replay.machine import NEVER, Clock, Pool
from agentcgroup.replay.memory import Host, brake_bytes
from agentcgroup.replay.result import Ending

_PSI_STALL_S, _PSI_WINDOW_S, _PSI_LATE_S = 0.05, 0.5, 0.05


class Events(Protocol):
    """Who hears of what happens."""

    def signal(self, signal: Signal) -> None:
        """A counter moved, or tasks stall; the policy hears of it a little later."""

    def ended(self, call: Call, ending: Ending, why: str, rule: str) -> None:
        """A call is over, and its memory free."""

    def agent_died(self, session: str) -> None:
        """The kernel killed an agent. Its calls go on until they are ended."""


@dataclass(slots=True, eq=False)
class Group:
    """The calls of one session, and what they share."""

    name: str
    pool: Pool
    agent_bytes: int = 0  # while the agent lives
    calls: dict[CallId, Call] = field(default_factory=dict)


class Kernel:
    """See the module. All instants are those of ``clock``."""

    def __init__(self, clock: Clock, host: Host, events: Events) -> None:
        self.clock = clock
        self.host = host
        self.pool = Pool(float(host.memory_bytes))
        self.groups: dict[str, Group] = {}
        self.swap_used = 0.0
        self._events = events

    # What is done to calls

    def agent(self, name: str, size: int) -> None:
        """The agent of a session uses ``size`` bytes from now on."""
        group = self.groups[name]
        self.pool.change(self.clock.now_s, size - group.agent_bytes, 0.0)
        group.agent_bytes = size
        self._watch(self.pool, None)

    def begin(self, call: Call) -> None:
        """A call begins."""
        group = self.groups[call.id.session]
        group.calls[call.id] = call
        self._move(group, call.used, 0.0)
        self._go_on(group, call)

    def end(self, id_: CallId, ending: Ending, why: str = "", rule: str = "") -> None:
        """A call is ended from outside; nothing happens when it is over already, or just then."""
        if found := self._running(id_):
            self._end(*found, ending, why, rule)

    def limit(self, id_: CallId, high: int | None, most: int | None) -> None:
        """Set memory.high and memory.max of a call; max is never set below what is in use."""
        if found := self._running(id_):
            group, call = found
            call.high = high
            call.max = most if most is None or call.used <= most else call.max
            if high is not None:
                self._give_back(group, call, call.used - high)
            self._go_on(group, call)

    def reclaim(self, id_: CallId, size: int) -> None:
        """Take back up to ``size`` bytes of a call: cache first, then what swap can hold."""
        if found := self._running(id_):
            self._swap_out(*found, size - self._give_back(*found, size))

    def freeze(self, id_: CallId) -> None:
        """Stop a call; it takes a moment."""
        if found := self._running(id_):
            call = found[1]
            call.stopping_s = self.clock.now_s
            self.clock.at(self.clock.now_s + self.host.freeze_s, self._stop, *found, call.stopping_s)

    def thaw(self, id_: CallId) -> None:
        """Let a call go on, at once."""
        if found := self._running(id_):
            found[1].stopping_s, found[1].frozen = NEVER, False
            self._go_on(*found)

    def tripwire(self, name: str, high: int | None) -> None:
        """Set memory.high of calls/."""
        if group := self.groups.get(name):
            group.pool.high_bytes = high
            self._reconsider(group)
            self._watch(group.pool, group)

    # The course of calls

    def _running(self, id_: CallId) -> tuple[Group, Call] | None:
        """A call brought up to now; None when it is over, or ends right now."""
        group = self.groups.get(id_.session)
        call = group.calls.get(id_) if group else None
        if group is None or call is None:
            return None
        if self._advance(group, call):
            self._end(group, call, Ending.OK)
            return None
        return group, call

    def _go_on(self, group: Group, call: Call) -> None:
        """Set the course of a call from here, and when it is to be looked at again."""
        group.pool.advance(self.clock.now_s)
        before = call.rate
        after_s = call.aim()
        call.version += 1
        self._move(group, 0.0, call.rate - before)
        self._count_stall(group, call, call.stalled)
        if after_s < NEVER:
            self.clock.at(self.clock.now_s + after_s, self._step, group, call, call.version)

    def _step(self, group: Group, call: Call, version: int) -> None:
        """A call has come to a point of its curve, to a limit, or through a batch beyond memory.high."""
        if call.version != version or call.id not in group.calls:
            return
        if self._advance(group, call):
            self._end(group, call, Ending.OK)
            return
        if call.grows:
            if call.max is not None and call.used >= call.max - 1 and not self._spare(group, call, call.max):
                self._moved(group, call.id, max=1, oom=1, oom_kill=1)
                self._end(group, call, Ending.OOM, "it passed its memory.max")
                return
            if call.high is not None and call.used >= call.high - 1 and not self._spare(group, call, call.high):
                self._moved(group, call.id, high=1)
            elif group.pool.high_bytes is not None and group.pool.bytes >= group.pool.high_bytes:
                self._moved(group, None, high=1)
        self._go_on(group, call)

    def _spare(self, group: Group, call: Call, limit: int) -> bool:
        """Whether cache could be taken back, so that a limit does not bite."""
        return self._give_back(group, call, call.used - limit + brake_bytes(limit)) > 0

    def _advance(self, group: Group, call: Call) -> bool:
        """Bring a call up to now, and the pools with it; whether its work is done."""
        expected, swapped = call.used_at(self.clock.now_s), call.swapped
        done = call.advance(self.clock.now_s)
        self.swap_used -= swapped - call.swapped
        self._move(group, call.used - expected, 0.0)
        return done

    def _end(self, group: Group, call: Call, ending: Ending, why: str = "", rule: str = "") -> None:
        self._advance(group, call)
        self._count_stall(group, call, False)
        self._move(group, -call.used, -call.rate)
        self.swap_used -= call.swapped
        del group.calls[call.id]
        self._events.ended(call, ending, why, rule)

    def _stop(self, group: Group, call: Call, since_s: float) -> None:
        """It has stopped, unless it was let go meanwhile."""
        if call.stopping_s == since_s and self._running(call.id):
            call.frozen = True
            self._go_on(group, call)

    def _reconsider(self, group: Group) -> None:
        """Work out anew how fast the calls of a session go: a limit that they share was met or moved."""
        for id_ in list(group.calls):
            if found := self._running(id_):
                self._go_on(*found)

    # Pools

    def _move(self, group: Group, size: float, rate: float) -> None:
        if size or rate:
            for pool, owner in ((group.pool, group), (self.pool, None)):
                pool.change(self.clock.now_s, size, rate)
                self._watch(pool, owner)

    def _watch(self, pool: Pool, group: Group | None) -> None:
        meets_s = pool.meets_s()
        if meets_s < pool.due_s:
            pool.due_s = meets_s
            self.clock.at(meets_s, self._meet, pool, group, meets_s)

    def _meet(self, pool: Pool, group: Group | None, due_s: float) -> None:
        """A pool may be at one of its limits."""
        if pool.due_s != due_s:
            return
        pool.due_s = NEVER
        pool.advance(self.clock.now_s)
        if pool.full or pool.over > 1:
            self._make_room(pool, group)
        elif group is not None and pool.high_bytes is not None and pool.bytes >= pool.high_bytes - 1:
            self._take_cache([group], pool.bytes - pool.high_bytes + brake_bytes(int(pool.high_bytes)))
            if pool.bytes >= pool.high_bytes - 1:
                self._moved(group, None, high=1)
                self._reconsider(group)
        self._watch(pool, group)

    def _make_room(self, pool: Pool, group: Group | None) -> None:
        """A limit is met: cache is taken back, then swap is filled, then somebody is killed."""
        groups = list(self.groups.values()) if group is None else [group]
        wanted = pool.over + brake_bytes(int(pool.max_bytes or 0))
        got = self._take_cache(groups, wanted)
        if self.host.swap_bytes > self.swap_used:
            calls = [(owner, call) for owner in groups for call in owner.calls.values()]
            for owner, call in sorted(calls, key=lambda item: -item[1].used):
                got += self._swap_out(owner, call, wanted - got) if got < wanted else 0.0
        if pool.full or pool.over > 1:
            self._kill_largest(groups, group)
        elif group is not None:
            self._moved(group, None, max=1)

    def _kill_largest(self, groups: Iterable[Group], group: Group | None) -> None:
        """The kernel finds no memory: below calls/ of ``group``, or on the host."""
        now_s = self.clock.now_s
        calls = [(owner, call) for owner in groups for call in owner.calls.values()]
        largest = max(calls, key=lambda item: (item[1].used_at(now_s), item[1].began_s, item[1].id.call), default=None)
        if group is None and (largest is None or not self.host.agents_protected):
            agent = max(self.groups.values(), key=lambda owner: (owner.agent_bytes, owner.name))
            if largest is None or agent.agent_bytes > largest[1].used_at(now_s):
                self._events.agent_died(agent.name)
                return
        if largest is not None:
            owner, call = largest
            if group is not None:
                self._moved(group, None, max=1, oom=1)
            self._moved(owner, call.id, oom_kill=1)
            where = "on the host" if group is None else "for the calls of its session"
            self._end(owner, call, Ending.OOM, f"the kernel found no memory {where}")

    # Reclaim

    def _take_cache(self, groups: Iterable[Group], wanted: float) -> float:
        """Take back page cache, from whoever has most; how much it was."""
        found = [(owner, call) for owner in groups for call in owner.calls.values() if call.task.cache_share]
        taken = 0.0
        for owner, call in sorted(found, key=lambda item: -item[1].cache):
            taken += self._give_back(owner, call, wanted - taken) if taken < wanted else 0.0
        return taken

    def _give_back(self, group: Group, call: Call, wanted: float) -> float:
        """Take cache from one call; how much it was."""
        if not call.task.cache_share:
            return 0.0
        self._advance(group, call)
        size = min(call.cache, max(0.0, wanted))
        return self._take(group, call, size, swap=False) if size > 0 else 0.0

    def _swap_out(self, group: Group, call: Call, wanted: float) -> float:
        """Move memory of a call to swap, while there is room; how much it was."""
        self._advance(group, call)
        size = min(wanted, call.used - call.cache, self.host.swap_bytes - self.swap_used)
        return self._take(group, call, size, swap=True) if size > 0 else 0.0

    def _take(self, group: Group, call: Call, size: float, swap: bool) -> float:
        if swap:
            call.swapped += size
            call.debt_s += 2 * size / self.host.swap_bytes_per_s
            self.swap_used += size
        else:
            call.dropped += size
        self._move(group, -size, 0.0)
        if call.piece < len(call.task.curve) - 1:  # else it ends right now
            self._go_on(group, call)
        return size

    # What is told

    def _moved(self, group: Group, call: CallId | None, **counts: int) -> None:
        self._events.signal(Moved(group.name, call, **counts))

    def _count_stall(self, group: Group, call: Call, stalled: bool) -> None:
        if call.counted == stalled:
            return
        call.counted = stalled
        now_s = self.clock.now_s
        for pool, name in ((group.pool, group.name), (self.pool, None)):
            pool.stalled += 1 if stalled else -1
            if pool.stalled == 0:
                pool.stalled_s = NEVER
            elif pool.stalled_s == NEVER:
                pool.stalled_s = now_s
                self.clock.at(now_s + _PSI_STALL_S + _PSI_LATE_S, self._press, pool, name, now_s)

    def _press(self, pool: Pool, name: str | None, since_s: float) -> None:
        if pool.stalled_s == since_s:
            self._events.signal(Stalled(name, int(_PSI_STALL_S * 1e6), int(_PSI_WINDOW_S * 1e6)))
            self.clock.at(self.clock.now_s + _PSI_WINDOW_S, self._press, pool, name, since_s)
