"""What the exec tracker costs at 1,000 execs per second: CPU of its reader, CPU it adds to the execs, events lost.

    python -m bench.tracking [--rate 1000] [--seconds 5] [--rounds 10] [--json]

A small program made here starts itself anew so often each second, in a cgroup of its own. Every round has a window
with the tracker and one without, in turns; the reader is another process that makes a record of every event, as the
controller does. What the programs in the kernel take is counted by the kernel, in one more window (counting costs too).
Needs root, cgroup v2, libbpf and the tracker's object (agentcgroup doctor says).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from agentcgroup.kernel import libbpf
from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.hierarchy import find_unified_mount
from agentcgroup.kernel.tracking import PAUSE_S, Tracker, stream
from agentcgroup.kernel.tracking_events import Executed, Exited, Forked, Lost
from bench.statistics import interval, quantile

_RUN_TIME = 0  # BPF_STATS_RUN_TIME, Linux 5.8

# Starts `rate` programs a second for `seconds`, evenly, and writes how many, and the CPU seconds of all.
LOAD = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Compiled and run by bench.tracking. */
static double cpu(int who) {
    struct rusage u;
    getrusage(who, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv) {
    if (argc < 3) return 0;
    long rate = atol(argv[1]), count = rate * atol(argv[2]);
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (long i = 0; i < count; i++) {
        char *again[] = {argv[0], "--an-argument=of-ordinary-length", NULL}, *none[] = {NULL};
        if (vfork() == 0) { execve(argv[0], again, none); _exit(1); }
        wait(NULL);
        next.tv_nsec += 1000000000 / rate;
        if (next.tv_nsec >= 1000000000) { next.tv_nsec -= 1000000000; next.tv_sec++; }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
    printf("%ld %f\n", count, cpu(RUSAGE_SELF) + cpu(RUSAGE_CHILDREN));
    return 0;
}
"""


@dataclass(frozen=True, slots=True)
class Window:
    """One stretch of load."""

    execs: int
    seconds: float
    load_cpu_s: float  # of the load and all that it started
    reader_cpu_s: float = 0.0
    seen: int = 0  # complete triples: the least of fork, exec and exit events
    lost: int = 0  # as the tracker itself says
    kernel_s: float = 0.0  # in the tracker's programs, where that is counted


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=int, default=1000, help="execs per second")
    parser.add_argument("--seconds", type=int, default=5, help="length of a window")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    mount = find_unified_mount()
    if mount is None:
        raise SystemExit("needs cgroup v2")
    top = Cgroup(mount).create(f"agentcgroup-bench-{os.getpid()}")
    try:
        with tempfile.TemporaryDirectory() as folder:
            program = _build(Path(folder))
            _window(program, top, options.rate, 1, tracked=False)  # warm
            pairs = [
                tuple(_window(program, top, options.rate, options.seconds, tracked) for tracked in order)
                for order in [(False, True), (True, False)] * ((options.rounds + 1) // 2)
            ][: options.rounds]
            counted = _window(program, top, options.rate, options.seconds, tracked=True, count=True)
    finally:
        top.remove_tree(5)
    result = _result([pair if pair[1].reader_cpu_s else pair[::-1] for pair in pairs], counted, options.rate)
    print(json.dumps(result, indent=1) if options.json else _text(result))


def _build(folder: Path) -> Path:
    (folder / "load.c").write_text(LOAD)
    subprocess.run(["cc", "-O2", "-static", "load.c", "-o", "load"], cwd=folder, check=True)
    return folder / "load"


def _window(program: Path, top: Cgroup, rate: int, seconds: int, tracked: bool, count: bool = False) -> Window:
    reader = _Reader(top.path, count) if tracked else None
    started = time.monotonic()
    command = ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(top.path), str(program)]
    done = subprocess.run([*command, str(rate), str(seconds)], capture_output=True, text=True, check=True)
    took = time.monotonic() - started
    execs, cpu = done.stdout.split()
    if reader is None:
        return Window(int(execs), took, float(cpu))
    return Window(int(execs), took, float(cpu), *reader.stop())


class _Reader:
    """The tracker and its reader in a process of its own, so that its CPU time is its own too."""

    def __init__(self, root: Path, count: bool) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("spawn").Process(target=_read, args=(root, theirs, count))
        self._process.start()
        self._pipe.recv()

    def stop(self) -> tuple[float, int, int, float]:
        """CPU seconds since it was ready, complete triples, events lost, seconds in the kernel's programs."""
        self._pipe.send("stop")
        used, seen, lost, kernel = self._pipe.recv()
        self._process.join()
        return used, seen, lost, kernel


def _read(root: Path, pipe: Connection, count: bool) -> None:
    counts = {Forked: 0, Executed: 0, Exited: 0}
    lost = 0

    async def follow(tracker: Tracker) -> None:
        nonlocal lost
        async for events in stream(tracker):
            for event in events:
                if isinstance(event, Lost):
                    lost += event.events + event.skipped
                elif type(event) in counts:
                    counts[type(event)] += 1

    async def run(tracker: Tracker) -> float:
        told = asyncio.Event()
        asyncio.get_running_loop().add_reader(pipe.fileno(), told.set)
        task = asyncio.ensure_future(follow(tracker))
        await asyncio.sleep(0.1)
        pipe.send("ready")
        before = time.process_time()
        await told.wait()
        asyncio.get_running_loop().remove_reader(pipe.fileno())  # else it is told for ever
        await asyncio.sleep(2 * PAUSE_S)
        task.cancel()
        return time.process_time() - before

    with Tracker(root) as tracker:
        counting = libbpf.load().c.bpf_enable_stats(_RUN_TIME) if count else -1  # until this descriptor is closed
        used = asyncio.run(run(tracker))
        kernel_ns = sum(info.run_ns for info in tracker.programs().values())
        pipe.send((used, min(counts.values()), lost, kernel_ns / 1e9))
        if counting >= 0:
            os.close(counting)


def _result(pairs: list[tuple[Window, ...]], counted: Window, rate: int) -> dict[str, object]:
    """Shares of a core are for exactly ``rate`` execs a second, also where the machine was too busy for so many."""
    without, with_it = zip(*pairs, strict=True)
    to_percent = rate / 1e4  # from microseconds per exec
    reader = [1e6 * window.reader_cpu_s / window.execs for window in with_it]
    added = [
        1e6 * (mine.load_cpu_s / mine.execs - other.load_cpu_s / other.execs)
        for other, mine in zip(without, with_it, strict=True)
    ]
    programs = 1e6 * counted.kernel_s / counted.execs
    return {
        "rate": rate,
        "n": len(pairs),
        "execs": sum(window.execs for window in with_it),
        "achieved_per_s": sum(window.execs for window in with_it) / sum(window.seconds for window in with_it),
        "not_seen": sum(window.execs - min(window.execs, window.seen) for window in with_it),
        "lost": sum(window.lost for window in with_it),
        "programs_us_per_exec": programs,
        "reader_us_per_exec": _summary(reader),
        "all_percent_of_a_core": _summary([(cost + programs) * to_percent for cost in reader]),
        "added_us_per_exec": _summary(added),
        "cpu_us_per_exec_without": _summary([1e6 * window.load_cpu_s / window.execs for window in without]),
        "windows": [[asdict(window) for window in pair] for pair in pairs],
    }


def _summary(values: list[float]) -> dict[str, float]:
    low, high = interval(lambda indexes: quantile([values[i] for i in indexes], 0.5), len(values))
    return {"p50": quantile(values, 0.5), "low": low, "high": high, "max": max(values)}


def _text(result: dict[str, object]) -> str:
    lines = [
        f"{result['rate']} execs/s ({result['achieved_per_s']:.0f} achieved), {result['n']} windows each, in turns; "
        f"p50 and 95 % interval",
        f"  events: {result['execs']} execs, not seen {result['not_seen']}, lost {result['lost']}",
    ]
    lines.append(f"  {'programs_us_per_exec':26} {result['programs_us_per_exec']:8.2f} us, counted by the kernel")
    for name, unit in (
        ("reader_us_per_exec", "us"),
        ("all_percent_of_a_core", "% (programs and reader)"),
        ("added_us_per_exec", "us (to the CPU time of the load)"),
        ("cpu_us_per_exec_without", "us"),
    ):
        found = result[name]
        assert isinstance(found, dict)
        lines.append(f"  {name:26} {found['p50']:8.2f} [{found['low']:.2f}, {found['high']:.2f}] {unit}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
