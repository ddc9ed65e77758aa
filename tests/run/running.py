"""Runs real sessions for the tests: a small Python agent under the real command, and what it left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentcgroup.kernel.delegation import plan_root
from agentcgroup.model import Outcome
from agentcgroup.trace.reader import read_trace
from agentcgroup.trace.views import Call, Trace

# Slow machines and the emulated lab make a client miss its 50 ms now and then; the tests that are not about
# that give it more.
PATIENT = ("--client-deadline", "20s")
AGENTCGROUP = (sys.executable, "-m", "agentcgroup")


@dataclass(frozen=True)
class Ran:
    """One finished session."""

    status: int
    stdout: str
    stderr: str
    trace: Trace

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls in order."""
        return self.trace.sessions[0].calls

    @property
    def commands(self) -> list[str]:
        """The scripts of the calls."""
        return [call.command for call in self.calls]

    @property
    def outcomes(self) -> list[Outcome]:
        """How the calls ended."""
        return [call.outcome for call in self.calls]

    def events(self, kind: str) -> list[dict[str, object]]:
        """The records of one kind that are not calls."""
        return [event.to_json() for event in self.trace.sessions[0].events if event.kind == kind]


def agent(folder: Path, source: str) -> list[str]:
    """A home-made agent: Python with `sh(command)` = subprocess.run(["bash", "-c", command]) in its own session."""
    file = folder / "agent.py"
    file.write_text(_PRELUDE + textwrap.dedent(source))
    return [sys.executable, "-S", str(file)]


_PRELUDE = """\
import json, os, signal, subprocess, sys, time

def sh(command, **more):
    more.setdefault("start_new_session", True)
    done = subprocess.run(["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
    print(json.dumps([command, done.returncode, done.stdout, done.stderr]), flush=True)
    return done

"""


def start(
    folder: Path, command: Sequence[str], *options: str, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """`agentcgroup run` in the background, its trace in ``folder/trace``."""
    line = [*AGENTCGROUP, "run", "--trace", str(folder / "trace"), *PATIENT, *options, "--", *command]
    return subprocess.Popen(
        line,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
        cwd=folder,
    )


def run(folder: Path, command: Sequence[str], *options: str, environment: Mapping[str, str] | None = None) -> Ran:
    """A whole session; what it left behind is checked by ``nothing_left``."""
    process = start(folder, command, *options, environment=environment)
    stdout, stderr = process.communicate(timeout=120)
    return Ran(process.returncode, stdout, stderr, read_trace(folder / "trace"))


def shown(ran: Ran) -> list[list[object]]:
    """What the agent's `sh` printed: [command, returncode, stdout, stderr] each."""
    return [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("[")]


def sessions_left() -> list[str]:
    """Cgroups of sessions that exist now."""
    root = plan_root().cgroup / "agentcgroup"
    return sorted(path.name for path in root.iterdir() if path.is_dir()) if root.exists() else []


def processes_with(text: str) -> list[int]:
    """The live processes whose command line contains ``text``, but for this one's family."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) not in (os.getpid(), os.getppid()):
            try:
                words = (entry / "cmdline").read_bytes()
                state = (entry / "stat").read_text().rpartition(") ")[2][:1]
            except OSError:
                continue
            if text.encode() in words and state not in "ZX":
                found.append(int(entry.name))
    return found


def support(ran: Ran) -> tuple[str, str]:
    """What the trace says of the session's host: support and placement."""
    start = ran.trace.sessions[0].start
    assert start is not None
    return start.support, start.placement


def run_folders(name: str) -> list[Path]:
    """Where run-time files of the session are."""
    return [path for base in ("/run", "/tmp") for path in Path(base).glob(f"agentcgroup*/{name}")]
