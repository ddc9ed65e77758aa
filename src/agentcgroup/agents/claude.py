"""Claude Code (checked with 2.1.329 and 2.1.197): a fresh session-leading bash or zsh for each use of Bash."""

from __future__ import annotations

from agentcgroup.agents.profile import (
    CHILD,
    NO_SESSION_LEADER,
    SESSION_LEADER,
    AgentProfile,
    arg_begins,
    arg_contains,
    arg_is,
    env_has,
    rule,
)
from agentcgroup.model import Label

# The probes come first, but are compared in places that a model cannot write to: argv[2] of a tool shell is always the
# agent's own wrapper around the command. Every tool shell loads the snapshot of the user's shell and ends by noting
# the directory it is in, for the next call: one of the two is there with any shell, prefix or setting. With a
# snapshot the command is argv[2] of `-c COMMAND`; without one it is argv[3] of `-c -l COMMAND`.
_SNAPSHOT = "/shell-snapshots/snapshot-"
_SAVED_DIRECTORY = "pwd -P >|"

PROFILE = AgentProfile(
    id="claude",
    title="Claude Code",
    documentation=(
        "Each use of the Bash tool is one shell, a child of the main process and a session leader, also for "
        "sub-agents and for commands in the background. Hooks are session leaders too, and what they start "
        "is told apart by their environment. "
        "Grep and Glob run inside the agent, MCP servers beside it: neither is a call."
    ),
    names=("claude", "claude.exe"),
    packages=("@anthropic-ai/claude-code",),
    rules=(
        rule(Label.PROBE, arg_is(1, "-c"), arg_is(2, "env")),
        rule(Label.PROBE, arg_is(1, "-c"), arg_is(2, "-l"), arg_begins(3, "SNAPSHOT_FILE=")),
        rule(Label.PROBE, CHILD, NO_SESSION_LEADER, arg_is(1, "-c"), arg_begins(2, 'ps aux | grep -E "code|cursor|')),
        rule(Label.CALL, arg_contains(2, _SNAPSHOT)),
        rule(Label.CALL, arg_contains(2, _SAVED_DIRECTORY)),
        rule(Label.CALL, arg_contains(3, _SAVED_DIRECTORY)),
        # MCP servers have the project's directory too, but not the process id; tool shells the other way round.
        rule(Label.HOOK, env_has("CLAUDE_PROJECT_DIR"), env_has("CLAUDE_PID")),
        rule(Label.HOOK, CHILD, SESSION_LEADER, arg_is(1, "-c")),
    ),
    baseline_bytes=190 << 20,
    shell_variables=("SHELL", "CLAUDE_CODE_SHELL"),
    # Its own memory cap would move tool shells to one cgroup for all, beside the agent's: out of our call leaves.
    environment=(("CLAUDE_CODE_TOOL_MEMORY_LIMIT", "none"),),
)
