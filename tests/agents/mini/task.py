"""The scripted task: what the model says turn by turn, and what must come of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentcgroup.model import Outcome
from tests.agents.mini.repository import WHEEL

CALL_MEMORY = "192m"  # the limit of a call in the tests; the hungry one wants more than twice that
HUNGRY_BYTES = 400 << 20
SESSION_PIDS = 192  # of which a call gets a third (domain.budget)
CALL_PIDS = 64
FORKS = 300
SUBMIT = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"  # mini-swe-agent's own sign for the end


@dataclass(frozen=True)
class Step:
    """One turn: a command, and what the agent sees of it when nothing limits it."""

    name: str
    command: str
    says: str = ""  # in its output
    returncode: int = 0  # as mini-swe-agent records it: -1 for a timeout, -N for a signal
    contained: Outcome | None = None  # how it ends where its limits bite, if they do

    @property
    def free(self) -> Outcome:
        """How it ends where no limit bites."""
        if self.returncode == -1:
            return Outcome.CLIENT_KILLED
        return Outcome.FAILED if self.returncode else Outcome.OK


STEPS = (
    Step("look", "ls -a && git status --short --branch", "stats.py"),
    Step("history", "git log --oneline", "Tests for them"),
    Step("search", "grep -n 'def ' *.py", "stats.py:4:def mean"),
    Step("read", "sed -n '1,6p' stats.py", "//"),
    Step("tests that fail", "python3 -B -m unittest -q", "FAILED (failures=1)", returncode=1),
    Step("edit", "sed -i 's|//|/|' stats.py && git diff --stat", "1 insertion(+), 1 deletion(-)"),
    Step("tests that pass", "python3 -B -m unittest -q 2>&1 | tail -n 1", "OK"),
    Step(
        "install a wheel",
        f"python3 -m pip install --quiet --no-index --no-compile --target vendor {WHEEL}"
        " && PYTHONPATH=vendor python3 -c 'import roundhalf; print(roundhalf.round_half_up(1.5))'",
        "2\n",
    ),
    Step("pipeline", "git ls-files | sort | head -n 3 | wc -l", "3"),
    Step(
        "hungry",
        f"python3 -c 'print(len(b\"x\" * {HUNGRY_BYTES}))'",
        str(HUNGRY_BYTES),
        contained=Outcome.OOM,
    ),
    Step("leave a sleeper", "sleep 1000 >/dev/null 2>&1 & echo $! >sleeper.pid; echo left", "left"),
    Step(
        "leave a server",
        "nohup setsid python3 server.py >server.log 2>&1 & echo $! >server.pid\n"
        "for i in $(seq 100); do test -S server.sock && break; sleep 0.1; done; test -S server.sock && echo up",
        "up",
    ),
    Step("ask the server", "python3 client.py", "served"),
    Step(
        "fork",
        f'for i in $(seq {FORKS}); do sleep 1 & done; wait; echo "all $i"',
        f"all {FORKS}",
        contained=Outcome.PIDS,
    ),
    Step("hang", "echo waiting; sleep 1000", "waiting", returncode=-1),
    Step("fail", "cat no-such-file", "No such file or directory", returncode=1),
    Step("commit", "git commit --quiet --all --message 'True division' && git log -1 --format=%s", "True division"),
    Step("submit", f"echo {SUBMIT} && git show --format=%s --stat HEAD"),
)


def write_config(path: Path, timeout_s: int) -> None:
    """The configuration for mini-swe-agent that selects its deterministic model and gives it the script."""
    turns = [_turn(number, step) for number, step in enumerate(STEPS, 1)]
    config = {
        "environment": {"timeout": timeout_s},
        "model": {
            "model_class": "minisweagent.models.test_models.DeterministicToolcallModel",
            "model_name": "scripted",
            "outputs": turns,
        },
    }
    path.write_text(json.dumps(config))  # JSON is YAML too


def _turn(number: int, step: Step) -> dict[str, Any]:
    id_ = f"call_{number:02}"
    arguments = json.dumps({"command": step.command})
    return {
        "role": "assistant",
        "content": step.name,
        "tool_calls": [{"id": id_, "type": "function", "function": {"name": "bash", "arguments": arguments}}],
        "extra": {"cost": 0.0, "actions": [{"command": step.command, "tool_call_id": id_}]},
    }
