"""SWE-ReX (1.4.0): one persistent shell per session; each command is announced by a syntax check."""

from __future__ import annotations

from agentcgroup.agents.profile import SESSION_LEADER, AgentProfile, arg_begins, arg_ends, arg_is, argc, rule
from agentcgroup.model import Label

_END = "SOUNIQUEEOF"

SYNTAX_CHECK = rule(Label.PROBE, arg_is(1, "-c"), arg_begins(2, f"/usr/bin/env bash -n << '{_END}'"), arg_ends(2, _END))
"""The check that it makes of each command, before it types it into its persistent shell."""

PROFILE = AgentProfile(
    id="swe-rex",
    title="SWE-ReX",
    documentation=(
        "run_in_session types into one persistent shell, which stays in the agent's leaf: its commands are counted as "
        "uncaught, and the syntax check before each is labelled a probe. execute() with a shell is a call."
    ),
    names=("swerex-remote",),
    packages=("swe-rex",),
    rules=(
        SYNTAX_CHECK,
        rule(Label.HELPER, SESSION_LEADER, argc(1)),
        rule(Label.CALL, arg_is(1, "-c")),
    ),
    uses_path=True,
)
