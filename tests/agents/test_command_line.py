"""Which agent a command line starts, seen through launchers."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.agents.command_line import programs
from agentcgroup.agents.launchers import LAUNCHERS, SHELLS
from agentcgroup.agents.registry import recognise


@pytest.mark.parametrize(
    ("line", "agent"),
    [
        ("claude -p hi", "claude"),
        ("/opt/bin/codex exec", "codex"),
        ("npx @anthropic-ai/claude-code -p hi", "claude"),
        ("npx -y @anthropic-ai/claude-code@latest", "claude"),
        ("npx -p @openai/codex codex exec", "codex"),
        ("npx -c 'gemini -p hi'", "gemini"),
        ("npm exec -- opencode run", "opencode"),
        ("npm exec --package=opencode-ai -- opencode run", "opencode"),
        ("pnpm dlx opencode-ai run", "opencode"),
        ("bunx opencode-ai", "opencode"),
        ("corepack pnpm dlx @google/gemini-cli", "gemini"),
        ("uvx mini", "mini"),
        ("uvx --from mini-swe-agent mini -t x", "mini"),
        ("uv tool run mini-swe-agent==2.4.6", "mini"),
        ("uv run --with litellm python -m minisweagent", "mini"),
        ("pipx run --spec aider-chat aider", "aider"),
        ("poetry run inspect eval task", "inspect"),
        ("env X=1 Y=2 claude", "claude"),
        ("env -u HOME -C /tmp claude", "claude"),
        ("env -S 'gemini -p x'", "gemini"),
        ("nice -n 5 codex exec", "codex"),
        ("nice codex exec", "codex"),
        ("env A=1 nice -n 19 ionice -c 3 timeout -k 5 60 claude", "claude"),
        ("sudo -u someone A=1 claude", "claude"),
        ("su - someone -c 'claude -p hi'", "claude"),
        ("script -qec 'claude -p x' /dev/null", "claude"),
        ("tmux new-session -s work 'codex exec'", "codex"),
        ("flock /tmp/lock claude", "claude"),
        ("systemd-run --user --scope -p MemoryMax=1G claude", "claude"),
        ("bwrap --ro-bind / / --dev /dev -- gemini", "gemini"),
        ("agentcgroup run --memory 4g -- codex", "codex"),
        ("node /opt/node_modules/.bin/gemini -p hi", "gemini"),
        ("python3 -W ignore -m minisweagent", "mini"),
        ("sh -c 'cd work && exec claude -p \"a b\"'", "claude"),
        ("bash -lc 'A=1 claude | tee log'", "claude"),
        ("bash -o pipefail -c 'claude'", "claude"),
        # no agent, although the name of one is there
        ("python agent.py claude", None),
        ("sudo -u gemini python agent.py", None),
        ("su - gemini -c 'python agent.py'", None),
        ("tmux new-session -s claude python agent.py", None),
        ("make claude", None),
        ("npm run claude", None),
        ("bash claude.sh claude", None),
        ("vim claude", None),
        ("python -c 'import claude' claude", None),
        ("sh -c 'echo claude'", None),
        ("sh -c 'echo \"unfinished'", None),
        ("bwrap --bind claude claude", None),
        ("env", None),
        ("nice -n", None),
    ],
)
def test_recognise(line: str, agent: str | None) -> None:
    found = recognise(shlex.split(line))
    assert (found.id if found else None) == agent


def test_launchers_without_end_are_not_followed() -> None:
    assert list(programs(["nice", *["env", "-S"] * 3, "claude"])) == []
    assert list(programs(["nice"] * 40 + ["claude"])) == []


_WORDS = st.sampled_from(
    [
        *LAUNCHERS,
        *SHELLS,
        "-c",
        "-n",
        "--",
        "-S",
        "-p",
        "5",
        "A=1",
        "claude",
        "python3",
        "-m",
        "exec",
        "run",
        "a b",
        "'",
        "",
    ]
) | st.text(max_size=8)


@given(st.lists(_WORDS, max_size=12))
def test_no_command_line_fails(argv: list[str]) -> None:
    for program in programs(argv):
        assert program
        assert program not in SHELLS
