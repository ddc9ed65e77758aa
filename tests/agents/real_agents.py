"""The real agents: where they are installed, and how each is run headless against a scripted model server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.agents.modelserver.script import ToolCall, Turn

ROOT = Path(__file__).parents[2]
PREFIX = ROOT / ".cache" / "agents"
PROMPT = "do what the script says"
_TIMEOUT_S = 120


@dataclass(frozen=True)
class RealAgent:
    """One agent: its program, its arguments and variables, and what its shell tool is called."""

    id: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    tool: Callable[[str], ToolCall]
    prepare: Callable[[Path, Path], None] = lambda home, work: None
    program: Path = field(default=Path())

    @property
    def path(self) -> Path:
        """The program as npm installed it."""
        return self.program if self.program.name else PREFIX / self.id / "node_modules" / ".bin" / self.id

    @property
    def installed(self) -> bool:
        """Whether `make setup-real-agents` has been here."""
        return self.path.exists()

    def argv(self, work: Path) -> list[str]:
        """The command line, with ``@WORK@`` replaced."""
        return [str(self.path), *(each.replace("@WORK@", str(work)) for each in self.arguments)]


@dataclass(frozen=True)
class Ran:
    """A finished run: the agent's status, what it printed, and what the server saw."""

    status: int | str
    stdout: str
    stderr: str
    errors: Sequence[str]
    turns_played: int
    results: Mapping[str, str]
    requests: Sequence[Mapping[str, Any]]

    @property
    def said(self) -> list[str]:
        """What the tools gave back, in the order of the calls."""
        return [self.results[identifier] for identifier in sorted(self.results)]

    def explain(self) -> str:
        """For the message of an assertion."""
        return f"{self.status}: {self.errors}\n{self.stdout[-2000:]}\n{self.stderr[-2000:]}"


def script(agent: RealAgent, turns: Sequence[Sequence[str]]) -> list[Turn]:
    """One turn per group of commands (a group is called in parallel), and a last word."""
    return [
        *(Turn(text="", calls=tuple(agent.tool(command) for command in group)) for group in turns),
        Turn(text="All done."),
    ]


def run(
    agent: RealAgent,
    folder: Path,
    turns: Sequence[Sequence[str]],
    wrap: Callable[[list[str]], list[str]] = lambda argv: argv,
    environment: Mapping[str, str] | None = None,
) -> Ran:
    """Runs ``agent`` in a network namespace of its own, with a home of its own under ``folder``."""
    home, work = folder / "home", folder / "work"
    home.mkdir(parents=True)
    (home / "tmp").mkdir()
    work.mkdir()
    subprocess.run(["git", "init", "-q", str(work)], check=True)
    agent.prepare(home, work)
    variables = {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TMPDIR": str(home / "tmp"),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "SHELL": "/bin/bash",
        **{name: value.replace("@HOME@", str(home)) for name, value in agent.environment.items()},
        **(environment or {}),
    }
    job = {
        "script": [
            {"text": turn.text, "calls": [{"name": c.name, "arguments": dict(c.arguments)} for c in turn.calls]}
            for turn in script(agent, turns)
        ],
        "argv": wrap(agent.argv(work)),
        "env": variables,
        "cwd": str(work),
        "stdout": str(folder / "stdout"),
        "stderr": str(folder / "stderr"),
        "timeout_s": _TIMEOUT_S,
        "loopback": True,
    }
    (folder / "job.json").write_text(json.dumps(job))
    server = ["unshare", "-n", sys.executable, "-m", "tests.agents.modelserver", str(folder / "job.json")]
    done = subprocess.run(server, cwd=ROOT, check=True, capture_output=True, text=True, timeout=_TIMEOUT_S + 30)
    report = json.loads(done.stdout)
    out, err = ((folder / name).read_text(errors="replace") for name in ("stdout", "stderr"))
    return Ran(
        report["status"],
        out,
        err,
        report["errors"],
        report["turns_played"],
        report["results"],
        report["requests"],
    )


def _settle_opencode(home: Path, work: Path) -> None:
    config = {
        "model": "mock/mock-model",
        "permission": {"bash": "allow", "edit": "allow", "webfetch": "allow"},
        "provider": {
            "mock": {
                "npm": "@ai-sdk/openai-compatible",
                "options": {"baseURL": "{env:MODEL_URL}", "apiKey": "dummy"},
                "models": {"mock-model": {"name": "mock", "tool_call": True}},
            }
        },
    }
    (work / "opencode.json").write_text(json.dumps(config))


def _settle_gemini(home: Path, work: Path) -> None:
    settings = {
        "general": {"disableAutoUpdate": True, "enableAutoUpdate": False},
        "privacy": {"usageStatisticsEnabled": False},
        "security": {"auth": {"selectedType": "gemini-api-key"}},
    }
    (home / ".gemini").mkdir()
    (home / ".gemini" / "settings.json").write_text(json.dumps(settings))


def _settle_codex(home: Path, work: Path) -> None:
    (home / ".codex").mkdir()


CLAUDE = RealAgent(
    id="claude",
    arguments=(*("-p", PROMPT, "--output-format", "stream-json", "--verbose", "--dangerously-skip-permissions"),),
    environment={
        "ANTHROPIC_BASE_URL": "@URL@",
        "ANTHROPIC_API_KEY": "dummy",
        "IS_SANDBOX": "1",  # it refuses to skip permissions as root otherwise
        "CLAUDE_CONFIG_DIR": "@HOME@/.claude",
        "CLAUDE_CODE_TMPDIR": "@HOME@/tmp",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "DISABLE_AUTOUPDATER": "1",
    },
    tool=lambda command: ToolCall("Bash", {"command": command, "description": "scripted"}),
)

_PROVIDER = 'model_providers.mock={name="mock",base_url="@URL@/v1",env_key="MOCK_KEY",wire_api="responses"}'
CODEX = RealAgent(
    id="codex",
    arguments=(
        *("exec", "--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"),
        *("-c", "model_provider=mock", "-c", _PROVIDER, "-c", "model=gpt-5.1-codex"),
        *("-c", "analytics.enabled=false", "-c", "check_for_update_on_startup=false", PROMPT),
    ),
    environment={"CODEX_HOME": "@HOME@/.codex", "MOCK_KEY": "dummy"},
    tool=lambda command: ToolCall("exec_command", {"cmd": command}),
    prepare=_settle_codex,
)

OPENCODE = RealAgent(
    id="opencode",
    arguments=("run", "--format", "json", PROMPT),
    environment={
        "MODEL_URL": "@URL@/v1",
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
    },
    tool=lambda command: ToolCall("bash", {"command": command, "description": "scripted"}),
    prepare=_settle_opencode,
)

GEMINI = RealAgent(
    id="gemini",
    arguments=(
        *("--model", "gemini-2.5-pro", "--approval-mode", "yolo", "--output-format", "stream-json", "-p", PROMPT),
    ),
    environment={
        "GEMINI_API_KEY": "dummy",
        "GOOGLE_GEMINI_BASE_URL": "@URL@",
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
        "GEMINI_TELEMETRY_ENABLED": "false",
    },
    tool=lambda command: ToolCall("run_shell_command", {"command": command, "description": "scripted"}),
    prepare=_settle_gemini,
)

MINI = RealAgent(
    id="mini",
    program=ROOT / ".venv-agents" / "bin" / "mini",
    arguments=(
        *("-m", "openai/mock-model", "-y", "--exit-immediately", "-o", "@WORK@/../trajectory.json", "-t", PROMPT),
    ),
    environment={
        "MSWEA_CONFIGURED": "true",
        "MSWEA_SILENT_STARTUP": "1",
        "MSWEA_COST_TRACKING": "ignore_errors",
        "MSWEA_GLOBAL_CONFIG_DIR": "@HOME@/.mini",
        "OPENAI_API_KEY": "dummy",
        "OPENAI_API_BASE": "@URL@/v1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    },
    tool=lambda command: ToolCall("bash", {"command": command}),
)

AGENTS = (CLAUDE, CODEX, OPENCODE, GEMINI, MINI)
