"""The cgroup tree of one session.

    <root>/<session>/      budget
        agent/             the agent itself; never limited on its own, never killed for the sake of a call
        calls/             all calls together, below the budget
            c000001/ …     one call each
            unmanaged/     commands whose client found no controller

Processes live in leaves only (the no-internal-process rule of cgroup v2).
"""

from __future__ import annotations

from dataclasses import dataclass

from agentcgroup.domain.budget import Budget, call_limits, calls_limits, session_limits
from agentcgroup.errors import CgroupError, UsageError
from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.delegation import Root
from agentcgroup.model import Limits

UNMANAGED = "unmanaged"


@dataclass(frozen=True, slots=True)
class SessionTree:
    """The cgroups of one session; ``limits_of_a_call`` is what every new leaf gets."""

    session: Cgroup
    agent: Cgroup
    calls: Cgroup
    limits_of_a_call: Limits
    missing: tuple[str, ...]  # limit files that this host does not offer

    @classmethod
    def create(cls, root: Root, session: str, budget: Budget, baseline_bytes: int = 0) -> SessionTree:
        """Make the tree below ``root`` and set its limits.

        Raises UsageError when a session of this name exists, CgroupError when the host refuses.
        """
        if root.cgroup.child(session).exists:
            raise UsageError(f"a session named {session!r} is running", "choose another --name")
        top = root.session(session)
        try:
            controllers = root.controllers
            missing = set(top.apply(session_limits(budget)))
            top.enable(controllers)
            agent = top.create("agent")
            calls = top.create("calls")
            missing |= set(calls.apply(calls_limits(budget, baseline_bytes)))
            calls.enable(controllers)
            limits = call_limits(budget, baseline_bytes)
            missing |= set(calls.create(UNMANAGED).apply(limits))
        except CgroupError:
            top.remove_tree()
            raise
        return cls(top, agent, calls, limits, tuple(sorted(missing)))

    def create_leaf(self, name: str) -> Cgroup:
        """A new, empty leaf for one call, with its limits."""
        leaf = self.calls.create(name)
        leaf.apply(self.limits_of_a_call)
        return leaf

    def end(self) -> None:
        """Kill what still runs in the session and remove its cgroups."""
        self.session.remove_tree()


def remove_stale(root: Cgroup, live: frozenset[str]) -> list[str]:
    """Remove sessions that nobody controls (not in ``live``) and in which nothing runs; returns their names."""
    removed = []
    for session in root.children():
        if session.path.name not in live and session.child("calls").exists and not session.populated():
            session.remove_tree()
            removed.append(session.path.name)
    return removed
