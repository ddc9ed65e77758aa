"""The rule table's form, and the profiles' own consistency."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agentcgroup.agents import launchers, registry
from agentcgroup.agents.profile import CHILD, AgentProfile, Condition, Rule, arg_is, rule
from agentcgroup.errors import UsageError
from agentcgroup.model import Label

# As docs/reference/client-protocol.md has them.
_CONDITION = (
    r"(sid|nosid|tty|notty|child|nochild|argc=\d+|arg\d+(=|\^|\$|~|!~)[^\t\n\0]*"
    r"|env=[A-Za-z_]\w*|noenv=[A-Za-z_]\w*)"
)


@pytest.mark.parametrize("force", [None, *registry.agent_ids()])
def test_the_table_is_in_the_protocols_form_and_fits(force: str | None) -> None:
    table = registry.rule_table(force)
    assert len(table.encode()) <= registry.RULES_BYTES
    assert table.endswith("\n")
    assert "\0" not in table
    lines = [line.split("\t") for line in table.splitlines()]
    assert [line[0] for line in lines].count("launchers") == 1
    assert lines[0][0] == "launchers"
    assert [line[1] for line in lines if line[0] == "agent"] == [each.id for each in registry.PROFILES]
    forced = [line[1] for line in lines if line[0] == "force"]
    assert forced == ([] if force in (None, "auto") else [force])
    assert {line[0] for line in lines} <= {"launchers", "agent", "rule", "force"}


def test_every_rule_is_one_that_the_client_knows() -> None:
    for line in registry.rule_table().splitlines():
        kind, *fields = line.split("\t")
        if kind == "rule":
            assert fields[0] in ("call", "probe", "hook", "helper")
            for condition in fields[1:]:
                assert re.fullmatch(_CONDITION, condition), condition


def test_no_name_stands_for_two_things() -> None:
    names = [name for each in registry.PROFILES for name in each.names]
    assert len(names) == len(set(names))
    assert not set(names) & set(launchers.table_names())
    # An interpreter among the launchers would hide every agent written for it.
    assert not {"python", "python3", "node", "bun", "deno", "ruby", "perl"} & set(launchers.table_names())


def test_a_profile_is_found_by_its_id_only() -> None:
    assert [registry.profile(each.id) for each in registry.PROFILES] == list(registry.PROFILES)
    for wrong in ("", "auto", "Claude", "vim"):
        with pytest.raises(UsageError, match="choose one of auto, claude"):
            registry.profile(wrong)
    with pytest.raises(UsageError):
        registry.rule_table("vim\nagent")


def test_known_agents_say_what_they_need_and_how_they_are_caught() -> None:
    for each in registry.PROFILES:
        assert each.title
        assert each.documentation.endswith(".")
        assert each.names or each.id in ("generic", "command")
    for agent in ("claude", "codex", "opencode", "gemini", "mini", "openhands"):
        baseline = registry.profile(agent).baseline_bytes
        assert baseline is not None
        assert 100 << 20 < baseline < 1 << 30


def test_without_a_known_agent_the_variables_of_all_are_set() -> None:
    assert registry.environment(registry.profile("codex")) == {}
    assert registry.environment() == {"CLAUDE_CODE_TOOL_MEMORY_LIMIT": "none"}
    assert registry.shell_variables(registry.profile("opencode")) == ("SHELL",)
    assert registry.shell_variables() == ("SHELL", "CLAUDE_CODE_SHELL")


@pytest.mark.parametrize("text", ["", "arg2~a\tb", "arg2~a\nrule\tcall", "env=\0"])
def test_a_condition_cannot_break_out_of_its_field(text: str) -> None:
    with pytest.raises(ValueError, match="condition"):
        Condition(text)


def test_a_rule_gives_only_labels_of_the_table() -> None:
    assert rule(Label.CALL, CHILD, arg_is(1, "-c")).line() == "rule\tcall\tchild\targ1=-c"
    for label in (Label.COMMAND, Label.LAUNCHER):
        with pytest.raises(ValueError, match="given by the client itself"):
            Rule(label, (CHILD,))


@pytest.mark.parametrize("name", ["", "a\tb", "a\nb", "usr/bin/a"])
def test_a_name_is_one_field_and_no_path(name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        AgentProfile(id="x", title="x", documentation="x.", names=(name,))


def test_the_reference_has_every_agent() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "agents.md").read_text()
    for each in registry.PROFILES:
        assert f"| `{each.id}` |" in page
        for name, value in each.environment:
            assert f"`{name}={value}`" in page
        if each.baseline_bytes is not None:
            assert f"{each.baseline_bytes >> 20} MiB" in page
