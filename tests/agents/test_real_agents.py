"""The real, unmodified agents against the scripted model server: alone, and under `agentcgroup run`.

Needs `make setup-real-agents`; root, for the network namespace in which nothing can leave.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from agentcgroup.kernel import libbpf, tracking
from agentcgroup.kernel.libbpf import BpfError
from tests.agents import real_agents
from tests.agents.real_agents import CLAUDE, CODEX, GEMINI, MINI, OPENCODE, Ran, RealAgent

pytestmark = [
    pytest.mark.agents,
    pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace of its own needs root"),
]
Wrap = Callable[[list[str]], list[str]]

AGENTCGROUP = str(Path(sys.executable).with_name("agentcgroup"))

# One turn per line; the two of the second turn are called in parallel.
TURNS = [
    ["echo step-1; (echo sub)"],
    ["echo step-2", "sleep 0.3; echo step-3"],
    ["env bash -c 'echo step-4'; exit 3"],
    ["tail -f /dev/null >/dev/null 2>&1 & echo step-5"],
    ["echo step-6 limit=[$CLAUDE_CODE_TOOL_MEMORY_LIMIT]"],
]
STEPS = [f"step-{number}" for number in range(1, 7)]


@dataclass(frozen=True)
class Trace:
    """The records of one run, by kind, in the order of the file."""

    records: list[dict[str, Any]]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [each for each in self.records if each["kind"] == kind]

    @property
    def calls(self) -> list[dict[str, Any]]:
        return sorted(self.of("call_start"), key=lambda each: each["requested_ns"])

    @property
    def steps(self) -> list[str]:
        """Which step each call is, in the order in which they were asked for."""
        return [next((step for step in STEPS if step in " ".join(each["argv"])), "?") for each in self.calls]

    def end(self, step: str) -> dict[str, Any]:
        call = self.calls[self.steps.index(step)]["call"]
        return next(each for each in self.of("call_end") if each["call"] == call)

    def labels(self) -> dict[str, int]:
        labels = [each["label"] for each in self.of("shell")]
        return {label: labels.count(label) for label in set(labels)}


def _run(
    agent: RealAgent, folder: Path, options: tuple[str, ...] = (), launch: Wrap = lambda argv: argv
) -> tuple[Ran, Trace]:
    trace = folder / "trace"
    library = os.environ.get(libbpf.OVERRIDE)  # the agents' environment is made anew
    front = ["env", f"{libbpf.OVERRIDE}={library}"] if library else []
    ran = real_agents.run(
        agent,
        folder,
        TURNS,
        lambda argv: [*front, AGENTCGROUP, "run", "--trace", str(trace), *options, "--", *launch(argv)],
    )
    assert ran.status == 0, ran.explain()
    assert ran.errors == [], ran.explain()
    lines = (trace / "records.jsonl").read_text().splitlines()
    return ran, Trace([json.loads(line) for line in lines])


@pytest.fixture(params=[CLAUDE, CODEX, OPENCODE, GEMINI, MINI], ids=lambda agent: agent.id)
def agent(request: pytest.FixtureRequest) -> RealAgent:
    return _installed(request.param)


@pytest.fixture
def claude() -> RealAgent:
    return _installed(CLAUDE)


def _installed(agent: RealAgent) -> RealAgent:
    if not agent.installed:
        pytest.skip(f"{agent.id} is not installed: run `make setup-real-agents` (mini: `make setup-agents`)")
    return agent


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder of which the agent's home is removed at once: some leave hundreds of megabytes there."""
    place = tmp_path / "run"
    place.mkdir()
    yield place
    shutil.rmtree(place / "home", ignore_errors=True)


def _assert_said(ran: Ran) -> None:
    """Every step's output reached the model, in its place."""
    assert ran.turns_played == len(TURNS) + 1, ran.explain()
    for step, result in zip(STEPS, ran.said, strict=True):
        assert step in result


def _assert_one_to_one(trace: Trace, agent: str) -> None:
    """Each step is one call, in order; the two of one turn may have changed places."""
    steps = trace.steps
    assert sorted(steps) == STEPS
    assert [steps[0], set(steps[1:3]), *steps[3:]] == ["step-1", {"step-2", "step-3"}, *STEPS[3:]]
    assert {each["agent"] for each in trace.calls} == {agent}
    assert all(each["managed"] for each in trace.calls)
    outcomes = {step: trace.end(step)["outcome"] for step in STEPS}
    assert outcomes == dict.fromkeys(STEPS, "ok") | {"step-4": "failed"}
    assert trace.end("step-4")["status"] == 3
    assert trace.end("step-5")["leftovers"]["killed"] == 1
    (end,) = trace.of("session_end")
    assert (end["calls"], end["unmanaged"], end["status"]) == (6, 0, 0)


def test_the_agent_works_alone(agent: RealAgent, folder: Path) -> None:
    ran = real_agents.run(agent, folder, TURNS[:3])
    assert (ran.status, ran.errors) == (0, []), ran.explain()
    assert [step in result for step, result in zip(STEPS, ran.said, strict=False)] == [True] * 4
    assert "All done." in ran.stdout or agent is MINI  # mini-swe-agent keeps its last word to itself


def test_every_call_is_caught_in_a_mount_namespace(agent: RealAgent, folder: Path) -> None:
    ran, trace = _run(agent, folder, ("--placement", "mount"))
    _assert_said(ran)
    _assert_one_to_one(trace, agent.id)
    # The agent's own probes are seen and are no calls.
    assert trace.labels() == {"claude": {"probe": 2}, "codex": {"probe": 4}}.get(agent.id, {})
    if agent is CODEX:
        assert [each["tool_call_id"] for each in trace.calls] == sorted(ran.results)
    if agent is CLAUDE:
        assert "limit=[none]" in ran.said[-1]


@pytest.mark.parametrize("agent", [CLAUDE, OPENCODE, GEMINI], indirect=True, ids=lambda agent: agent.id)
def test_every_call_is_caught_by_path_and_variables(agent: RealAgent, folder: Path) -> None:
    ran, trace = _run(agent, folder, ("--placement", "path"))
    _assert_said(ran)
    _assert_one_to_one(trace, agent.id)


@pytest.mark.parametrize("agent", [CODEX, MINI], indirect=True, ids=lambda agent: agent.id)
def test_a_fixed_path_of_the_shell_is_not_caught_by_path_and_variables(agent: RealAgent, folder: Path) -> None:
    ran, trace = _run(agent, folder, ("--placement", "path", "--track", "off"))
    _assert_said(ran)
    # A shell inside the command that is looked up in PATH is caught, the command itself is not.
    assert trace.steps == (["step-4"] if agent is MINI else [])
    # What runs long enough to be seen is counted, so that nobody believes that all is well.
    assert trace.of("session_end")[0]["uncaught"] >= 1


@pytest.mark.parametrize("agent", [CLAUDE, CODEX, OPENCODE, GEMINI, MINI], indirect=True, ids=lambda agent: agent.id)
def test_what_path_and_variables_do_not_catch_the_exec_tracker_does(agent: RealAgent, folder: Path) -> None:
    try:
        tracking.attempt()
    except BpfError as error:
        pytest.skip(f"no exec tracker here: {error}")
    ran, trace = _run(agent, folder, ("--placement", "path", "--track", "on"))
    _assert_said(ran)
    assert sorted(set(trace.steps)) == STEPS
    # Probes at the start of the agent are over before the tracker is there.
    assert not any("step-" in word for each in trace.of("uncaught") for word in each["argv"])
    if agent in (CODEX, MINI):
        assert "exec-tracker" in {call["caught"] for call in trace.calls}
    if agent is CODEX:
        assert {each["tool_call_id"] for each in trace.calls} == set(ran.results)


def _npx(work: Path, argv: list[str]) -> list[str]:
    return ["npx", "--offline", Path(argv[0]).name, *argv[1:]]


def _npm_script(work: Path, argv: list[str]) -> list[str]:
    package = {"name": "x", "version": "1.0.0", "scripts": {"agent": Path(argv[0]).name}}
    (work / "package.json").write_text(json.dumps(package))
    return ["npm", "run", "--offline", "agent", "--", *argv[1:]]


def _script(work: Path, argv: list[str]) -> list[str]:
    path = work / "start.sh"
    path.write_text(f'#!/bin/bash\nset -e\nname=$(basename "$0")\ncd "$(pwd)"\n{argv[0]} "$@"\n')
    path.chmod(0o755)
    return [str(path), *argv[1:]]


def _shell(work: Path, argv: list[str]) -> list[str]:
    return ["sh", "-c", '"$@"; exit $?', "sh", *argv]


def _env_nice(work: Path, argv: list[str]) -> list[str]:
    return ["env", "STARTED_BY=test", "nice", "-n", "5", "timeout", "100", *argv]


@pytest.mark.parametrize("launcher", [_npx, _npm_script, _script, _shell, _env_nice])
@pytest.mark.parametrize("agent", [CLAUDE, CODEX, GEMINI], indirect=True, ids=lambda agent: agent.id)
def test_a_launchers_shells_are_no_calls_and_the_agents_are(
    agent: RealAgent, folder: Path, launcher: Callable[[Path, list[str]], list[str]]
) -> None:
    def launch(argv: list[str]) -> list[str]:
        work = folder / "work"
        (work / "node_modules").symlink_to(agent.path.parents[1])
        return launcher(work, argv)

    ran, trace = _run(agent, folder, launch=launch)
    _assert_said(ran)
    _assert_one_to_one(trace, agent.id)
    assert trace.labels().get("launcher", 0) == (1 if launcher in (_npx, _npm_script) else 0)
    assert set(trace.labels()) <= {"command", "launcher", "probe"}


_HOOK = "env bash -c 'echo hook >/dev/null'; true"
_SERVER = """
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    result = {}
    if message.get("method") == "initialize":
        info = {"name": "x", "version": "1"}
        result = {"protocolVersion": message["params"]["protocolVersion"], "capabilities": {}, "serverInfo": info}
    if "id" in message:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""


def _hooks(*events: str) -> dict[str, Any]:
    return {event: [{"matcher": "*", "hooks": [{"type": "command", "command": _HOOK}]}] for event in events}


def _server(home: Path) -> dict[str, Any]:
    (home / "server.py").write_text(_SERVER)
    return {"x": {"command": "/bin/sh", "args": ["-c", f"exec {sys.executable} {home}/server.py"]}}


def _claude_with_hooks() -> RealAgent:
    def prepare(home: Path, work: Path) -> None:
        (home / ".claude").mkdir()
        (home / ".claude" / "settings.json").write_text(json.dumps({"hooks": _hooks("PreToolUse", "PostToolUse")}))
        (home / "mcp.json").write_text(json.dumps({"mcpServers": _server(home)}))

    extra = ("--mcp-config", "@WORK@/../home/mcp.json")
    return replace(CLAUDE, prepare=prepare, arguments=(*CLAUDE.arguments, *extra))


def _codex_with_hooks() -> RealAgent:
    def prepare(home: Path, work: Path) -> None:
        (home / ".codex").mkdir()
        (home / ".codex" / "hooks.json").write_text(json.dumps({"hooks": _hooks("PreToolUse", "PostToolUse")}))
        server = _server(home)["x"]
        config = f'[mcp_servers.x]\ncommand="{server["command"]}"\nargs={json.dumps(server["args"])}\n'
        (home / ".codex" / "config.toml").write_text(config)

    first, *rest = CODEX.arguments
    return replace(CODEX, prepare=prepare, arguments=(first, "--dangerously-bypass-hook-trust", *rest))


def _gemini_with_hooks() -> RealAgent:
    def prepare(home: Path, work: Path) -> None:
        GEMINI.prepare(home, work)
        path = home / ".gemini" / "settings.json"
        settings = json.loads(path.read_text()) | {"hooks": _hooks("BeforeTool"), "mcpServers": _server(home)}
        path.write_text(json.dumps(settings))

    return replace(GEMINI, prepare=prepare)


@pytest.mark.parametrize(
    ("make", "hooks", "helpers"),
    [
        # Before and after each of the six calls; a step that fails has no "after" for PostToolUse (claude).
        # What a hook starts is a hook for claude and gemini, which say so in its environment, a helper for codex.
        (_claude_with_hooks, {22}, 1),
        (_codex_with_hooks, {12}, 13),
        (_gemini_with_hooks, {12}, 1),
    ],
    ids=["claude", "codex", "gemini"],
)
def test_hooks_and_servers_are_labelled_and_not_counted(
    make: Callable[[], RealAgent], hooks: set[int], helpers: int, folder: Path
) -> None:
    agent = _installed(make())
    ran, trace = _run(agent, folder)
    _assert_said(ran)
    _assert_one_to_one(trace, agent.id)
    labels = trace.labels()
    assert labels["hook"] in hooks
    assert labels["helper"] == helpers


def test_nothing_is_left_running(claude: RealAgent, folder: Path) -> None:
    mark = f"AGENTCGROUP_TEST={folder}"
    real_agents.run(
        claude,
        folder,
        TURNS,
        lambda argv: ["env", mark, AGENTCGROUP, "run", "--trace", str(folder / "trace"), "--", *argv],
    )
    left = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if mark.encode() in (process / "environ").read_bytes().split(b"\0"):
                    left.append((process / "cmdline").read_bytes())
            except OSError:  # it ended while we looked
                continue
    assert left == []


def test_another_installation_is_not_needed_to_be_recognised(claude: RealAgent, folder: Path) -> None:
    """Under another name of its file, with `--agent claude`."""
    copy = folder / "my-agent"
    os.link(claude.path.resolve(), copy)
    ran, trace = _run(replace(claude, program=copy), folder, ("--agent", "claude"))
    _assert_said(ran)
    _assert_one_to_one(trace, "claude")
