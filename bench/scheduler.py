"""The sched_ext scheduler against the kernel's own: shares, wake-up latency among burners, throughput. Interleaved.

Every round measures all arms in random order: `default` is cpu.weight under the kernel's scheduler, `sched` the same
weights under ours, `below` the same under ours attached below another one, which lets it have all CPUs (bench/above.py;
Linux 7.3). What burners get done depends most on how fast the machine is at the moment, so that is measured apart: one
set of burners is put under ours, which is attached all the time, and back under the kernel's own (ours has only tasks
with the policy SCHED_EXT), in pairs of seconds in random order. Needs a kernel with sched_ext, so:

    agentcgroup lab run --memory 1g --timeout 30m -- .venv/bin/python -m bench.scheduler [--rounds 10] [--seconds 4]

With ``--throughput`` only the latter.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import mmap
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from agentcgroup.kernel.hierarchy import unified_mounts
from agentcgroup.kernel.scx import Counters, Scheduler, join, leave
from bench.above import above
from bench.statistics import interval, quantile

ARMS = ("default", "sched", "below")
_FLAT = {"one": (100, {"a": 100}), "two": (200, {"a": 100}), "three": (300, {"a": 100})}
_TREE = {"one": (100, {"a": 100, "b": 200}), "two": (200, {"a": 100, "b": 100, "c": 100})}
_BURNERS = 16
_SETTLE_S = 1.0
_PAIRS = 40  # of throughput, for each arm
_PAIR_SETTLE_S, _PAIR_S = 0.2, 1.0
_NAP_S = 0.01


@dataclass(frozen=True, slots=True)
class Round:
    """One arm of one round. Shares are errors against the weights, in percentage points."""

    arm: str
    flat_error: float  # worst of three sessions 1:2:3
    tree_error: float  # worst of the calls of two sessions
    wake_ms: tuple[float, ...]  # how late each wake-up was, among burners at equal weights


class Tree:
    """Cgroups ROOT/session/calls/call with weights, under a cgroup of our own that is removed at the end.

    It lies in ``parent``, or at the top of the hierarchy.
    """

    def __init__(self, scheduler: Scheduler | None, parent: Path | None = None) -> None:
        mount = parent or unified_mounts()[0].point
        self.root = mount / f"bench-scheduler-{os.getpid()}"
        (mount / "cgroup.subtree_control").write_text("+cpu")
        self.root.mkdir()
        (self.root / "cgroup.subtree_control").write_text("+cpu")
        self.scheduler = scheduler

    def session(self, name: str, weight: int, calls: dict[str, int]) -> None:
        """A session with its calls."""
        session = self.root / name
        for folder in (session, session / "calls"):
            folder.mkdir()
            (folder / "cgroup.subtree_control").write_text("+cpu")
        (session / "cpu.weight").write_text(str(weight))
        if self.scheduler is not None:
            self.scheduler.add(session)
        for call, own in calls.items():
            (session / "calls" / call).mkdir()
            (session / "calls" / call / "cpu.weight").write_text(str(own))

    def call(self, session: str, name: str) -> Path:
        """The cgroup of a call."""
        return self.root / session / "calls" / name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Kill what is in it, and remove it."""
        (self.root / "cgroup.kill").write_text("1")
        while self.root.exists():
            with suppress(OSError):  # who dies may still make one, or remove one
                for folder in sorted(self.root.glob("**/"), key=lambda path: -len(path.parts)):
                    folder.rmdir()


def spawn(arm: str, cgroup: Path, work: Callable[[], None]) -> int:
    """A process in ``cgroup``, under the scheduler of ``arm``, that works until it is killed."""
    pid = os.fork()
    if pid == 0:
        try:
            (cgroup / "cgroup.procs").write_text("0")
            if arm != "default":
                join(0)
            work()
        finally:
            os._exit(1)
    return pid


@contextmanager
def running(pids: Sequence[int]) -> Iterator[None]:
    """Processes that are killed at the end."""
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def burn() -> None:
    """Use a CPU."""
    while True:
        pass


def shares(
    arm: str, place: Path, scheduler: Scheduler | None, shape: dict[str, tuple[int, dict[str, int]]], seconds: float
) -> float:
    """The worst error of a call's share, in percentage points; two burners in each call. In the cgroup ``place``."""
    with Tree(scheduler, place) as tree:
        for name, (weight, calls) in shape.items():
            tree.session(name, weight, calls)
        places = {(name, call): tree.call(name, call) for name, (_, calls) in shape.items() for call in calls}
        with running([spawn(arm, place, burn) for place in places.values() for _ in range(2)]):
            time.sleep(_SETTLE_S)
            before = {key: _cpu_us(place) for key, place in places.items()}
            time.sleep(seconds)
            used = {key: _cpu_us(place) - before[key] for key, place in places.items()}
    total, weights = sum(used.values()), sum(weight for weight, _ in shape.values())
    return max(
        abs(used[name, call] / total - weight / weights * own / sum(calls.values())) * 100
        for name, (weight, calls) in shape.items()
        for call, own in calls.items()
    )


def _cpu_us(cgroup: Path) -> int:
    return int((cgroup / "cpu.stat").read_text().split()[1])


def latency(arm: str, tree: Tree, seconds: float) -> tuple[float, ...]:
    """How late a call that naps wakes up, among burners in sessions of the same weight, ms."""
    read, write = os.pipe()

    def nap() -> None:
        late = []
        until = time.monotonic() + _SETTLE_S + seconds
        while (begun := time.monotonic()) < until:
            time.sleep(_NAP_S)
            late.append((time.monotonic() - begun - _NAP_S) * 1000)
        os.write(write, json.dumps([round(each, 3) for each in late[int(len(late) * 0.2) :]]).encode())

    try:
        tree.session("naps", 100, {"a": 100})
        with running([spawn(arm, place, burn) for place in _burning(tree)]):
            time.sleep(_SETTLE_S)
            napper = spawn(arm, tree.call("naps", "a"), nap)
            os.waitpid(napper, 0)
            return tuple(json.loads(os.read(read, 1 << 16)))
    finally:
        os.close(read)
        os.close(write)


def _burning(tree: Tree) -> list[Path]:
    """Sessions of one call each, for burners."""
    names = [f"burner{number}" for number in range(_BURNERS)]
    for name in names:
        tree.session(name, 100, {"a": 100})
    return [tree.call(name, "a") for name in names]


def throughput(arm: str) -> list[tuple[float, float]]:
    """What burners get done (rounds of a loop per second) under ``arm`` and, in turns, under the default."""
    shared = mmap.mmap(-1, 8 * _BURNERS)
    counts = (ctypes.c_uint64 * _BURNERS).from_buffer(shared)

    def count(place: int) -> Callable[[], None]:
        def work() -> None:
            while True:
                for _ in range(1000):
                    pass
                counts[place] += 1

        return work

    def done(put: Callable[[int], None]) -> float:
        for pid in pids:
            put(pid)
        time.sleep(_PAIR_SETTLE_S)
        before, begun = sum(counts), time.monotonic()
        time.sleep(_PAIR_S)
        return (sum(counts) - before) / (time.monotonic() - begun)

    pairs = []
    with Tree(None) as top, governing(arm, top.root) as scheduler, Tree(scheduler, top.root) as tree:
        pids = [spawn("default", place, count(number)) for number, place in enumerate(_burning(tree))]
        with running(pids):
            for number in range(_PAIRS):
                both = {put: done(put) for put in random.sample((join, leave), 2)}
                pairs.append((both[join], both[leave]))
                print(f"throughput of {arm}: pair {number + 1}/{_PAIRS}", file=sys.stderr, flush=True)
    return pairs


@contextmanager
def governing(arm: str, place: Path) -> Iterator[Scheduler | None]:
    """The scheduler of ``arm``, for the cgroups in ``place``; RuntimeError when the kernel has ended it meanwhile."""
    with ExitStack() as held:
        if arm == "below":
            other = held.enter_context(above())
        scheduler = None if arm == "default" else held.enter_context(Scheduler(place))
        yield scheduler
        if scheduler is not None and (end := scheduler.ended()) is not None:
            raise RuntimeError(f"the kernel ended the scheduler: {end}")
        if arm == "below" and not other.passed_on:
            raise RuntimeError("the scheduler above passed nothing on")


def measure(arm: str, seconds: float) -> tuple[Round, Counters | None]:
    """One arm once."""
    with Tree(None) as top, governing(arm, top.root) as scheduler:
        flat, tree = (shares(arm, top.root, scheduler, shape, seconds) for shape in (_FLAT, _TREE))
        with Tree(scheduler, top.root) as place:
            late = latency(arm, place, seconds)
        return Round(arm, flat, tree, late), scheduler.counters() if scheduler else None


def table(rounds: Sequence[Round]) -> str:
    """All arms, and how they compare."""
    lines = [f"{'arm':<8} {'n':>3}  {'share error, pp':>16} {'in a tree':>10}  {'wake p50':>9} {'p99':>8} ms"]
    tails: dict[str, list[float]] = {}
    for arm in ARMS:
        own = [each for each in rounds if each.arm == arm]
        tails[arm] = [quantile(each.wake_ms, 0.99) for each in own]
        late = [late for each in own for late in each.wake_ms]
        lines.append(
            f"{arm:<8} {len(own):>3}  {quantile([e.flat_error for e in own], 0.5):>16.2f} "
            f"{quantile([e.tree_error for e in own], 0.5):>10.2f}  {quantile(late, 0.5):>9.2f} "
            f"{quantile(late, 0.99):>8.2f}"
        )
    lines.append(ratio("wake-up p99, default over sched", tails["default"], tails["sched"]))
    lines.append(ratio("wake-up p99, below over sched", tails["below"], tails["sched"]))
    return "\n".join(lines)


def ratio(title: str, one: Sequence[float], other: Sequence[float]) -> str:
    """In words: the median over the rounds of the ratio within a round, with its 95 % interval."""
    ratios = [a / b for a, b in zip(one, other, strict=True)]
    low, high = interval(lambda chosen: quantile([ratios[i] for i in chosen], 0.5), len(ratios))
    return f"{title}: {quantile(ratios, 0.5):.2f} [{low:.2f}, {high:.2f}]"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print the table, or JSON with every round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--throughput", action="store_true", help="only what burners get done")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    found: list[Round] = []
    for number in range(0 if chosen.throughput else chosen.rounds):
        for arm in random.sample(ARMS, len(ARMS)):
            measured, counters = measure(arm, chosen.seconds)
            found.append(measured)
            print(f"{number + 1}/{chosen.rounds} {arm} {counters or ''}", file=sys.stderr, flush=True)
    burned = {arm: throughput(arm) for arm in ARMS if arm != "default"}
    if chosen.json:
        print(json.dumps({"rounds": [asdict(each) for each in found], "burned": burned}))
        return
    if found:
        print(table(found))
    for arm, pairs in burned.items():
        own, default = zip(*pairs, strict=True)
        print(ratio(f"throughput, {arm} over default, {len(pairs)} pairs", own, default))


if __name__ == "__main__":
    main()
