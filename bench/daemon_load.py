"""The daemon under load: sessions with 8 live calls each, 100 calls starting per second over all of them.

python -m bench.daemon_load [--seconds 60] [--sessions 1,10,100,500] [--asking 0,1] [--quick] [--json]

The daemon is a process of its own. The sessions are simulated in this one, at what they cost least: each has the member
that `run` has (daemon/member.py) over a real socket of its own, and calls that are numbers. `asking` is the share of
calls that ask before they begin: none while there is room in their session, all while there is none.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agentcgroup.controller.local import LocalDecider
from agentcgroup.daemon.ask import ask
from agentcgroup.daemon.member import JoinedDecider, join_daemon
from agentcgroup.daemon.messages import Hello, Question
from agentcgroup.model import Priority
from agentcgroup.policy.none import Nothing
from agentcgroup.policy.world import (
    Action,
    Admit,
    Asked,
    Began,
    CallId,
    CallState,
    Ended,
    Freeze,
    Kill,
    Limit,
    Refuse,
    Request,
    SessionState,
    World,
)
from bench.statistics import quantile

_LIVE = 8
_PER_SECOND = 100
_MIB = 1 << 20
_DAEMON = "import sys; from pathlib import Path; from agentcgroup.daemon import service; "
_DAEMON += "service.run(Path(sys.argv[1]), (), Path(sys.argv[2]))"


@dataclass(slots=True)
class Load:
    """What has been sent to the daemon, and what has come back."""

    began: int = 0
    ended: int = 0
    asked: int = 0
    held: int = 0  # actions that slow, stop or kill a call: there is room, so none is due
    lost: int = 0  # connections
    latencies_s: list[float] = field(default_factory=list)


class Simulated:
    """A session whose calls sleep (controller.decider.Governed)."""

    def __init__(self, name: str, load: Load) -> None:
        self.name = name
        self._load = load
        self._decider: JoinedDecider
        self._number = 0
        self._calls: dict[CallId, CallState] = {}
        self._requests: dict[CallId, tuple[Request, float]] = {}
        for _ in range(_LIVE):
            self._begin(self._next())

    async def join(self, at: Path) -> None:
        """Connect to the daemon as `run` does."""
        hello = Hello(self.name, time.monotonic(), argv=("agent", self.name), budget_bytes=2048 * _MIB)
        self._decider = await join_daemon(
            hello, lambda: LocalDecider(Nothing()), self._lost, require=True, sockets=[at]
        )
        self._decider.start(self)

    def turn_over(self, asks: bool) -> None:
        """The oldest call ends and another one starts."""
        if self._calls:
            oldest = next(iter(self._calls))
            del self._calls[oldest]
            self._load.ended += 1
            self._decider.submit(Ended(oldest))
        call = self._next()
        if asks:
            self._load.asked += 1
            request = Request(call, Priority.NORMAL, time.monotonic(), 2 * _MIB)
            self._requests[call] = request, time.perf_counter()
            self._decider.submit(Asked(call))
        else:
            self._start(call)

    def leave(self) -> None:
        """The session is over."""
        self._decider.close()

    def world(self) -> World:
        """See Governed; no file is read for it."""
        calls = tuple(self._calls.values())
        used = len(calls) * _MIB
        state = SessionState(self.name, Priority.NORMAL, used + 200 * _MIB, 2048 * _MIB, 1800 * _MIB, 200 * _MIB, calls)
        requests = tuple(request for request, _ in self._requests.values())
        return World(time.monotonic(), 16 << 30, 12 << 30, (state,), requests)

    def carry_out(self, actions: Sequence[Action]) -> None:
        """See Governed."""
        for action in actions:
            match action:
                case Admit(id=id) if id in self._requests:
                    _, asked_s = self._requests.pop(id)
                    self._load.latencies_s.append(time.perf_counter() - asked_s)
                    self._start(id)
                case Limit() | Freeze() | Kill() | Refuse():
                    self._load.held += 1

    def set_priority(self, priority: Priority) -> None:
        """See Governed."""

    def hold(self, frozen: bool, reason: str) -> None:
        """See Governed."""

    def end(self, reason: str) -> None:
        """See Governed."""

    def _lost(self, text: str) -> None:
        self._load.lost += 1

    def _next(self) -> CallId:
        self._number += 1
        return CallId(self.name, f"c{self._number:05}")

    def _begin(self, call: CallId) -> None:
        self._calls[call] = CallState(call, Priority.NORMAL, time.monotonic(), _MIB)

    def _start(self, call: CallId) -> None:
        self._begin(call)
        self._load.began += 1
        self._decider.submit(Began(call))


def measure(sessions: int, asking: float, seconds: float) -> dict[str, float]:
    """One point of the curve: CPU as a share of a core, RSS in MiB, latencies in ms, and what was lost."""
    with tempfile.TemporaryDirectory() as name:
        config, at = Path(name, "config.toml"), Path(name, "daemon", "socket")
        config.write_text(f'log_level = "warning"\nkill_log = "{name}/kill-log.jsonl"\n')
        with subprocess.Popen([sys.executable, "-c", _DAEMON, str(config), str(at)]) as daemon:
            try:
                _wait_for(at)
                return asyncio.run(_load(daemon.pid, at, sessions, asking, seconds))
            finally:
                daemon.terminate()


async def _load(daemon: int, at: Path, count: int, asking: float, seconds: float) -> dict[str, float]:
    load, chance = Load(), random.Random(1)
    sessions = [Simulated(f"s{n}", load) for n in range(count)]
    for session in sessions:
        await session.join(at)
    await asyncio.sleep(2.0)
    cpu_s, own_s, begun = _cpu_s(daemon), time.process_time(), time.monotonic()
    for turn in range(int(seconds * _PER_SECOND)):
        await asyncio.sleep(max(0.0, begun + turn / _PER_SECOND - time.monotonic()))
        chance.choice(sessions).turn_over(chance.random() < asking)
    took = time.monotonic() - begun
    cpu_s, own_s = _cpu_s(daemon) - cpu_s, time.process_time() - own_s
    await asyncio.sleep(1.0)
    status = await asyncio.to_thread(ask, Question("status"), at)
    counts = status["counts"]
    assert isinstance(counts, dict)
    for session in sessions:
        session.leave()
    latencies = load.latencies_s or [0.0]
    return {
        "sessions": count,
        "asking": asking,
        "calls": load.ended,
        "calls_per_s": load.ended / took,
        "cpu_percent": 100 * cpu_s / took,
        "deciding_percent": 100 * counts["deciding_s"] / (took + 3),
        "rss_mib": _status_kib(daemon, "VmRSS") / 1024,
        "rss_peak_mib": _status_kib(daemon, "VmHWM") / 1024,
        "answer_p50_ms": 1e3 * quantile(latencies, 0.50),
        "answer_p99_ms": 1e3 * quantile(latencies, 0.99),
        "unanswered": load.asked - len(load.latencies_s),
        "began_lost": load.began - counts["began"],
        "ended_lost": load.ended - counts["ended"],
        "calls_wrong": abs(count * _LIVE + load.began - load.ended - int(str(status["calls"]))),
        "connections_lost": load.lost + counts["joined"] - count,
        "held": load.held,
        "generator_cpu_percent": 100 * own_s / took,
    }


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime, stime: proc_pid_stat(5)


def _status_kib(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


def _wait_for(path: Path) -> None:
    for _ in range(1000):
        if path.exists():
            return
        time.sleep(0.01)
    raise SystemExit("the daemon does not start")


def main(argv: Sequence[str] = ()) -> None:
    """Measure the curve and print it."""
    parser = argparse.ArgumentParser(prog="python -m bench.daemon_load")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--sessions", default="1,10,100,500")
    parser.add_argument("--asking", default="0,1")
    parser.add_argument("--quick", action="store_true", help="5 seconds at each point")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    seconds = 5.0 if options.quick else options.seconds
    for asking in map(float, options.asking.split(",")):
        for sessions in map(int, options.sessions.split(",")):
            found = measure(sessions, asking, seconds)
            if options.json:
                print(json.dumps(found), flush=True)
                continue
            lost = sum(found[name] for name in ("unanswered", "began_lost", "ended_lost", "calls_wrong"))
            print(
                f"{sessions:4} sessions, {asking:4.0%} ask: CPU {found['cpu_percent']:5.1f} % of a core, "
                f"RSS {found['rss_mib']:5.1f} MiB, answer p50 {found['answer_p50_ms']:.1f} ms "
                f"p99 {found['answer_p99_ms']:.1f} ms, {found['calls']:.0f} calls, lost {lost:.0f}, "
                f"connections lost {found['connections_lost']:.0f}, held {found['held']:.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
