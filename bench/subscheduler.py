"""What it costs to be a sub-scheduler (Linux 7.3): the same queue as the only scheduler, and attached to a cgroup.

Every round measures both arms in random order: ``only`` is a scheduler in partial mode, as ours is; ``below`` is the
same program attached to a cgroup, with one above it that grants it all CPUs and passes on each that has nothing to do
(bench/bpf/subscheduler.bpf.c). Two processes that wake each other through pipes show what a switch costs; one that naps
among 16 burners what a wake-up does; the burners the throughput. Needs Linux 7.3, so:

    agentcgroup lab run --memory 1g --timeout 10m -- .venv/bin/python -m bench.subscheduler [--rounds 10] [--seconds 2]
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from agentcgroup.kernel import btf
from agentcgroup.kernel.bpf import FOLDER, BpfObject
from bench.scheduler import Tree, latency, ratio, running, spawn
from bench.statistics import quantile
from hatch_build import find_clang

ARMS = ("only", "below")
_SOURCE = Path(__file__).parent / "bpf" / "subscheduler.bpf.c"
_STATE = Path("/sys/kernel/sched_ext/state")


class _State(ctypes.Structure):
    _fields_ = (
        ("queued", ctypes.c_uint64),
        ("passed_on", ctypes.c_uint64),
        ("below", ctypes.c_uint64),
        ("granted", ctypes.c_int64),
        ("exit_kind", ctypes.c_uint64),
        ("message", ctypes.c_char * 128),
    )


class _Operations(ctypes.Structure):
    _fields_ = (
        ("callbacks", ctypes.c_void_p * 5),
        ("flags", ctypes.c_uint64),
        ("timeout_ms", ctypes.c_uint32),
        ("sub_cgroup_id", ctypes.c_uint64),
        ("name", ctypes.c_char * 128),
    )


@dataclass(frozen=True, slots=True)
class Round:
    """One arm of one round."""

    arm: str
    turns: float  # of two processes that wake each other, per second
    wake_ms: tuple[float, ...]  # how late each wake-up was, among burners
    burned: float  # what the burners got done meanwhile: rounds of a loop per second
    queued: int  # by the scheduler whose tasks these are
    passed_on: int  # by the one above


def compiled(folder: Path) -> dict[str, Path]:
    """Both objects, made in ``folder``."""
    clang = find_clang()
    if clang is None:
        raise SystemExit("bench.subscheduler needs clang")
    objects = {}
    for name, options in (("queue", []), ("root", ["-DROOT"])):
        objects[name] = folder / f"{name}.bpf.o"
        subprocess.run(
            [clang, "@flags", *options, f"-I{FOLDER}", "-c", _SOURCE.resolve(), "-o", objects[name]],
            check=True,
            cwd=FOLDER,
        )
    return objects


@contextmanager
def attached(file: Path, below: Path | None, partial: bool) -> Iterator[_State]:
    """The scheduler in ``file``, at a cgroup or at the root; what it counts."""
    with BpfObject(file) as program:
        operations = program.initial("bench_ops", _Operations)
        if below is not None:
            operations.sub_cgroup_id = below.stat().st_ino
        if partial:
            operations.flags |= btf.enum_value(btf.read(), "scx_ops_flags", "SCX_OPS_SWITCH_PARTIAL")
        program.load()
        program.attach_operations("bench_ops")
        yield program.live(".data", _State)


def turns(cgroup: Path, seconds: float) -> float:
    """How often two processes in ``cgroup`` wake each other, per second.

    Both on one CPU: for who wakes up while another CPU idles the kernel itself finds that, past every queue.
    """
    (one, two), (three, four), (told, tell) = os.pipe(), os.pipe(), os.pipe()

    def answer() -> None:
        os.sched_setaffinity(0, {0})
        while True:
            os.write(four, os.read(one, 1))

    def ask() -> None:
        os.sched_setaffinity(0, {0})
        count, begun = 0, time.monotonic()
        while time.monotonic() - begun < seconds:
            os.write(two, b"x")
            os.read(three, 1)
            count += 1
        os.write(tell, str(count / (time.monotonic() - begun)).encode())
        time.sleep(60)

    with running([spawn("sched", cgroup, work) for work in (answer, ask)]):
        found = float(os.read(told, 100))
    for descriptor in (one, two, three, four, told, tell):
        os.close(descriptor)
    return found


def measure(arm: str, objects: dict[str, Path], seconds: float) -> Round:
    """One arm once."""
    with ExitStack() as held:
        tree = held.enter_context(Tree(None))
        tree.session("pair", 100, {"a": 100})
        above = held.enter_context(attached(objects["root"], None, True)) if arm == "below" else None
        own = held.enter_context(attached(objects["queue"], tree.root if arm == "below" else None, arm == "only"))
        if above is not None and above.granted:
            raise RuntimeError(f"no CPUs were granted: {os.strerror(-above.granted)}")
        number = turns(tree.call("pair", "a"), seconds)
        late, burned = latency("sched", tree, seconds)
        if own.exit_kind or (above is not None and above.exit_kind):
            messages = [each.message.decode(errors="replace") for each in (own, above) if each is not None]
            raise RuntimeError(f"the kernel ended a scheduler: {messages}")
        if not own.queued:
            raise RuntimeError("the scheduler was given no task")
        return Round(arm, number, late, burned, own.queued, above.passed_on if above else 0)


def table(rounds: Sequence[Round]) -> str:
    """Both arms, and how they compare."""
    lines = [
        f"{'arm':<6} {'n':>3} {'turns/s':>9} {'wake p50':>9} {'p99':>8} ms {'burned/s':>9} {'queued':>9} "
        f"{'passed on':>9}"
    ]
    by_arm = {arm: [each for each in rounds if each.arm == arm] for arm in ARMS}
    for arm, own in by_arm.items():
        late = [late for each in own for late in each.wake_ms]
        middles = [
            quantile([getattr(each, name) for each in own], 0.5) for name in ("turns", "burned", "queued", "passed_on")
        ]
        lines.append(
            f"{arm:<6} {len(own):>3} {middles[0]:>9.0f} {quantile(late, 0.5):>9.2f} {quantile(late, 0.99):>8.2f}    "
            f"{middles[1]:>9,.0f} {middles[2]:>9.0f} {middles[3]:>9.0f}"
        )
    only, below = by_arm["only"], by_arm["below"]
    lines.append(ratio("turns, below over only", [each.turns for each in below], [each.turns for each in only]))
    lines.append(ratio("throughput, below over only", [each.burned for each in below], [each.burned for each in only]))
    tails = [[quantile(each.wake_ms, 0.99) for each in arm] for arm in (below, only)]
    lines.append(ratio("wake-up p99, below over only", *tails))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print the table, or JSON with every round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    if not _STATE.exists():
        raise SystemExit("bench.subscheduler needs Linux 7.3 with sched_ext; run it in the lab")
    found: list[Round] = []
    with tempfile.TemporaryDirectory() as folder:
        objects = compiled(Path(folder))
        for number in range(chosen.rounds):
            for arm in random.sample(ARMS, len(ARMS)):
                found.append(measure(arm, objects, chosen.seconds))
                print(f"{number + 1}/{chosen.rounds} {arm}", file=sys.stderr, flush=True)
    print(json.dumps([asdict(each) for each in found]) if chosen.json else table(found))


if __name__ == "__main__":
    main()
