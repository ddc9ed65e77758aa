"""OpenHands (SDK and tools 1.58.0): one persistent shell for all calls, so nothing to catch one to one."""

from __future__ import annotations

from agentcgroup.agents.profile import AgentProfile

PROFILE = AgentProfile(
    id="openhands",
    title="OpenHands",
    documentation=(
        "Commands are typed into one persistent shell (`nice -n 10 bash -i`, or a tmux server), which stays in the "
        "agent's leaf: its commands are counted as uncaught."
    ),
    names=("openhands", "openhands-agent-server", "openhands.agent_server"),
    packages=("openhands", "openhands-ai", "openhands-sdk"),
    baseline_bytes=273 << 20,
    uses_path=True,
)
