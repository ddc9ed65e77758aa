"""From a counter moving to the policy's decision: by event, and by the poller of 1 s that is the custom.

The way is the real one: kernel, EventWatch on an asyncio loop, LocalDecider, the world read anew, Ladder.decide.
Both arms watch the same moves, each in a process of its own, so they are compared move by move. A move is stamped by
the process that makes it, just before the system call, and that call's own work up to the notice is in the time.

    memory.events   a process goes above memory.high, in a session of 8 calls; needs the memory controller:
                    agentcgroup lab run -- .venv/bin/python -m bench.reaction
    cgroup.events   a stand-in for any host with cgroup v2: one of 64 empty leaves is frozen or thawed, which the kernel
                    reports in the same way; the policy is told of it as if it had gone above memory.high

    python -m bench.reaction [--moves 400] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import mmap
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias

from agentcgroup.controller.local import LocalDecider
from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.events import EventWatch
from agentcgroup.kernel.hierarchy import find_unified_mount
from agentcgroup.kernel.meminfo import read_meminfo
from agentcgroup.model import Priority
from agentcgroup.policy.ladder import Ladder
from agentcgroup.policy.world import Action, CallId, CallState, Decision, Moved, Policy, SessionState, Signal, World
from bench.moves import Arm, Moves
from bench.statistics import compare, interval, quantile

PERIOD_S = 1.0
PAUSES_S = (0.03, 0.12)  # the kernel notifies of a file at most once in 10 ms
LEAVES = 64  # of the freezer: the poller must see each frozen before it is thawed
CALLS = 8  # of the session whose memory is watched
BALLAST = 64 << 20  # of the process above memory.high, so that 1 MiB more is too little to be throttled for

Times: TypeAlias = tuple[list[float], list[float], list[float]]
"""Milliseconds, move by move: the event arm until it noticed and until it decided, the poller until it decided."""


@dataclass(frozen=True, slots=True)
class Stamped:
    """The policy, and the instant at which each of its decisions was made."""

    inner: Policy
    arm: Arm

    @property
    def name(self) -> str:
        """Of the policy."""
        return self.inner.name

    def decide(self, world: World, signal: Signal) -> Decision:
        """See `world.Policy`."""
        decision = self.inner.decide(world, signal)
        if isinstance(signal, Moved):
            self.arm.decided()
        return replace(decision, policy=Stamped(decision.policy, self.arm))


@dataclass
class Session:
    """A session of which every leaf is a running call (controller.decider.Governed); what is decided is not done."""

    leaves: list[Cgroup]
    name: str = "bench"

    def world(self) -> World:
        """Read now, the files that a real session reads."""
        memory = read_meminfo()
        used = [leaf.read_int("memory.current") or 0 for leaf in self.leaves]
        calls = tuple(
            CallState(CallId(self.name, leaf.path.name), Priority.NORMAL, 0.0, size)
            for leaf, size in zip(self.leaves, used, strict=True)
        )
        state = SessionState(self.name, Priority.NORMAL, sum(used), calls_bytes=memory.total_bytes, calls=calls)
        return World(time.monotonic(), memory.total_bytes, memory.available_bytes, (state,))

    def carry_out(self, actions: Sequence[Action]) -> None:
        """Nothing: the leaves are moved by the clock of the bench alone."""

    def set_priority(self, priority: Priority) -> None:
        """Nothing."""

    def hold(self, frozen: bool, reason: str) -> None:
        """Nothing."""

    def end(self, reason: str) -> None:
        """Nothing."""


def begin(arm: Arm, leaves: list[Cgroup]) -> Callable[[int, int], None]:
    """A decider of its own for ``arm``: what to call with the number of a leaf and by how much its counter moved."""
    decider = LocalDecider(Stamped(Ladder(), arm))
    decider.start(Session(leaves))

    def moved(number: int, by: int) -> None:
        arm.saw(number)
        decider.submit(Moved("bench", CallId("bench", leaves[number].path.name), high=max(1, by)))

    return moved


async def poll(leaves: list[Cgroup], file: str, key: str, arm: Arm) -> None:
    """Look at all leaves once in PERIOD_S; for ever."""
    moved = begin(arm, leaves)
    known = [leaf.read_keyed(file).get(key, 0) for leaf in leaves]
    while True:
        await asyncio.sleep(PERIOD_S)
        for number, leaf in enumerate(leaves):
            now = leaf.read_keyed(file).get(key, 0)
            if now != known[number]:
                moved(number, now - known[number])
                known[number] = now


async def watch(leaves: list[Cgroup], file: str, key: str, arm: Arm, until: Callable[[], bool]) -> None:
    """Be told by the kernel, ``until`` says so."""
    loop = asyncio.get_running_loop()
    moved = begin(arm, leaves)
    number_of = {leaf.path: number for number, leaf in enumerate(leaves)}
    with EventWatch() as watching:
        for leaf in leaves:
            watching.add(leaf, (file,))

        def look() -> None:
            for change in watching.changes():
                if key in change.by:
                    moved(number_of[change.cgroup.path], change.by[key])

        loop.add_reader(watching, look)
        while not until():
            await asyncio.sleep(PERIOD_S)
        loop.remove_reader(watching)


def both(leaves: list[Cgroup], file: str, key: str, moves: Moves) -> Times:
    """The times of both arms, for the moves that both have seen."""
    event, poller = Arm(moves), Arm(moves)
    deadline = time.monotonic() + moves.count * PAUSES_S[1] + 30

    def over() -> bool:
        return poller.count() >= moves.count or time.monotonic() > deadline

    with in_process(lambda: asyncio.run(poll(leaves, file, key, poller))):
        asyncio.run(watch(leaves, file, key, event, over))
    first, second = event.delays(), poller.delays()
    seen = sorted(first.keys() & second.keys())
    return (
        [first[number][0] for number in seen],
        [first[number][1] for number in seen],
        [second[number][1] for number in seen],
    )


@contextmanager
def in_process(act: Callable[[], None]) -> Iterator[None]:
    """``act`` in a forked process, killed at the end."""
    pid = os.fork()
    if pid == 0:
        try:
            act()
        finally:
            os._exit(0)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def freezer(top: Cgroup, count: int) -> Times:
    """Leaves are frozen and thawed in turn."""
    leaves = [top.create(f"freezer{number:03d}") for number in range(LEAVES)]
    moves = Moves(count)

    def act() -> None:
        files = [os.open(leaf.path / "cgroup.freeze", os.O_WRONLY) for leaf in leaves]
        time.sleep(1)
        for number in range(count):
            time.sleep(random.uniform(*PAUSES_S))
            moves.stamp(number, number % LEAVES)
            os.write(files[number % LEAVES], b"0" if number // LEAVES % 2 else b"1")
        signal.pause()

    with in_process(act):
        return both(leaves, "cgroup.events", "frozen", moves)


def memory(top: Cgroup, count: int) -> Times:
    """A process goes 1 MiB above memory.high and back."""
    leaf = top.create("memory")
    others = [top.create(f"other{number}") for number in range(CALLS - 1)]
    moves = Moves(count)

    def act() -> None:
        leaf.attach(0)
        ballast = mmap.mmap(-1, BALLAST, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)
        time.sleep(1)
        leaf.write("memory.high", leaf.read_int("memory.current") or BALLAST)
        for number in range(count):
            time.sleep(random.uniform(*PAUSES_S))
            moves.stamp(number, 0)
            mmap.mmap(-1, 1 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()
        ballast.close()
        signal.pause()

    with in_process(act):
        return both([leaf, *others], "memory.events", "high", moves)


def measure(count: int) -> dict[str, Times]:
    """The times of both arms for the file that this host can show."""
    mount = find_unified_mount()
    assert mount is not None, "needs cgroup v2: mount -t cgroup2 none /sys/fs/cgroup/unified"
    root = Cgroup(mount)
    root.enable(("memory",))
    top = root.create(f"agentcgroup-bench-{os.getpid()}")
    top.enable(("memory",))
    try:
        if "memory" in top.enabled():
            times = {"memory.events": memory(top, count)}
        else:
            times = {"cgroup.events": freezer(top, count)}
    finally:
        top.remove_tree()
    return times


def results(times: dict[str, Times]) -> dict[str, dict[str, float]]:
    """Each file and quantile: the event arm against the poller, with the interval of the event arm itself."""
    found = {}
    for file, (noticed, event, poller) in times.items():
        for q in (0.5, 0.99):
            low, high = interval(lambda at, e=event, q=q: quantile([e[i] for i in at], q), len(event))  # type: ignore[misc]
            found[f"{file} p{q * 100:g}"] = compare(event, poller, q) | {
                "arm_low": low,
                "arm_high": high,
                "noticed": quantile(noticed, q),
            }
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moves", type=int, default=400)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = results(measure(options.moves))
    if options.json:
        print(json.dumps(found))
        return
    for name, r in found.items():
        print(
            f"{name:20s} n={r['n']:.0f}  by event {r['arm']:.3f} ms [{r['arm_low']:.3f}, {r['arm_high']:.3f}] "
            f"(noticed {r['noticed']:.3f}), by a poller of {PERIOD_S:g} s {r['control']:.0f} ms"
        )
    if not any(name.startswith("memory") for name in found):
        print("memory.events: no memory controller here; agentcgroup lab run -- .venv/bin/python -m bench.reaction")


if __name__ == "__main__":
    main()
