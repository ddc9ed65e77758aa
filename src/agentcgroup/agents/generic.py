"""Agents that are not known by name: any program that starts shells, such as one with `subprocess.run`.

Two ids share the rules. `generic`: the agent is the first program below COMMAND's launchers. `command`: the agent
is COMMAND itself, whatever it is called, for an agent that is a shell script or bears the name of a launcher.
"""

from __future__ import annotations

from agentcgroup.agents.inspect_ai import SANDBOX_PROBE
from agentcgroup.agents.profile import TERMINAL, AgentProfile, arg_begins, arg_is, argc, rule
from agentcgroup.agents.swe_rex import SYNTAX_CHECK
from agentcgroup.model import Label

_RULES = (
    # A library many editors and agents use asks an interactive login shell for the user's environment.
    rule(Label.PROBE, arg_is(1, "-ilc"), arg_begins(2, 'echo -n "_SHELL_ENV_DELIMITER_"; env;')),
    # Frameworks that are imported by a program of another name.
    SYNTAX_CHECK,
    SANDBOX_PROBE,
    # A shell that is typed into for the whole session: as one call it would end at the call's timeout and at
    # the first command that needs too much memory, and with it the agent.
    rule(Label.HELPER, argc(2), arg_is(1, "-i")),
    rule(Label.HELPER, TERMINAL, argc(1)),
)

PROFILE = AgentProfile(
    id="generic",
    title="any other agent",
    documentation=(
        "Every shell that the agent or one of its workers starts is a call, whether a session leader or not; a shell "
        "inside a call belongs to that call. A persistent shell (`bash -i`, or a bare shell on a terminal of "
        "its own) stays in the agent's leaf, its commands are counted as uncaught."
    ),
    rules=_RULES,
    shell_variables=("SHELL",),
    uses_path=True,
)

COMMAND = AgentProfile(
    id="command",
    title="COMMAND itself",
    documentation="As generic, but COMMAND itself is the agent: for agents that are shell scripts.",
    rules=_RULES,
    shell_variables=("SHELL",),
    uses_path=True,
)
