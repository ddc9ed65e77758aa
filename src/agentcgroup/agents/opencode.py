"""OpenCode (checked with 1.18.33): a fresh session-leading $SHELL with the bare command for each call."""

from __future__ import annotations

from agentcgroup.agents.profile import CHILD, SESSION_LEADER, AgentProfile, arg_is, rule
from agentcgroup.model import Label

PROFILE = AgentProfile(
    id="opencode",
    title="OpenCode",
    documentation=(
        "Each use of the bash tool is `$SHELL -c COMMAND`, a child and a session leader. Its grep and glob tools "
        "start ripgrep without a shell: no calls."
    ),
    names=("opencode",),
    packages=("opencode-ai",),
    rules=(
        rule(Label.CALL, CHILD, SESSION_LEADER, arg_is(1, "-c")),
        rule(Label.CALL, CHILD, SESSION_LEADER, arg_is(1, "-lc")),
    ),
    baseline_bytes=535 << 20,
    shell_variables=("SHELL",),
)
