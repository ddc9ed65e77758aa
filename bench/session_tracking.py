"""What the exec tracker costs the controller of a session, and how late a call past the stand-ins gets its leaf.

    python -m bench.session_tracking [--rate 1000] [--seconds 4] [--rounds 10] [--calls 100] [--json]

A session whose one call starts so many programs a second, with `--track on` and `off` in turns: the CPU time of the
`run` process meanwhile, all its threads (schedstat). Then a session whose shells come past the stand-ins, one after
another: from the exec to the arrival in their leaves, as the trace has it. Needs what bench.tracking needs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from agentcgroup.trace.reader import read_trace
from bench.statistics import interval, quantile
from bench.tracking import LOAD

_BUSY = """
import subprocess, sys, time
time.sleep(2)
for word in ("begin", "end"):
    print(word, flush=True)
    if word == "begin":
        subprocess.run(["bash", "-c", sys.argv[1] + "; true"], stdout=subprocess.DEVNULL)
"""
_PAST = """
import subprocess, sys, time
time.sleep(2)
for _ in range(int(sys.argv[1])):
    subprocess.run(["/bin/bash", "-c", "sleep 0.05; true"], start_new_session=True)
    time.sleep(0.03)
"""


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=int, default=1000, help="execs per second")
    parser.add_argument("--seconds", type=int, default=4, help="length of a window")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--calls", type=int, default=100, help="calls past the stand-ins")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        program = _build(Path(folder))
        load = f"{program} {options.rate} {options.seconds}"
        shares: dict[str, list[float]] = {"off": [], "on": []}
        for number in range(options.rounds):
            for track in ("off", "on") if number % 2 else ("on", "off"):
                trace = Path(folder, f"{number}{track}")
                shares[track].append(100 * _busy(load, track, trace))
        late_ms = _late(options.calls, Path(folder, "past"))
    added = [on - off for on, off in zip(shares["on"], shares["off"], strict=True)]
    result = {
        "rate": options.rate,
        "controller_percent_off": _summary(shares["off"]),
        "controller_percent_on": _summary(shares["on"]),
        "added_percent": _summary(added),
        "calls": options.calls,
        "caught": len(late_ms),
        "late_ms": {f"p{round(100 * share)}": quantile(late_ms, share) for share in (0.5, 0.9, 0.99)}
        if late_ms
        else {},
    }
    print(json.dumps(result, indent=1))


def _build(folder: Path) -> Path:
    (folder / "load.c").write_text(LOAD)
    subprocess.run(["cc", "-O2", "-static", "load.c", "-o", "load"], cwd=folder, check=True)
    return folder / "load"


def _run(trace: Path, program: str, argument: str, *options: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "agentcgroup",
        "run",
        "--quiet",
        "--sample-hz",
        "0",
        "--trace",
        str(trace),
        *options,
    ]
    return subprocess.Popen(
        [*command, "--", sys.executable, "-S", "-c", program, argument],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _busy(load: str, track: str, trace: Path) -> float:
    """The share of a core that the controller used while the load ran."""
    process = _run(trace, _BUSY, load, "--track", track)
    assert process.stdout is not None
    seen = []
    for _ in range(2):
        assert process.stdout.readline()
        seen.append((time.monotonic(), _cpu_s(process.pid)))
    process.communicate()
    (began, before), (ended, after) = seen
    return (after - before) / (ended - began)


def _cpu_s(pid: int) -> float:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _late(calls: int, trace: Path) -> list[float]:
    """Milliseconds from the exec of each caught call to its leaf."""
    _run(trace, _PAST, str(calls), "--track", "on", "--placement", "path").communicate()
    starts = [call.start for call in read_trace(trace).sessions[0].calls if call.start is not None]
    return [(start.placed_ns - start.started_ns) / 1e6 for start in starts if start.caught and start.placed_ns]


def _summary(values: list[float]) -> dict[str, float]:
    low, high = interval(lambda indexes: quantile([values[i] for i in indexes], 0.5), len(values))
    return {"p50": quantile(values, 0.5), "low": low, "high": high}


if __name__ == "__main__":
    main()
