"""What the tracker's tests share: a tracker over a cgroup of their own, the helper program, waiting for events."""

from __future__ import annotations

import select
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.tracking import Tracker
from agentcgroup.kernel.tracking_events import Event, Executed, Exited, Forked, Left, Lost, Moved, ProcessKey

SOURCE = Path(__file__).with_name("tracked.c")
_PATIENCE_S = 30.0  # the lab is emulated; what is waited for comes much earlier or never


def build(folder: Path) -> Path:
    """The helper program."""
    program = folder / "tracked"
    subprocess.run(["cc", "-O1", "-static", "-pthread", SOURCE, "-o", program], check=True)
    return program


def inside(cgroup: Cgroup, *argv: str | Path) -> list[str]:
    """The command that runs ``argv`` in a cgroup."""
    return ["sh", "-c", 'echo 0 >"$0/cgroup.procs" && exec "$@"', str(cgroup.path), *map(str, argv)]


@dataclass
class Watched:
    """A leaf of a tracked cgroup, and all that was told of it so far."""

    cgroup: Cgroup
    tracker: Tracker
    outside: Path  # a cgroup beyond the tracked one
    events: list[Event] = field(default_factory=list)

    @property
    def number(self) -> int:
        """The kernel's id of the cgroup."""
        return self.cgroup.path.stat().st_ino

    def run(self, *argv: str | Path, status: int = 0) -> ProcessKey:
        """Run a command inside, to its end and to the end of what is told of it; returns who it was."""
        process = subprocess.Popen(inside(self.cgroup, *argv))
        assert process.wait(_PATIENCE_S) == status
        exit_event = self.wait(lambda event: isinstance(event, Exited) and event.process.pid == process.pid)
        assert isinstance(exit_event, Exited)
        return exit_event.process

    def wait(self, found: Callable[[Event], bool]) -> Event:
        """The first event so far, or to come, of which this is true."""
        deadline = time.monotonic() + _PATIENCE_S
        looked = 0
        while True:
            self.events += self.tracker.read()
            for event in self.events[looked:]:
                if found(event):
                    return event
            looked = len(self.events)
            assert time.monotonic() < deadline, f"not told; what was: {self.events}"
            select.select([self.tracker], [], [], 0.05)

    def of(self, process: ProcessKey) -> list[Event]:
        """What was told of one process, in order."""
        return [event for event in self.events if not isinstance(event, Lost) and event.process == process]

    def execs(self) -> list[Executed]:
        """All execs so far."""
        return [event for event in self.events if isinstance(event, Executed)]

    def count(self, kind: type[Event]) -> int:
        """How many events of a kind there were so far."""
        return sum(type(event) is kind for event in self.events)


def kinds(events: Sequence[Event]) -> str:
    """The events as letters: f(ork) e(xec) x (exit) m(oved) l(eft) ? (lost)."""
    letters = {Forked: "f", Executed: "e", Exited: "x", Moved: "m", Left: "l", Lost: "?"}
    return "".join(letters[type(event)] for event in events)
