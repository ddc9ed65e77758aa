"""What a session says when it begins: to its agent, to the clients that stand in for shells, to its trace."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from agentcgroup import __version__
from agentcgroup.client.image import ClientConfig
from agentcgroup.controller.host import Ground
from agentcgroup.controller.settings import Settings
from agentcgroup.domain.budget import session_limits
from agentcgroup.feedback.budget import budget_text
from agentcgroup.model import OOM_SCORES, Limits
from agentcgroup.trace.records import Host, SessionStart

_HIGHEST_OOM_SCORE = 1000  # proc(5)


def budget_variables(settings: Settings, ground: Ground) -> dict[str, str]:
    """The variables that tell the agent what its commands may use; none where nothing limits them."""
    tree = ground.tree
    if tree is None or not ground.counts_memory:
        return {}
    text = budget_text(
        budget_bytes=tree.calls.read_max("memory.max"),
        call_bytes=settings.budget.call_memory_bytes,
        pids_max=tree.limits_of_a_call.pids_max,
        timeout_s=settings.call_timeout_s,
    )
    file = ground.run.path / "budget.txt"
    file.write_text(text.body)
    return {"AGENTCGROUP_BUDGET": text.line, "AGENTCGROUP_BUDGET_FILE": str(file)}


def client_config(settings: Settings, ground: Ground, root_pid: int, oom_score: int | None) -> ClientConfig:
    """What is written into the stand-ins. ``root_pid`` is COMMAND, ``oom_score`` this process's (None: not known).

    When the kernel kills for the whole host it shall take calls first, and those of lower priority before.
    """
    run, tree, own = ground.run, ground.tree, ground.cgroup_path
    higher = OOM_SCORES[settings.priority]
    return ClientConfig(
        real="/",  # each stand-in gets its own
        no_cgroup=tree is None,
        root_pid=root_pid,
        deadline_ms=settings.client_deadline_ms,
        sock=str(run.socket),
        pool=str(run.pool),
        journal=str(run.journal),
        agent_cgroup=f"{own}/agent" if tree else "",
        calls_cgroup=f"{own}/calls" if tree else "",
        calls_dir=str(tree.calls.path) if tree else "",
        rules=settings.rules,
        oom_score_adj=None if oom_score is None else min(_HIGHEST_OOM_SCORE, oom_score + higher),
    )


def session_start(settings: Settings, ground: Ground, pid: int) -> SessionStart:
    """The first record; ``pid`` is COMMAND's."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    tree = ground.tree
    return SessionStart(
        name=settings.session,
        argv=settings.argv,
        cwd=str(Path.cwd()),
        agent=settings.agent,
        support=ground.support,
        placement=ground.stand_ins.placement,
        host=Host(platform.node(), platform.release(), os.cpu_count(), memory),
        limits=session_limits(settings.budget) if tree else Limits(),
        call_limits=tree.limits_of_a_call if tree else Limits(),
        call_timeout_s=settings.call_timeout_s,
        keep_background_s=settings.keep_background_s,
        sample_hz=settings.sample_hz,
        cgroup=str(tree.session.path) if tree else None,
        agentcgroup_version=__version__,
        pid=pid,
    )
