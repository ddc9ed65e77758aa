"""The real `agentcgroup daemon`, and sessions that join it, for the tests of the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

AGENTCGROUP = (sys.executable, "-m", "agentcgroup")
PATIENCE_S = 30.0  # the lab is emulated

_T = TypeVar("_T")


def until(look: Callable[[], _T | None], what: str, within_s: float = PATIENCE_S) -> _T:
    """What ``look`` gives as soon as it is true."""
    deadline = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"not in {within_s:g} s: {what}"
        time.sleep(0.05)
    return found


@dataclass
class Host:
    """Daemons and sessions in ``folder``; nothing of this machine's configuration or user is used."""

    folder: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def socket(self) -> Path:
        """Where the daemon listens."""
        return self.folder / "run" / "socket"

    @property
    def environment(self) -> dict[str, str]:
        """Of every command."""
        kept = {name: value for name, value in os.environ.items() if name != "AGENTCGROUP_DAEMON"}
        return {**kept, "XDG_CONFIG_HOME": str(self.folder / "config"), "XDG_STATE_HOME": str(self.folder / "state")}

    def configure(self, text: str) -> Path:
        """Write the configuration of the daemon."""
        file = self.folder / "daemon.toml"
        file.write_text(f'kill_log = "{self.folder}/kills.jsonl"\n{text}')
        return file

    def log_kills(self) -> None:
        """Have the kills of `run` recorded in a log of their own, which `kill-log` then reads."""
        file = self.folder / "config" / "agentcgroup" / "config.toml"
        file.parent.mkdir(parents=True)
        file.write_text(f'kill_log = "{self.folder}/own-kills.jsonl"\n')

    def call(self, *words: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """A command to its end."""
        return subprocess.run(
            [*AGENTCGROUP, *words],
            capture_output=True,
            text=True,
            env={**self.environment, **(environment or {})},
            timeout=120,
            check=False,
        )

    def ask(self, *words: str) -> Any:
        """The JSON of a command that asks the daemon."""
        done = self.call(*words, "--socket", str(self.socket), "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def call_python(self, source: str, *words: str) -> subprocess.CompletedProcess[str]:
        """A program of our own, to its end."""
        line = [sys.executable, "-c", source, *words]
        return subprocess.run(line, capture_output=True, text=True, env=self.environment, timeout=120, check=False)

    def daemon(self, *options: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """A daemon that listens; ``said`` gives what it says."""
        words = ("daemon", "--socket", str(self.socket), "--config", str(self.configure("")), *options)
        daemon = self._start(*words, environment=environment)
        until(lambda: "join at" in self.said(daemon) or daemon.poll() is not None, "the daemon listens")
        return daemon

    def session(self, name: str, script: str, *options: str) -> subprocess.Popen[str]:
        """`run` of an agent whose one call is ``script``, joined to the daemon when this returns."""
        agent = f"import subprocess, sys; sys.exit(subprocess.run(['bash', '-c', {script!r}]).returncode)"
        trace = str(self.folder / f"trace-{name}")
        words = ("--name", name, "--daemon-socket", str(self.socket), "--trace", trace, *options)
        process = self._start("run", *words, "--client-deadline", "5s", "--", sys.executable, "-Sc", agent)
        until(lambda: self.running(name) or process.poll() is not None, f"a call of {name} is running")
        assert process.poll() is None, self.said(process)
        return process

    def running(self, name: str) -> bool:
        """Whether the trace of a session says that a call has begun."""
        records = self.folder / f"trace-{name}" / "records.jsonl"
        return records.exists() and b'"call_start"' in records.read_bytes()

    def said(self, process: subprocess.Popen[str]) -> str:
        """What a process has printed until now."""
        return (self.folder / f"said-{self.processes.index(process)}").read_text()

    def actions(self, name: str) -> list[str]:
        """What the trace of a session says was done to it."""
        lines = (self.folder / f"trace-{name}" / "records.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in lines]
        return [record["action"] for record in records if record["kind"] == "action"]

    def close(self) -> None:
        """End all that is left."""
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait(PATIENCE_S)

    def _start(self, *words: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        with (self.folder / f"said-{len(self.processes)}").open("w") as said:
            process = subprocess.Popen(
                [*AGENTCGROUP, *words],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                text=True,
                env={**self.environment, **(environment or {})},
            )
        self.processes.append(process)
        return process
