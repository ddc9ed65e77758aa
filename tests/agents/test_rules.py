"""The rule table in the hands of the real client: shells as the real agents start them, and home-made ones.

The command lines and variables were recorded from the agents themselves (cut where they are long); that they still
are what the agents do is checked by test_real_agents.py.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from agentcgroup.agents.registry import rule_table
from tests.agents.ancestry import Shell, decide
from tests.client.harness import Controller

Decide = Callable[..., tuple[str, str]]


@pytest.fixture
def decided() -> Iterator[Decide]:
    """Label and agent of a shell below a chain of processes, by the real client."""
    with tempfile.TemporaryDirectory(prefix="acg-") as name:
        folder = Path(name)
        controller = Controller(folder / "s").start()

        def ask(chain: Sequence[str], shell: Shell, force: str | None = None) -> tuple[str, str]:
            return decide(folder, controller, rule_table(force), chain, shell)

        yield ask
        controller.stop()


_SNAPSHOT = "source /h/.claude/shell-snapshots/snapshot-bash-1-a.sh 2>/dev/null || true && eval 'make' < /dev/null"
_SAVES = "eval 'make' < /dev/null && pwd -P >| /tmp/claude-4911-cwd"
_IN_HOOK = {"CLAUDECODE": "1", "CLAUDE_PROJECT_DIR": "/w", "CLAUDE_PID": "7"}
_IN_TOOL = {"CLAUDECODE": "1", "CLAUDE_PID": "7"}
_IN_SERVER = {"CLAUDECODE": "1", "CLAUDE_PROJECT_DIR": "/w"}


@pytest.mark.parametrize(
    ("label", "shell"),
    [
        ("probe", Shell(["/bin/bash", "-c", "env"])),
        ("probe", Shell(["/bin/bash", "-c", "-l", "SNAPSHOT_FILE=/h/x.sh\n      # …"], leader=True)),  # in its TUI
        ("call", Shell(["/bin/bash", "-c", _SNAPSHOT], leader=True, environment=_IN_TOOL)),
        ("call", Shell(["/usr/bin/zsh", "-c", _SNAPSHOT], leader=True)),
        ("call", Shell(["/bin/bash", "-c", "-l", _SAVES], leader=True)),
        ("call", Shell(["/bin/bash", "-c", f"/opt/prefix '{_SAVES}'"], leader=True)),
        ("hook", Shell(["/bin/sh", "-c", "check"], leader=True)),
        ("hook", Shell(["bash", "-c", "nested in a hook"], environment=_IN_HOOK)),
        ("helper", Shell(["/bin/sh", "-c", "exec server"], environment=_IN_SERVER)),
        ("probe", Shell(["/bin/sh", "-c", 'ps aux | grep -E "code|cursor|windsurf" | grep -v grep'])),
        ("helper", Shell(["/bin/sh", "-c", 'CDPATH= cd -- /h; ssh "$@"', "cd", "git@host"])),  # of its git
    ],
)
def test_claude(decided: Decide, label: str, shell: Shell) -> None:
    assert decided(["claude"], shell) == (label, "claude")


_CODEX_TOOL = {"CODEX_TOOL_CALL_ID": "call_1"}


@pytest.mark.parametrize(
    ("label", "shell"),
    [
        ("call", Shell(["/bin/bash", "-c", "__CODEX_SNAPSHOT_OVERRIDE_SET_0=…"], True, _CODEX_TOOL)),
        ("call", Shell(["/bin/sh", "-c", "make"], True, _CODEX_TOOL)),
        # No command can pass itself off as a probe.
        ("call", Shell(["/bin/bash", "-lc", "echo '# Snapshot file'"], True, _CODEX_TOOL)),
        ("probe", Shell(["/bin/bash", "-lc", "if [ -z … ]; then\nfi\necho '# Snapshot file'"], True)),
        ("probe", Shell(["/bin/bash", "-c", 'set -e; . "/h/.codex/shell_snapshots/0.tmp-1"'], True)),
        ("probe", Shell(["/bin/sh", "/usr/bin/lsb_release", "-a"])),
        ("hook", Shell(["/bin/bash", "-c", "check"], True)),
        ("helper", Shell(["/bin/sh", "-c", "exec server"])),
    ],
)
def test_codex(decided: Decide, label: str, shell: Shell) -> None:
    assert decided(["node codex.js", "codex"], shell) == (label, "codex")


@pytest.mark.parametrize(
    ("label", "shell"),
    [
        ("call", Shell(["/bin/bash", "-c", "make"], True, {"OPENCODE": "1"})),
        ("helper", Shell(["/bin/sh", "-c", "exec server"], False, {"OPENCODE": "1"})),
    ],
)
def test_opencode(decided: Decide, label: str, shell: Shell) -> None:
    assert decided(["opencode"], shell) == (label, "opencode")


@pytest.mark.parametrize(
    ("label", "shell"),
    [
        ("call", Shell(["/usr/bin/bash", "-c", "shopt -u promptvars; (\nmake\n)"], True, {"GEMINI_CLI": "1"})),
        ("hook", Shell(["bash", "-c", "check"], False, {"GEMINI_PROJECT_DIR": "/w"})),
        ("helper", Shell(["/bin/sh", "-c", "exec server"], False, {"GEMINI_CLI": "1"})),
    ],
)
def test_gemini(decided: Decide, label: str, shell: Shell) -> None:
    assert decided(["node gemini", "node gemini"], shell) == (label, "gemini")


@pytest.mark.parametrize("chain", [["python3 mini"], ["uv", "python3 mini"], ["mini-swe-agent"]])
def test_mini(decided: Decide, chain: list[str]) -> None:
    assert decided(chain, Shell(["/bin/sh", "-c", "make"], leader=True)) == ("call", "mini")


@pytest.mark.parametrize(
    ("chain", "label", "shell"),
    [
        (["openhands"], "helper", Shell(["bash", "-i"], leader=True)),
        (["swerex-remote"], "helper", Shell(["bash"], leader=True)),
        (["swerex-remote"], "call", Shell(["/bin/sh", "-c", "make"])),
        (["aider"], "call", Shell(["/bin/sh", "-c", "make"])),
        (["aider"], "call", Shell(["/bin/bash", "-i", "-c", "make"], leader=True)),
        (["inspect"], "call", Shell(["bash", "--login", "-c", "make"])),
        (["inspect"], "probe", Shell(["/bin/sh", "-c", "inspect_image_path=${PATH-}\nPATH=…", "sh"])),
        (["python3 evaluate.py"], "probe", Shell(["/bin/sh", "-c", "inspect_image_path=${PATH-}\nPATH=…", "sh"])),
    ],
)
def test_the_others(decided: Decide, chain: list[str], label: str, shell: Shell) -> None:
    assert decided(chain, shell)[0] == label


@pytest.mark.parametrize(
    ("label", "shell"),
    [
        ("call", Shell(["bash", "-c", "make"])),
        ("call", Shell(["/bin/bash", "-lc", "make"], leader=True)),
        ("call", Shell(["/bin/bash", "-ec", "make"])),
        ("call", Shell(["/bin/sh", "./test.sh"])),
        ("call", Shell(["bash"])),  # reads its commands from stdin
        ("call", Shell(["bash", "-s"], leader=True)),
        ("helper", Shell(["bash", "-i"], leader=True)),
        ("call", Shell(["bash"], leader=True)),
        ("helper", Shell(["bash"], leader=True, terminal=True)),
        ("probe", Shell(["/bin/bash", "-ilc", 'echo -n "_SHELL_ENV_DELIMITER_"; env; echo -n "…"; exit'])),
        ("probe", Shell(["/bin/sh", "-c", "/usr/bin/env bash -n << 'SOUNIQUEEOF'\nmake\nSOUNIQUEEOF"])),
        ("call", Shell(["/bin/sh", "-c", "/usr/bin/env bash -n x; make"])),
    ],
)
def test_a_home_made_agent(decided: Decide, label: str, shell: Shell) -> None:
    assert decided(["python3 agent.py"], shell) == (label, "generic")


@pytest.mark.parametrize("chain", [["python3 agent.py", "python3 worker.py"], ["python3 agent.py", "npm"]])
def test_what_a_home_made_agents_workers_start_is_a_call(decided: Decide, chain: list[str]) -> None:
    assert decided(chain, Shell(["bash", "-c", "make"])) == ("call", "generic")


_TOOL_SHELL = Shell(["/bin/bash", "-c", _SNAPSHOT], leader=True)


@pytest.mark.parametrize(
    "launchers",
    [
        ["npm"],  # `npx` names itself "npm exec …"
        ["npm", "sh"],
        ["node npx"],
        ["bash"],
        ["timeout"],
        ["make", "sh"],
        ["uv", "python3 anything.py"],
        ["-bash"],
        ["sudo", "npm", "sh"],
    ],
)
def test_launchers_are_no_agents(decided: Decide, launchers: list[str]) -> None:
    assert decided([*launchers, "claude"], _TOOL_SHELL) == ("call", "claude")


@pytest.mark.parametrize(
    "launchers", [["npm"], ["node npx"], ["bash"], ["make"], ["timeout", "npm"], ["uvx"], ["tmux"]]
)
def test_a_launchers_own_shell_is_no_call(decided: Decide, launchers: list[str]) -> None:
    assert decided(launchers, Shell(["sh", "-c", "claude -p hi"]))[0] == "launcher"


@pytest.mark.parametrize(
    "chain",
    [["npm", "sh", "python3 agent.py"], ["bash", "agent"], ["bun agent.ts"], ["python3 script.py"], ["node agent.js"]],
)
def test_a_home_made_agent_below_launchers(decided: Decide, chain: list[str]) -> None:
    assert decided(chain, Shell(["bash", "-c", "make"])) == ("call", "generic")


def test_a_shell_script_is_an_agent_when_it_is_said_to_be_one(decided: Decide) -> None:
    shell = Shell(["bash", "-c", "make"])
    assert decided(["bash"], shell) == ("launcher", "generic")
    assert decided(["bash"], shell, "command") == ("call", "command")


def test_a_forced_agent_may_have_any_name(decided: Decide) -> None:
    assert decided(["my-wrapper"], _TOOL_SHELL, "claude") == ("call", "claude")
    assert decided(["my-wrapper"], Shell(["/bin/sh", "-c", "check"], leader=True), "claude") == ("hook", "claude")
