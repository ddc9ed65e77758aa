"""Real processes with the names of agents and launchers, and the real client as the shell at their end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentcgroup.client import wire
from agentcgroup.client.image import ClientConfig, client_binary, write_stand_in
from tests.client.harness import Controller

# What every process of a chain runs: it starts the next one, or the shell, and waits. The first one waits for a
# line first, because the stand-in must know its process id.
_ACTOR = """
import json, pty, subprocess, sys
chain, shell = json.loads(sys.argv[-1])
if chain.pop(0)["first"]:
    sys.stdin.readline()
if chain:
    words = chain[0]["argv"] + [json.dumps([chain, shell])]
    status = subprocess.call(words, executable=sys.executable_of_actors)
else:
    more = {"stdin": pty.openpty()[1]} if shell["tty"] else {}
    more |= {"env": shell["env"], "start_new_session": shell["sid"]}
    status = subprocess.call(shell["argv"], executable=shell["path"], **more)
sys.exit(status)
"""
_PYTHON = os.path.realpath(sys.executable)


@dataclass(frozen=True)
class Shell:
    """A shell as an agent starts it."""

    argv: Sequence[str]
    leader: bool = False  # of a session of its own
    environment: Mapping[str, str] = field(default_factory=dict)
    terminal: bool = False  # stdin is a pseudo-terminal


def decide(folder: Path, controller: Controller, table: str, chain: Sequence[str], shell: Shell) -> tuple[str, str]:
    """What the client takes ``shell`` for when processes named as in ``chain`` lead to it: (label, agent's id).

    The first of the chain is COMMAND. ``a b`` names an interpreter ``a`` that runs the script ``b``. The real shell
    is true(1), so nothing in ``argv`` is run.
    """
    actor = _ACTOR.replace("sys.executable_of_actors", repr(_PYTHON))
    steps = [_step(folder, actor, name, first=index == 0) for index, name in enumerate(chain)]
    stand_in = folder / "stand-in"
    plan = {"argv": list(shell.argv), "path": str(stand_in), "sid": shell.leader, "tty": shell.terminal}
    plan["env"] = dict(shell.environment)
    words = [*steps[0]["argv"], json.dumps([steps, plan])]
    command = subprocess.Popen(words, executable=_PYTHON, stdin=subprocess.PIPE, text=True)
    config = ClientConfig(
        real="/bin/true",
        root_pid=command.pid,
        sock=str(controller.path),
        rules=table,
        deadline_ms=5000,
        no_cgroup=True,
    )
    write_stand_in(client_binary(), stand_in, config)
    command.communicate("go\n", timeout=30)
    assert command.returncode == 0
    (connection,) = controller.wait_for(lambda seen: len(seen) == 1 and seen[0].closed)
    controller.clear()
    for message in connection.messages:
        if isinstance(message, wire.Note):
            return message.label, message.agent
    return "call", connection.start.agent


def _step(folder: Path, actor: str, name: str, *, first: bool) -> dict[str, Any]:
    interpreter, _, script = name.partition(" ")
    if not script:
        return {"argv": [interpreter, "-c", actor], "first": first}
    path = folder / script
    path.write_text(actor)
    return {"argv": [interpreter, str(path)], "first": first}
