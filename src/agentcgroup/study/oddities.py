"""What was odd about the traces, counted: nothing that a loader drops or repairs goes unsaid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

# name -> what it means and what was done about it. A loader may only count what stands here.
MEANINGS = {
    "broken run": "a file of it cannot be read: the run is left out",
    "failed run": "the run ended in an error before the agent began: kept among the sessions, without times",
    "earlier attempt": "a later attempt of the same task exists: loaded, not in the metrics",
    "too short": "fewer than 10 samples or less than 60 s (the published filter): loaded, not in the metrics",
    "in no set": "matches no --set: not loaded",
    "task in several sets": "the same task name in more than one set: kept apart by (set, task, attempt)",
    "same key twice": "two runs with the same set, task and attempt: the second goes by the folder above it as well",
    "no samples": "no resource samples: in no metric of resources, and no published filter can pass",
    "no results file": "durations and image are not known",
    "no log of the agent": "active time and messages are not known; no other duration stands in for them",
    "log out of order": "records of the agent's log do not follow their times: sorted",
    "log record without time": "a record that carries no instant (summary …): left out",
    "log record unreadable": "not an object with the fields of a log record: left out",
    "log truncated": "the last line of the agent's log is incomplete: left out",
    "no list of calls": "the calls were taken from the agent's log",
    "call times rebuilt": "the list of calls has no ends: taken from the agent's log",
    "call without end": "no end in the trace: its duration is null",
    "call unreadable": "a call without tool, id or instant: left out",
    "call ends before it starts": "its duration is null",
    "call outside the samples": "begins before the first or ends after the last sample: kept",
    "sub-agent not clear": "a call of a sub-agent lies in no, or in more than one, call that could be it: parent null",
    "tear-down sample": "reads 0B of 0B: the container was gone: left out",
    "sample unreadable": "a sample whose instant, memory or CPU cannot be read: left out",
    "samples out of order": "samples did not follow their instants: sorted",
    "samples of several sessions": "one folder has several, and samples do not say whose they are: left out",
    "naive local time": "times without a zone: the Unix instants beside them were used, and the zone found from both",
    "agent killed": "the exit status of the agent is not 0",
    "samples after the agent": "sampling went on for more than 60 s after the last record of the agent's log",
    "process events not read": "proc_events.json: no frame holds them",
    "trace damaged": "places in a recorded trace that were skipped",
    "trace cut": "a recorded trace that ends before its session: its duration is what is there",
    "trace of a newer version": "kinds, fields or values that this version does not know: ignored",
    "processes of a call left": "commands that left the domain of their call (uncaught): not in any call",
    "usage not from the cgroup": "calls whose numbers were sampled from /proc: peaks may be missed",
    "link not followed": "a link to a folder inside the path: not searched",
    "folder not readable": "a folder inside the path may not be entered: not searched",
}


@dataclass(frozen=True, slots=True)
class Oddity:
    """``count`` of one oddity in one run; ``detail`` is a reason or an example, may be empty."""

    name: str
    run: str  # set/task#attempt, or the path of what is no run
    count: int = 1
    detail: str = ""


@dataclass(slots=True)
class Oddities:
    """All oddities of a study, in the order in which they were met."""

    found: list[Oddity] = field(default_factory=list)

    def add(self, name: str, run: str, count: int = 1, detail: str = "") -> None:
        """Count an oddity; 0 counts nothing. KeyError for a name that `MEANINGS` does not explain."""
        if count and MEANINGS[name]:
            self.found.append(Oddity(name, run, count, detail))

    def __iter__(self) -> Iterator[Oddity]:
        return iter(self.found)

    def extend(self, found: Iterable[Oddity]) -> None:
        """Take over those of another run."""
        self.found += found

    def count(self, name: str) -> int:
        """How many there are of it in all runs."""
        return sum(oddity.count for oddity in self.found if oddity.name == name)

    def runs(self, name: str) -> tuple[str, ...]:
        """The runs that have it, each once."""
        return tuple(dict.fromkeys(oddity.run for oddity in self.found if oddity.name == name))

    def names(self) -> tuple[str, ...]:
        """Those that occur, in the order of `MEANINGS`."""
        present = {oddity.name for oddity in self.found}
        return tuple(name for name in MEANINGS if name in present)

    def example(self, name: str) -> str:
        """The first detail of it, with its run."""
        of = [oddity for oddity in self.found if oddity.name == name]
        first = next((oddity for oddity in of if oddity.detail), of[0])
        return f"{first.run}: {first.detail}" if first.detail else first.run
