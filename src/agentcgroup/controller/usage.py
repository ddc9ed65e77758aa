"""What a whole session used, at its end."""

from __future__ import annotations

import resource
from dataclasses import replace

from agentcgroup.controller.sampler import Sampler
from agentcgroup.domain.tree import SessionTree
from agentcgroup.model import Usage, UsageSource


def session_usage(tree: SessionTree | None, sampled: Sampler, counts_memory: bool) -> tuple[Usage, Usage]:
    """Of the session, and of the agent itself; what no cgroup counts is the largest PSS sum sampled."""
    if tree is None:
        agent = Usage(source=UsageSource.PROC, memory_peak_bytes=sampled.agent_peak_bytes)
        return _of_children(sampled.session_peak_bytes), agent
    usage, agent = tree.session.usage(), tree.agent.usage()
    if counts_memory:
        return usage, agent
    return (
        replace(usage, source=UsageSource.CGROUP_CPU, memory_peak_bytes=sampled.session_peak_bytes),
        replace(agent, source=UsageSource.CGROUP_CPU, memory_peak_bytes=sampled.agent_peak_bytes),
    )


def _of_children(memory_peak_bytes: int | None) -> Usage:
    """The CPU time of all processes that ended and were waited for below this one: getrusage(2), RUSAGE_CHILDREN."""
    counted = resource.getrusage(resource.RUSAGE_CHILDREN)
    user_us, system_us = round(counted.ru_utime * 1e6), round(counted.ru_stime * 1e6)
    return Usage(
        source=UsageSource.PROC,
        memory_peak_bytes=memory_peak_bytes,
        cpu_time_us=user_us + system_us,
        cpu_user_us=user_us,
        cpu_system_us=system_us,
    )
