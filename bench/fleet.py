"""Writes the traces of a fleet: many recorded sessions with calls and samples, made up from a seed, in our own format.

python -m bench.fleet FOLDER [--sessions 1000] [--calls 200] [--rows 20000] [--seed 1] [--workers 2]

The records go through the code that writes real ones, the samples into the same columns; only the numbers are invented.
Two domains (session, agent) are sampled ten times a second, and each call while it runs.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import polars as pl

from agentcgroup.model import CallEnd, CallStart, Leftovers, Limits, Outcome, Support, Usage, UsageSource
from agentcgroup.trace.frames import COUNTERS, PARQUET
from agentcgroup.trace.records import Body, Host, Record, SessionEnd, SessionStart, encode
from agentcgroup.trace.writer import RECORDS

_SECOND = 1_000_000_000
_MIB = 1 << 20
_STEP_NS = _SECOND // 10
_BEGIN = datetime(2026, 11, 1, 8, tzinfo=UTC)
_SCRIPTS = (
    "pytest -q tests/test_{n}.py",
    "cd /srv/repo && python -m pytest tests -k case_{n} 2>&1 | tail -40",
    "git diff HEAD~{n} -- src | head -200",
    "git log --oneline -{n}",
    "grep -rn 'name_{n}' src | head",
    "sed -n '{n},400p' src/module_{n}.py",
    "python - <<'END'\nimport json\nprint(json.dumps(list(range({n}))))\nEND",
    "pip install --quiet package-{n}",
    "make -j4 target-{n}",
    "ls -la src/part_{n}",
    "find . -name '*_{n}.py' -newer setup.py",
    "cargo build --release --bin tool-{n}",
    "cat notes-{n}.md",
    "npm test -- --grep case-{n}",
)


def write_fleet(folder: Path, sessions: int, calls: int, rows: int, seed: int = 1, workers: int = 1) -> None:
    """``sessions`` traces below ``folder`` (a set), each with ``calls`` calls and ``rows`` rows of samples."""
    jobs = [(folder / f"task-{n:05d}", calls, rows, seed * 1_000_003 + n) for n in range(sessions)]
    if workers == 1:
        for job in jobs:
            _write_session(*job)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for done in [pool.submit(_write_session, *job) for job in jobs]:
            done.result()


def _write_session(folder: Path, calls: int, rows: int, seed: int) -> None:
    source = random.Random(seed)
    folder.mkdir(parents=True)
    begin_ns = source.randrange(1, 1 << 50)
    ticks = max(rows * 5 // 12, 10)  # two domains, and calls that run for two fifths of the time
    spans = _spans(source, calls, ticks, begin_ns)
    samples = _samples(spans, ticks, rows, begin_ns, seed)
    samples.write_parquet(folder / PARQUET, compression="zstd")
    last_ns = max([begin_ns, *(end for _, end in spans), *samples["t_ns"].tail(1)])
    lines = (encode(record.to_json()) for record in _records(source, spans, begin_ns, last_ns))
    (folder / RECORDS).write_text("".join(f"{line}\n" for line in lines))


def _spans(source: random.Random, calls: int, ticks: int, begin_ns: int) -> list[tuple[int, int]]:
    """Begin and end of each call (ns), one after the other, now and then over the next one."""
    slot = ticks * _STEP_NS // max(calls, 1)
    return [
        (begin, begin + min(max(int(source.lognormvariate(-1.6, 1.2) * slot), 2_000_000), 3 * slot))
        for begin in (begin_ns + n * slot + source.randrange(slot // 3 + 1) for n in range(calls))
    ]


def _records(source: random.Random, spans: list[tuple[int, int]], begin_ns: int, last_ns: int) -> Iterator[Record]:
    def record(at_ns: int, body: Body) -> Record:
        wall = _BEGIN + timedelta(microseconds=(at_ns - begin_ns) // 1000)
        return Record(at_ns, wall.isoformat(timespec="microseconds"), "s1", body)

    limits = Limits(memory_max_bytes=2048 * _MIB, memory_oom_group=True, pids_max=512, cpu_weight=100)
    host = Host("node", "6.18.44", 24, 128 << 30)
    head = SessionStart("fleet", ("claude", "-p", "task"), "/srv/repo", "claude", Support.FULL, "mount", host, limits)
    yield record(begin_ns, head)
    for number, (begin, end) in enumerate(spans):
        argv = ("/bin/bash", "-lc", source.choice(_SCRIPTS).format(n=source.randrange(1, 2000)))
        size = sum(map(len, argv)) + 2
        call, pid = f"c{number + 1:06d}", 5000 + 3 * number
        start = CallStart(
            call,
            argv,
            size,
            "/srv/repo",
            begin,
            begin + 400_000,
            True,
            "claude",
            f"toolu_{number}",
            pid,
            pid + 1,
            limits,
        )
        yield record(begin + 500_000, start)
        status = int(source.random() < 0.1)
        peak, cpu_us = int(source.lognormvariate(3.5, 1.2) * _MIB), int((end - begin) * source.random() / 1000)
        usage = Usage(UsageSource.CGROUP, memory_peak_bytes=peak, cpu_time_us=cpu_us, pids_peak=4)
        outcome = Outcome.FAILED if status else Outcome.OK
        yield record(end, CallEnd(call, end, end + 200_000, status, 0, outcome, usage, Leftovers()))
    usage = Usage(UsageSource.CGROUP, memory_peak_bytes=1500 * _MIB, cpu_time_us=90_000_000)
    yield record(last_ns + 1, SessionEnd(0, 0, "", len(spans), usage, usage))


def _samples(spans: list[tuple[int, int]], ticks: int, rows: int, begin_ns: int, seed: int) -> pl.DataFrame:
    """``rows`` rows in order of their instants; memory and CPU wander."""
    # More than needed where calls were short: what comes after the last wanted row is cut off.
    every = pl.DataFrame({"tick": pl.int_range(max(ticks, rows // 2 + 1), dtype=pl.Int64, eager=True)})
    owned = pl.DataFrame(
        {
            "domain": [f"c{n + 1:06d}" for n in range(len(spans))],
            "from": [-(-(begin - begin_ns) // _STEP_NS) for begin, _ in spans],
            "to": [min((end - begin_ns) // _STEP_NS + 1, ticks) for _, end in spans],
        },
        schema={"domain": pl.String, "from": pl.Int64, "to": pl.Int64},
    ).filter(pl.col("to") > pl.col("from"))
    running = owned.select("domain", tick=pl.int_ranges("from", "to")).explode("tick").select("tick", "domain")
    frame = pl.concat([*(every.with_columns(domain=pl.lit(name)) for name in ("session", "agent")), running])
    frame = frame.sort("tick", maintain_order=True).head(rows)
    noise = pl.Series("noise", range(frame.height), dtype=pl.Int64).shuffle(seed=seed)
    step = noise % 1000
    return (
        frame.with_columns(step=step)
        .select(
            (begin_ns + pl.col("tick") * _STEP_NS).alias("t_ns"),
            "domain",
            memory_bytes=(100 * _MIB + (pl.col("step") - 500).cum_sum().over("domain").abs() * 16384) // 4096 * 4096,
            cpu_time_us=(pl.col("step") * 100).cum_sum().over("domain"),
            pids=pl.col("step") % 9 + 1,
            memory_some_us=(pl.col("step") // 900).cum_sum().over("domain"),
            memory_full_us=pl.lit(0, pl.Int64),
            cpu_some_us=(pl.col("step") // 100).cum_sum().over("domain"),
        )
        .select("t_ns", "domain", *COUNTERS)
    )


def main() -> None:
    """Write the traces."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    started = time.monotonic()
    write_fleet(given.folder, given.sessions, given.calls, given.rows, given.seed, given.workers)
    size = sum(path.stat().st_size for path in given.folder.rglob("*") if path.is_file())
    print(f"{given.sessions} sessions, {size >> 20} MiB, in {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    main()
