"""The brakes against each other: how soon they stop a session, how exactly, and who has to wait for its locks.

reaction   from the first stall for memory of the high session, as the kernel saw it, to the last instruction of the low
           session's two processes before a pause of 40 ms or more
precision  of a requested delay of 2,000 ms: from the request to the first instruction afterwards
locks      the high session makes and removes a cgroup, again and again; three processes of the low session do the same,
           and so own cgroup_mutex most of the time; the low session is braked meanwhile; weights by priority

Arms are interleaved in random order; with `slow` and `hold` our scheduler governs both sessions. It needs a kernel with
sched_ext; one CPU, for an emulator turns from one to the other every 100 ms:

    agentcgroup lab run --cpus 1 --memory 1g --timeout 10m -- .venv/bin/python -m bench.brakes [--rounds 20]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from agentcgroup.kernel.pressure import Detector
from agentcgroup.kernel.scx import Scheduler
from agentcgroup.model import Priority
from bench.braked import Sessions, stall
from bench.statistics import quantile

PARTS = ("reaction", "precision", "locks")
_SHARE = 0.01
_DELAY_S = 2.0
_LOOK_S = 1.0  # after the brake; who has not paused until then has not been stopped
_SECONDS = 60.0

Row = dict[str, list[float]]  # arm -> a number for each trial


class Bench:
    """One scheduler and one detector for all trials; arms that need neither are not touched by them."""

    def __init__(self) -> None:
        self.sessions = Sessions()
        self.scheduler = Scheduler()
        self.detector = Detector()
        for name, rank in (("low", Priority.LOW), ("high", Priority.HIGH)):
            self.scheduler.add(self.sessions.session(name))
            self.detector.add(self.sessions.session(name), rank)
        self.low = self.sessions.call("low")

    def close(self) -> None:
        """Remove all."""
        self.detector.close()
        self.scheduler.close()
        self.sessions.remove()

    def brake(self, how: str) -> None:
        """Brake the low call."""
        if how == "freeze":
            (self.low / "cgroup.freeze").write_text("1")
        elif how == "slow":
            self.scheduler.slow(self.low, _SHARE, _SECONDS)
        elif how == "hold":
            self.scheduler.hold(self.low, _DELAY_S)

    def ease(self) -> None:
        """Let it go, and end all that runs."""
        self.scheduler.release(self.low)
        self.sessions.stop()

    # What is waited for

    def by_ring(self) -> None:
        """A record of the detector of what the high session does."""
        poll = select.poll()
        poll.register(self.detector.fileno(), select.POLLIN)
        poll.poll(5000)

    def by_events(self) -> None:
        """A change of memory.events."""
        descriptor = os.open(self.sessions.call("high") / "memory.events", os.O_RDONLY)
        os.read(descriptor, 500)
        poll = select.poll()
        poll.register(descriptor, select.POLLPRI)
        poll.poll(5000)
        os.close(descriptor)

    def by_looking(self) -> None:
        """memory.events, read every second."""
        file = self.sessions.call("high") / "memory.events"
        before = file.read_text()
        time.sleep(random.random())
        while file.read_text() == before:
            time.sleep(1)

    # Trials

    def reaction(self, arm: str) -> float:
        """Milliseconds; infinite when the low session was not stopped."""
        wait, how, fill = _REACTIONS[arm]
        self.sessions.weigh(by_priority=False)  # so that the low session does run until it is stopped
        if how == "memory.high":
            (self.low / "memory.high").write_text("8M")
        for place in (0, 1):
            self.sessions.start("low", self.sessions.stamp(place, fill), how in ("slow", "hold"))
        time.sleep(0.4)
        self.detector.events()
        self.sessions.start("high", stall, how in ("slow", "hold"))
        wait(self)
        self.brake(how)
        time.sleep(_LOOK_S)
        at = next((event.at_ns for event in self.detector.events() if event.session_name == "high"), None)
        last = [next((a for a, b in self.sessions.pauses(place) if at and b > at), None) for place in (0, 1)]
        self.ease()
        (self.low / "memory.high").write_text("max")
        if at is None:
            raise RuntimeError("the high session did not stall")
        return max((each - at) / 1e6 if each else float("inf") for each in last)

    def precision(self, arm: str) -> float:
        """By how many percent the delay was longer (or shorter) than asked for."""
        self.sessions.start("low", self.sessions.stamp(0, False), arm == "hold")
        time.sleep(0.3)
        asked = time.monotonic_ns()
        self.brake(arm)
        if arm == "freeze":
            time.sleep(_DELAY_S)
            (self.low / "cgroup.freeze").write_text("0")
            time.sleep(0.2)
        else:
            time.sleep(_DELAY_S + 0.2)
        resumed = [after for _, after in self.sessions.pauses(0) if after > asked]
        self.ease()
        return ((resumed[-1] - asked) / 1e9 / _DELAY_S - 1) * 100

    def locks(self, arm: str) -> float:
        """The longest wait of the high session in a second and a half, of those that ended after the brake; ms."""
        governed, how = arm not in ("none", "freeze"), arm.partition(",")[0]
        read, write = os.pipe()
        self.sessions.weigh(by_priority=True)
        for place in range(3):
            self.sessions.start("low", self.sessions.hammer(place), governed)
        time.sleep(0.5)
        self.sessions.start("high", self.sessions.probe(1.5, write), governed)
        time.sleep(0.1)
        braked = time.monotonic()
        self.brake(how)
        waits = [map(float, word.split(b":")) for word in os.read(read, 1 << 16).split()]
        os.close(read)
        os.close(write)
        self.ease()
        for place in range(3):
            folder = self.sessions.session("low") / f"hammer{place}"
            if folder.exists():
                folder.rmdir()
        return max(wait for ended, wait in waits if ended > braked)


_REACTIONS: dict[str, tuple[Callable[[Bench], None], str, bool]] = {
    "memory.events, freeze": (Bench.by_events, "freeze", False),
    "BPF ring, freeze": (Bench.by_ring, "freeze", False),
    "BPF ring, slow": (Bench.by_ring, "slow", False),
    "BPF ring, hold": (Bench.by_ring, "hold", False),
    "BPF ring, freeze (low fills memory)": (Bench.by_ring, "freeze", True),
    "BPF ring, slow (low fills memory)": (Bench.by_ring, "slow", True),
    "BPF ring, hold (low fills memory)": (Bench.by_ring, "hold", True),
    "looking every 1 s, freeze": (Bench.by_looking, "freeze", False),
    "memory.high of the low one, alone": (Bench.by_ring, "memory.high", True),
}
_ARMS: dict[str, tuple[str, ...]] = {
    "reaction": tuple(_REACTIONS),
    "precision": ("freeze", "hold"),
    "locks": ("none", "none, our scheduler", "freeze", "freeze, our scheduler", "slow", "hold"),
}
_UNITS = {"reaction": "ms", "precision": "% too long", "locks": "ms, longest wait of a trial"}


def table(part: str, row: Row) -> str:
    """One part."""
    lines = [f"{part + ', ' + _UNITS[part]:<46} {'n':>4} {'p50':>9} {'p99':>9} {'most':>9}"]
    for arm, values in row.items():
        p50, p99, most = (quantile(values, q) if max(values) < float("inf") else _at(values, q) for q in (0.5, 0.99, 1))
        lines.append(f"  {arm:<44} {len(values):>4} {p50:>9.2f} {p99:>9.2f} {most:>9.2f}")
    return "\n".join(lines)


def _at(values: Sequence[float], q: float) -> float:
    """A quantile where some are infinite, so that nothing can be interpolated."""
    return sorted(values)[min(len(values) - 1, int(q * len(values)))]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print the tables, or JSON with every trial."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", type=Path, help="write the JSON to this file after every round")
    chosen = parser.parse_args(arguments)
    found: dict[str, Row] = {part: defaultdict(list) for part in chosen.parts}
    bench = Bench()
    try:
        for number in range(chosen.rounds):
            trials = [(part, arm) for part in chosen.parts for arm in _ARMS[part]]
            for part, arm in random.sample(trials, len(trials)):
                found[part][arm].append(getattr(bench, part)(arm))
            if chosen.keep:
                chosen.keep.write_text(json.dumps(found))
            print(f"{number + 1}/{chosen.rounds} {bench.scheduler.counters()}", file=sys.stderr, flush=True)
        if (end := bench.scheduler.ended()) is not None:
            raise RuntimeError(f"the kernel ended the scheduler: {end.reason}: {end.message}")
    finally:
        bench.close()
    ordered = {part: {arm: found[part][arm] for arm in _ARMS[part]} for part in chosen.parts}
    print(json.dumps(ordered) if chosen.json else "\n\n".join(table(part, row) for part, row in ordered.items()))


if __name__ == "__main__":
    main()
