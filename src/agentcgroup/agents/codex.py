"""Codex CLI (checked with 0.169.0): every tool shell carries the id of its call in the environment."""

from __future__ import annotations

from agentcgroup.agents.profile import (
    CHILD,
    SESSION_LEADER,
    AgentProfile,
    arg_begins,
    arg_contains,
    arg_ends,
    arg_is,
    env_has,
    rule,
)
from agentcgroup.model import Label

PROFILE = AgentProfile(
    id="codex",
    title="Codex CLI",
    documentation=(
        "Each command, also on a terminal or in another shell, has CODEX_TOOL_CALL_ID in its environment, and its "
        "id is in the trace. Hooks and the shells that take a snapshot of the user's settings have not. The shell is "
        "the one of the passwd entry, so only the mount placement catches it."
    ),
    names=("codex", "codex.js"),
    packages=("@openai/codex",),
    rules=(
        # First, so that no text in a command makes it a probe.
        rule(Label.CALL, env_has("CODEX_TOOL_CALL_ID")),
        rule(Label.PROBE, CHILD, arg_is(1, "-lc"), arg_contains(2, "# Snapshot file")),
        rule(Label.PROBE, CHILD, arg_is(1, "-c"), arg_begins(2, "set -e; . "), arg_contains(2, "/shell_snapshots/")),
        rule(Label.PROBE, CHILD, arg_ends(1, "/lsb_release")),
        rule(Label.HOOK, CHILD, SESSION_LEADER, arg_is(1, "-c")),
    ),
    baseline_bytes=155 << 20,
)
