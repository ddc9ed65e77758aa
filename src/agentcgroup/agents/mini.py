"""mini-swe-agent (checked with 2.4.6): `/bin/sh -c COMMAND` for each call, one after another."""

from __future__ import annotations

from agentcgroup.agents.profile import AgentProfile, rule
from agentcgroup.model import Label

PROFILE = AgentProfile(
    id="mini",
    title="mini-swe-agent",
    documentation=(
        "Each action is `/bin/sh -c COMMAND`, a child of the agent; calls of one turn run one after another. The path "
        "of the shell is fixed, so only the mount placement catches it."
    ),
    names=("mini", "mini-swe-agent", "mini-extra", "minisweagent"),
    packages=("mini-swe-agent",),
    rules=(rule(Label.CALL),),  # it starts no shell for itself
    baseline_bytes=240 << 20,
)
