"""All agents: the client's rule table, and recognising an agent by the command line that starts it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agentcgroup.agents import (
    aider,
    claude,
    codex,
    gemini,
    generic,
    inspect_ai,
    launchers,
    mini,
    opencode,
    openhands,
    swe_rex,
)
from agentcgroup.agents.command_line import programs
from agentcgroup.agents.profile import AgentProfile
from agentcgroup.errors import UsageError

AUTO = "auto"
"""The id that stands for "by what runs"."""

PROFILES: tuple[AgentProfile, ...] = (
    claude.PROFILE,
    codex.PROFILE,
    opencode.PROFILE,
    gemini.PROFILE,
    mini.PROFILE,
    openhands.PROFILE,
    swe_rex.PROFILE,
    aider.PROFILE,
    inspect_ai.PROFILE,
    generic.PROFILE,
    generic.COMMAND,
)
"""Every known agent; the two that stand for unknown ones are last."""

RULES_BYTES = 16_383
"""The most bytes the rule table may have (field `rules` of the client's configuration, without its NUL)."""

# What may follow a package's name: a version (name@1.2, name==1.2, name>=1) or extras (name[full]).
_PACKAGE = re.compile(r"(@[^/@\s]+/)?[^@=<>~!\[\s]+")


def agent_ids() -> tuple[str, ...]:
    """The values of `--agent`: ``auto`` and every profile's id."""
    return (AUTO, *(each.id for each in PROFILES))


def profile(agent: str) -> AgentProfile:
    """The profile with the id ``agent``; UsageError when there is none."""
    for each in PROFILES:
        if each.id == agent:
            return each
    raise UsageError(f"no agent {agent!r} is known", f"choose one of {', '.join(agent_ids())}")


def rule_table(force: str | None = None) -> str:
    """The text of the client's rule table (client-protocol.md), at most `RULES_BYTES` bytes of UTF-8.

    ``force`` is the id that `--agent` gave: the agent is that one whatever runs. None or ``auto``: by names.
    """
    table = launchers.table_line() + "".join(each.section() for each in PROFILES)
    if force is not None and force != AUTO:
        table += f"force\t{profile(force).id}\n"
    return table


def recognise(argv: Sequence[str]) -> AgentProfile | None:
    """The agent that the command line ``argv`` starts, seen through launchers; None when it is not known.

    A guess for the check of the budget and for messages; while the agent runs, the client decides by
    what really runs.
    """
    for program in programs(argv):
        found = _PACKAGE.match(program)
        for each in PROFILES:
            if program in each.names or (found and found[0] in (*each.names, *each.packages)):
                return each
    return None


def environment(agent: AgentProfile | None = None) -> dict[str, str]:
    """Variables to set for the agent in every placement; for all known agents when it is not known which runs."""
    return {name: value for each in _one_or_all(agent) for name, value in each.environment}


def shell_variables(agent: AgentProfile | None = None) -> tuple[str, ...]:
    """Variables that name the agent's shell, for the placement without a mount namespace; of all agents for None.

    Each is to be the path of the stand-in of bash, in a folder that is first in PATH.
    """
    return tuple(dict.fromkeys(name for each in _one_or_all(agent) for name in each.shell_variables))


def _one_or_all(agent: AgentProfile | None) -> tuple[AgentProfile, ...]:
    return PROFILES if agent is None else (agent,)
