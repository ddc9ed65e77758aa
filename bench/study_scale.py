"""What a study of a fleet takes: seconds and memory of `agentcgroup study` over many recorded samples.

python -m bench.study_scale [--folder FOLDER] [--rows 20000] [--workers N …] [--rounds 3] [--only METRIC]

Without --folder the traces of `bench.fleet` are written first: 20 million samples in 200,000 calls. Memory is that of
all its processes together, looked at twenty times a second: resident, and by its share of what they have in common.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench.fleet import write_fleet

_LOOK_S = 0.05


def measure(folder: Path, options: list[str]) -> dict[str, float]:
    """One run: ``seconds``, ``cpu_s``, ``rss_mib`` and ``pss_mib`` at their peaks, ``numbers`` that it printed."""
    command = [str(Path(sys.executable).with_name("agentcgroup")), "study", str(folder), "--json", *options]
    before = os.times()
    started = time.monotonic()
    rss = pss = 0
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output)
        while process.poll() is None:
            sizes = [_memory(pid) for pid in _tree(process.pid)]
            rss, pss = max(rss, sum(size[0] for size in sizes)), max(pss, sum(size[1] for size in sizes))
            time.sleep(_LOOK_S)
        seconds = time.monotonic() - started
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} failed with {process.returncode}")
        output.seek(0)
        numbers = len(json.load(output)["numbers"])
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return {"seconds": seconds, "cpu_s": cpu_s, "rss_mib": rss / 1024, "pss_mib": pss / 1024, "numbers": numbers}


def _tree(pid: int) -> list[int]:
    """``pid`` and all below it."""
    found = [pid]
    for parent in found:
        try:
            tasks = Path(f"/proc/{parent}/task").iterdir()
            found += [int(child) for task in tasks for child in (task / "children").read_text().split()]
        except OSError:
            continue  # it has ended
    return found


def _memory(pid: int) -> tuple[int, int]:
    """RSS and PSS in KiB."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return 0, 0
    fields = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return fields.get("Rss", 0), fields.get("Pss", 0)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="traces that are there already")
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="*", help="each of these numbers in turn")
    parser.add_argument("--engine", default="local")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = given.folder
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "fleet"
            write_fleet(folder, given.sessions, given.calls, given.rows, workers=os.cpu_count() or 1)
        for number in range(given.rounds):
            for workers in given.workers or [0]:
                options = ["--engine", given.engine, *(["--workers", str(workers)] if workers else [])]
                options += [word for name in given.only for word in ("--only", name)]
                load = os.getloadavg()[0]
                found = measure(folder, options) | {"workers": workers, "load_before": load}
                print(json.dumps(found) if given.json else _line(number, found), flush=True)


def _line(number: int, found: dict[str, float]) -> str:
    workers = f"{found['workers']:.0f} workers" if found["workers"] else "by default"
    return (
        f"round {number + 1}, {workers}: {found['seconds']:.1f} s ({found['cpu_s']:.1f} s of CPU), "
        f"peak RSS {found['rss_mib']:.0f} MiB (PSS {found['pss_mib']:.0f}), {found['numbers']:.0f} numbers; "
        f"load before {found['load_before']:.1f}"
    )


if __name__ == "__main__":
    main()
