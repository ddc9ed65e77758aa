"""Runs the real mini-swe-agent on the scripted task, alone or under `agentcgroup run`, and reads what it saw."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.agents.mini.repository import build
from tests.agents.mini.task import write_config

ENVIRONMENT = Path(__file__).parents[3] / ".venv-agents"
MINI = ENVIRONMENT / "bin" / "mini"
_MARK = "AGENTCGROUP_TEST_RUN"  # every process of a run inherits it, wherever it ends up


@dataclass(frozen=True)
class Observation:
    """What the agent saw of one command."""

    command: str
    output: str
    returncode: int
    timed_out: bool


@dataclass(frozen=True)
class Run:
    """A finished run: what came of it, and where."""

    repository: Path
    trajectory: Path
    status: int
    log: str
    mark: str

    @property
    def exit_status(self) -> str:
        """How the agent says it ended."""
        return str(json.loads(self.trajectory.read_text())["info"]["exit_status"])

    @property
    def submission(self) -> str:
        """What it handed in."""
        return str(json.loads(self.trajectory.read_text())["info"]["submission"])

    @property
    def observations(self) -> list[Observation]:
        """All commands in order; the last one, which submits, ends the run and has no observation of its own."""
        messages = json.loads(self.trajectory.read_text())["messages"]
        results = {m["tool_call_id"]: m["extra"] for m in messages if m["role"] == "tool"}
        actions = [action for m in messages if m["role"] == "assistant" for action in m["extra"]["actions"]]
        seen = []
        for action in actions:
            result = results[action["tool_call_id"]]
            timed_out = "timed out" in result["exception_info"]
            seen.append(Observation(action["command"], result["raw_output"], result["returncode"], timed_out))
        return seen

    def processes(self) -> dict[int, str]:
        """What still runs of it, by its environment: pid and command line."""
        wanted = f"{_MARK}={self.mark}".encode()
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if wanted in (process / "environ").read_bytes().split(b"\0"):
                    found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue  # it has just ended, or is not ours to look into
        return found

    def end_processes(self) -> None:
        """Kills what still runs of it."""
        while left := self.processes():
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)


def run_task(folder: Path, timeout_s: int, wrapper: Sequence[str] = ()) -> Run:
    """The whole task in ``folder``; ``timeout_s`` is the agent's own for a command, ``wrapper`` precedes COMMAND."""
    assert MINI.exists(), "mini-swe-agent is not installed; run: make setup-agents"
    repository = folder / "repository"
    build(repository)
    config, trajectory = folder / "task.yaml", folder / "trajectory.json"
    write_config(config, timeout_s)
    command = [str(MINI), "-c", "mini.yaml", "-c", str(config), "-y", "--exit-immediately"]
    command += ["-o", str(trajectory), "-t", "mean() truncates: make it exact"]
    mark = uuid.uuid4().hex
    done = subprocess.run(
        [*wrapper, *command],
        cwd=repository,
        env=_environment(folder, mark),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    return Run(repository, trajectory, done.returncode, done.stdout, mark)


def _environment(folder: Path, mark: str) -> dict[str, str]:
    """Of the agent: nothing of this user's; its own environment first on PATH, as after activating it."""
    return {
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PATH": f"{ENVIRONMENT / 'bin'}:/usr/bin:/bin",
        "TMPDIR": str(folder),
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "MSWEA_CONFIGURED": "true",  # no first-run dialogue
        "MSWEA_GLOBAL_CONFIG_DIR": str(folder / "config"),
        "MSWEA_SILENT_STARTUP": "1",
        _MARK: mark,
    }
