"""aider (0.86.2): `/bin/sh -c` for its test and lint commands, `$SHELL -i -c` where it has a terminal."""

from __future__ import annotations

from agentcgroup.agents.profile import CHILD, AgentProfile, arg_is, rule
from agentcgroup.model import Label

PROFILE = AgentProfile(
    id="aider",
    title="aider",
    documentation=(
        "Commands run by /run, /test and /lint are `/bin/sh -c COMMAND` without a terminal and `$SHELL -i -c COMMAND` "
        "with one; both are calls. Only the mount placement catches the first."
    ),
    names=("aider",),
    packages=("aider-chat",),
    rules=(
        rule(Label.CALL, CHILD, arg_is(1, "-c")),
        rule(Label.CALL, CHILD, arg_is(1, "-i"), arg_is(2, "-c")),
    ),
    shell_variables=("SHELL",),
)
