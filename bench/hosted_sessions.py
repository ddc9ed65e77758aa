"""Many real sessions in one process (agentcgroup.hosting): what controlling them costs, and whether traces are whole.

Each session has 8 live calls (sleeping processes) and starts a call every five seconds, so 500 sessions start 100 calls
per second. Nothing is sampled: each call is metered at its end. The controller is this process.

    python -m bench.hosted_sessions [--sessions 1,10,100,500] [--seconds 60] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from agentcgroup.hosting import host
from agentcgroup.model import Outcome
from agentcgroup.trace.reader import read_trace

_LIVE = 8
_EVERY_S = 5
_PAUSE_S = 0.02  # between the starts of sessions, so that their calls do not come all at once
_AGENT = f"""
for i in {" ".join(str(number) for number in range(_LIVE))}; do bash -c 'sleep 3600; :' & done
: > "$1.ready"
while [ ! -e "$2" ]; do sleep {_EVERY_S}; bash -c 'true; :'; echo >> "$1.told"; done
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One number of sessions; ``cpu`` is a share of one core, ``rss_bytes`` that of this process when all run."""

    sessions: int
    seconds: float
    calls: int
    lost: int  # calls that agents started and the traces do not have whole
    cpu: float
    rss_bytes: int


async def run_once(sessions: int, seconds: float, folder: Path) -> Run:
    """Start ``sessions`` sessions, measure for ``seconds``, stop them, read their traces."""
    stop = folder / "stop"
    running = []
    for number in range(sessions):
        line = ["sh", "-c", _AGENT, "agent", str(folder / str(number)), str(stop)]
        trace = folder / f"trace{number}"
        agent = host(line, name=f"hosted{number}", agent="command", memory="64m", trace=trace, daemon="off", say=_quiet)
        running.append(asyncio.create_task(agent))
        await asyncio.sleep(_PAUSE_S)
    while len(list(folder.glob("*.ready"))) < sessions:
        await asyncio.sleep(0.2)
    await asyncio.sleep(2)
    cpu_s, begun = time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    cpu_s, elapsed = time.process_time() - cpu_s, time.monotonic() - begun
    rss = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    stop.touch()
    await asyncio.gather(*running)
    told = [len((folder / f"{number}.told").read_text().splitlines()) + _LIVE for number in range(sessions)]
    lost = sum(_missing(folder / f"trace{number}", count) for number, count in enumerate(told))
    return Run(sessions, seconds, sum(told), lost, cpu_s / elapsed, rss)


def _missing(trace: Path, started: int) -> int:
    calls = read_trace(trace).sessions[0].calls
    return started - sum(call.start is not None and call.outcome not in (None, Outcome.CUT) for call in calls)


def _quiet(line: str) -> None:
    """What the host lacks is said by every session, and known."""


def table(found: Sequence[Run]) -> str:
    """One line per number of sessions."""
    lines = [f"{'sessions':>8} {'calls':>7} {'lost':>5} {'CPU of a core':>14} {'RSS':>10}"]
    lines += [
        f"{run.sessions:>8} {run.calls:>7} {run.lost:>5} {run.cpu:>14.1%} {run.rss_bytes / 2**20:>6.1f} MiB"
        for run in found
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", default="1,10,100,500", help="numbers of sessions, comma-separated")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each is measured")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    found = []
    for count in (int(word) for word in chosen.sessions.split(",")):
        with tempfile.TemporaryDirectory() as name:
            found.append(asyncio.run(run_once(count, chosen.seconds, Path(name))))
    print(json.dumps([asdict(run) for run in found]) if chosen.json else table(found))


if __name__ == "__main__":
    main()
