"""Gemini CLI (checked with 0.61.0): a fresh session-leading bash with a wrapped command for each call."""

from __future__ import annotations

from agentcgroup.agents.profile import CHILD, SESSION_LEADER, AgentProfile, arg_is, env_has, env_lacks, rule
from agentcgroup.model import Label

PROFILE = AgentProfile(
    id="gemini",
    title="Gemini CLI",
    documentation=(
        "Each use of run_shell_command is `bash -c COMMAND` from PATH, a child of the inner node process and a "
        "session leader. Hooks have no session of their own, and another environment."
    ),
    names=("gemini", "gemini.js"),
    packages=("@google/gemini-cli",),
    rules=(
        rule(Label.CALL, CHILD, SESSION_LEADER, arg_is(1, "-c"), env_has("GEMINI_CLI")),
        # Only hooks and what they start have the project's directory; MCP servers and tool shells have GEMINI_CLI.
        rule(Label.HOOK, env_has("GEMINI_PROJECT_DIR"), env_lacks("GEMINI_CLI")),
    ),
    baseline_bytes=428 << 20,
    uses_path=True,
)
