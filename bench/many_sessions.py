"""Many real sessions on one host, joined to a daemon: what their controllers cost, and whether the traces are whole.

Each session has 8 live calls (sleeping processes) and starts one call every five seconds; a process of its own controls
it. bench.daemon_load measures the daemon alone, with many more sessions.

    python -m bench.many_sessions [--sessions 1,10,25] [--seconds 30] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from agentcgroup.kernel import process
from agentcgroup.model import Outcome
from agentcgroup.trace.reader import read_trace

_LIVE = 8
_EVERY_S = 5.0
_AGENT = """
import subprocess, sys, time
live = [subprocess.Popen(["sh", "-c", "sleep 3600; :"]) for _ in range(int(sys.argv[1]))]
started = 0
print("ready", flush=True)
until = time.monotonic() + float(sys.argv[2])
while time.monotonic() < until:
    time.sleep(float(sys.argv[3]))
    subprocess.run(["sh", "-c", "true"])
    started += 1
print(started, flush=True)
for call in live:
    call.terminate()
    call.wait()
"""
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Run:
    """One number of sessions; shares of one core, bytes of PSS (shared pages counted once)."""

    sessions: int
    calls: int  # started while it was measured
    lost: int  # calls that the agents started and the traces do not have
    controllers_cpu: float  # all of them together
    controllers_bytes: int
    daemon_cpu: float
    daemon_bytes: int


def run_once(sessions: int, seconds: float, folder: Path) -> Run:
    """Start a daemon and ``sessions`` sessions, measure for ``seconds``, read their traces."""
    folder.mkdir()
    socket = folder / "daemon"
    daemon = _start(["daemon", "--socket", str(socket)], folder / "daemon.log")
    while not socket.exists():
        time.sleep(0.05)
    running = [_session(number, seconds, folder) for number in range(sessions)]
    for session in running:
        assert session.stdout is not None
        session.stdout.readline()
    controllers = [session.pid for session in running]
    before = [_cpu_s([pid]) for pid in (*controllers, daemon.pid)]
    begun = time.monotonic()
    time.sleep(seconds * 0.8)
    elapsed = time.monotonic() - begun
    after = [_cpu_s([pid]) for pid in (*controllers, daemon.pid)]
    used = [(end - start) / elapsed for start, end in zip(before, after, strict=True)]
    bytes_controllers, bytes_daemon = process.pss_sum_bytes(controllers) or 0, process.pss_sum_bytes([daemon.pid]) or 0
    told = [int(session.communicate()[0]) for session in running]
    daemon.terminate()
    daemon.wait(30)
    lost = sum(_missing(folder / f"trace{number}", count + _LIVE) for number, count in enumerate(told))
    return Run(sessions, sum(told), lost, sum(used[:-1]), bytes_controllers, used[-1], bytes_daemon)


def _session(number: int, seconds: float, folder: Path) -> subprocess.Popen[str]:
    options = [
        "--daemon",
        "require",
        "--daemon-socket",
        str(folder / "daemon"),
        "--trace",
        str(folder / f"trace{number}"),
    ]
    agent = [sys.executable, "-Sc", _AGENT, str(_LIVE), str(seconds), str(_EVERY_S)]
    words = ["run", "--name", f"many{number}", "--memory", "64m", "--quiet", *options, "--", *agent]
    return _start(words, folder / f"{number}.log")


def _start(words: list[str], log: Path) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "agentcgroup", *words]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=log.open("w"), text=True)


def _cpu_s(pids: Sequence[int]) -> float:
    """User and system time so far: /proc/PID/stat, fields 14 and 15 of proc(5)."""
    total = 0.0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) * _TICK_S
    return total


def _missing(trace: Path, started: int) -> int:
    calls = read_trace(trace).sessions[0].calls
    return started - sum(call.start is not None and call.outcome is not Outcome.CUT for call in calls)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", default="1,10,25", help="numbers of sessions, comma-separated")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long each is measured")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        counts = [int(word) for word in chosen.sessions.split(",")]
        found = [run_once(count, chosen.seconds, Path(name, str(count))) for count in counts]
    print(json.dumps([asdict(run) for run in found]) if chosen.json else table(found))


def table(found: Sequence[Run]) -> str:
    """One line per number of sessions."""
    lines = [f"{'sessions':>8} {'calls':>6} {'lost':>5} {'controllers':>24} {'of each':>20} {'daemon':>22}"]
    lines += [
        f"{run.sessions:>8} {run.calls:>6} {run.lost:>5} {run.controllers_cpu:>10.1%} "
        f"{run.controllers_bytes / 2**20:>9.1f} MiB "
        f"{run.controllers_cpu / run.sessions:>8.2%} {run.controllers_bytes / run.sessions / 2**20:>7.1f} MiB "
        f"{run.daemon_cpu:>8.2%} {run.daemon_bytes / 2**20:>9.1f} MiB"
        for run in found
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
