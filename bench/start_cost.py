"""What a session costs by itself: `agentcgroup run -- true` beyond `true`, and `--help`, interleaved.

python -m bench.start_cost [--rounds 20] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.statistics import compare


def measure(rounds: int) -> dict[str, list[float]]:
    """Milliseconds for each arm."""
    command = str(Path(sys.executable).with_name("agentcgroup"))
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "XDG_STATE_HOME": folder}
        arms = {
            "true": ["true"],
            "python": [sys.executable, "-c", "pass"],
            "help": [command, "--help"],
            "run": [command, "run", "--quiet", "--", "true"],
        }
        times: dict[str, list[float]] = {name: [] for name in arms}
        for number in range(rounds + 2):
            for name in random.sample(list(arms), len(arms)):
                started = time.perf_counter()
                subprocess.run(
                    arms[name], check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                if number >= 2:  # the first ones fill caches
                    times[name].append((time.perf_counter() - started) * 1000)
    return times


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    times = measure(options.rounds)
    found = {
        "run -- true beyond true": compare(times["run"], times["true"], 0.5),
        "--help beyond python -c pass": compare(times["help"], times["python"], 0.5),
    }
    if options.json:
        print(json.dumps(found))
        return
    for name, r in found.items():
        print(
            f"{name:30s} n={r['n']:.0f}  p50 {r['arm']:.1f} ms against {r['control']:.1f} ms: "
            f"added {r['added']:.1f} ms [{r['added_low']:.1f}, {r['added_high']:.1f}]"
        )


if __name__ == "__main__":
    main()
