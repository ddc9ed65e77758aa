"""One session as a policy sees it, read from its cgroups now."""

from __future__ import annotations

import time

from agentcgroup.controller.calls import Call, Calls
from agentcgroup.controller.cases import Case, Casebook
from agentcgroup.domain.leaf import CgroupLeaf
from agentcgroup.domain.tree import SessionTree
from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.counters import parse_pressure_totals
from agentcgroup.model import Priority
from agentcgroup.policy.world import CallId, CallState, SessionState

_YOUNG_S = 120.0  # after that nobody asks any more whether a call has shown what it needs
_TIGHT = 0.75  # of the room in use: from here on it matters what could be reclaimed, and memory.stat is worth reading


def session_state(name: str, priority: Priority, tree: SessionTree, calls: Calls, cases: Casebook) -> SessionState:
    """The session ``name`` and its running calls. A file that cannot be read counts as 0."""
    calls_bytes = tree.calls.read_max("memory.max")
    used = tree.calls.read_int("memory.current") or 0
    tight = calls_bytes is not None and used > _TIGHT * calls_bytes
    states = [_call_state(name, call, cases, tight) for call in calls.running.values() if call.start.managed]
    return SessionState(
        name=name,
        priority=priority,
        memory_bytes=tree.session.read_int("memory.current") or 0,
        budget_bytes=tree.session.read_max("memory.max"),
        calls_bytes=calls_bytes,
        agent_bytes=tree.agent.read_int("memory.current") or 0,
        calls=tuple(state for state in states if state is not None),
    )


def _call_state(session: str, call: Call, cases: Casebook, tight: bool) -> CallState | None:
    leaf, case = call.leaf, cases.get(call.start.call)
    if not isinstance(leaf, CgroupLeaf) or case is None:
        return None
    statistics = leaf.cgroup.read_keyed("memory.stat") if tight else {}
    return CallState(
        id=CallId(session, call.start.call),
        priority=case.priority,
        started_s=call.start.started_ns / 1e9,
        memory_bytes=leaf.cgroup.read_int("memory.current") or 0,
        expected_bytes=case.need_bytes,
        high_bytes=case.limits.memory_high_bytes,
        max_bytes=case.limits.memory_max_bytes,
        frozen=case.frozen.since_s is not None,
        reclaimable_bytes=statistics.get("inactive_file", 0) + statistics.get("active_file", 0),
        background=call.background,
        ends_s=case.ends_s(call.start.started_ns / 1e9),
        stood_s=_stood_s(call, leaf.cgroup, case),
    )


def _stood_s(call: Call, leaf: Cgroup, case: Case) -> float:
    """For how long it stood still: frozen, or no process of it had a CPU (``full`` of cpu.pressure, Linux 5.13).

    Where very many start at once, a call can be seconds old and not have come to its first allocation.
    """
    frozen_s = case.frozen.seconds + case.held.seconds
    if time.monotonic() - call.start.started_ns / 1e9 - frozen_s > _YOUNG_S:
        return frozen_s
    return frozen_s + parse_pressure_totals(leaf.read("cpu.pressure")).get("full", 0) / 1e6
