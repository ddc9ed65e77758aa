"""Starting, watching and ending daemons."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agentcgroup.daemon.ask import ask
from agentcgroup.daemon.messages import Question

_ROOT = Path(__file__).resolve().parents[2]
QUICK = {  # what a peer is given, in seconds
    "agentcgroup.daemon.server:_LINE_WITHIN_S": 0.3,
    "agentcgroup.daemon.server:_HELLO_WITHIN_S": 0.6,
    "agentcgroup.daemon.server:_SWEEP_S": 0.1,
}


class Nursery:
    """See nursery.py."""

    def __enter__(self) -> Nursery:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.daemon.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def fork(self, order: Mapping[str, Any]) -> int:
        """The process id of a new daemon."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


class Process:
    """One daemon."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self._descriptor: int | None = os.pidfd_open(pid)
        except ProcessLookupError:  # it has ended already
            self._descriptor = None

    def send(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if not self.ended(0):
            signal.pidfd_send_signal(self._descriptor or 0, number)

    def ended(self, within_s: float) -> bool:
        """Whether it ends in time."""
        return self._descriptor is None or bool(select.select([self._descriptor], [], [], within_s)[0])

    async def end(self, within_s: float = 5.0) -> None:
        """Wait for its end."""
        await until(lambda: self.ended(0), within_s)

    def close(self) -> None:
        """Kill it."""
        self.send(signal.SIGKILL)
        assert self.ended(5)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class Daemons:
    """Starts daemons in ``folder``."""

    def __init__(self, nursery: Nursery, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "daemon" / "socket"
        self.config = folder / "config.toml"
        self.kill_log = folder / "kill-log.jsonl"
        self.configure()
        self._nursery = nursery
        self._started: list[Process] = []

    @property
    def log(self) -> str:
        """What the daemons have said."""
        file = self.folder / "log"
        return file.read_text() if file.exists() else ""

    def configure(self, *lines: str) -> None:
        """Write the configuration: these lines, and a kill log of its own unless they name one."""
        given = [] if any("kill_log" in line for line in lines) else [f'kill_log = "{self.kill_log}"']
        self.config.write_text("\n".join([*given, *lines]) + "\n")

    def fork(
        self,
        *sets: str,
        socket: Path | None = None,
        patch: Mapping[str, Any] | None = None,
        die: Mapping[str, Any] | None = None,
        memory: tuple[int, int] | None = None,
    ) -> Process:
        """Start one; it may not listen yet."""
        order = {
            "config": str(self.config),
            "sets": sets,
            "socket": str(socket or self.socket),
            "log": str(self.folder / "log"),
            "patch": patch or {},
            "die": die,
            "memory": memory,
        }
        started = Process(self._nursery.fork(order))
        self._started.append(started)
        return started

    def start(
        self, *sets: str, patch: Mapping[str, Any] | None = None, memory: tuple[int, int] | None = None
    ) -> Process:
        """Start one that listens."""
        started = self.fork(*sets, patch=patch, memory=memory)
        deadline_s = time.monotonic() + 10
        while time.monotonic() < deadline_s and not started.ended(0):
            if self.answers(started):
                return started
            time.sleep(0.005)
        raise AssertionError(f"the daemon does not answer: {self.log}")

    def answers(self, process: Process) -> bool:
        """Whether it is this daemon that answers at the socket."""
        try:
            return bool(self.ask("status")["pid"] == process.pid)
        except Exception:
            return False

    def ask(self, what: str, session: str | None = None, value: str = "") -> Mapping[str, Any]:
        """Ask as an operator of our own user."""
        return ask(Question(what, session, value), self.socket)

    async def asked(self, what: str, session: str | None = None, value: str = "") -> Mapping[str, Any]:
        """The same, while members on our loop go on."""
        return await asyncio.to_thread(self.ask, what, session, value)

    def close(self) -> None:
        """Kill all of them."""
        for process in self._started:
            process.close()


async def until(true: Callable[[], bool], within_s: float = 5.0) -> None:
    """Wait until something is so."""
    deadline_s = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline_s, "it has not come about in time"
        await asyncio.sleep(0.01)


def listed(answer: Mapping[str, Any]) -> Sequence[str]:
    """The names of the sessions in an answer to ``list``, in order."""
    return sorted(session["name"] for session in answer["sessions"])
