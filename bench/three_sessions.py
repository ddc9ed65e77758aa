"""Three agents on a host that is too small for all: one of high priority, two of low, under each policy.

Each run starts a daemon with one policy, then the three sessions at once. The high agent runs calls that allocate in
steps and time each step; the low ones hold memory. The arms are interleaved in random order. Needs the memory
controller and a small host, so run it in the lab:

    agentcgroup lab run --memory 1500m --timeout 30m -- .venv/bin/python -m bench.three_sessions [--runs 5] [--json]

With ``--roomy`` each session needs a third as much, so that the memory suffices for all: then no policy may cost time.
``--arms`` names others: the ladder with each enforcer (``ladder+cgroup,ladder+bpf,ladder+scx``), ``memory.high``: no
policy, but that limit on each low session, at its share of what high leaves, and ``alone``: a low session by itself.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from agentcgroup.daemon.ask import ask
from agentcgroup.daemon.messages import Question
from agentcgroup.errors import HostError
from agentcgroup.kernel.meminfo import read_meminfo
from agentcgroup.model import Outcome
from agentcgroup.trace.reader import read_trace
from agentcgroup.trace.records import Action
from agentcgroup.trace.views import Session
from bench.three_sessions_table import ALONE, MEMORY_HIGH, Run, Told, comparisons, read, table

ARMS = ("none", "static", "user-space", "ladder")
SESSIONS = {"high": "high", "low1": "low", "low2": "low"}
PYTHON = "/usr/bin/python3"

# Shares of the host's memory: any two fit, all three do not. The largest call is one of high: the one that the kernel's
# own OOM killer takes first, and the one that must live.
_HIGH_SHARE, _LOW_SHARE = 0.45, 0.30
_ROOMY = 3  # with --roomy everything needs so many times less
_HIGH_CALLS, _LOW_CALLS = 3, 2
_HIGH_HOLDS_S, _LOW_HOLDS_S = 2, 6  # how long a call works on after it has what it needs
_STEP = 4 << 20
_SETTINGS = {"static": ["--set", "settings.budget_share=0.9"]}  # else it would kill every call of high by itself
_PATIENCE_S = 100  # for the calls of a run
_STARTING_S = 60

# A call of the high agent: allocates in steps of 4 MiB, and writes how long each took (milliseconds) to a file.
_PROBE = """
import json, mmap, sys, time
size, step, seconds, out = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
held, took, block = [], [], b"x" * step
for _ in range(size // step):
    begun = time.perf_counter()
    part = mmap.mmap(-1, step)
    part.write(block)
    took.append((time.perf_counter() - begun) * 1000)
    held.append(part)
time.sleep(seconds)
open(out, "a").write(json.dumps(took) + "\\n")
"""
# A call of a low agent: takes its memory as fast as it can, then works on it for a while.
_HOG = """
import mmap, sys, time
size, seconds = int(sys.argv[1]), float(sys.argv[2])
held, block = [], b"x" * (4 << 20)
for _ in range(size // (4 << 20)):
    part = mmap.mmap(-1, 4 << 20)
    part.write(block)
    held.append(part)
until = time.monotonic() + seconds
while time.monotonic() < until:
    for part in held[:8]:
        part[:4096] = b"x" * 4096
    time.sleep(0.01)
"""
# An agent: waits until all three are there, so that their first calls meet, then runs its calls one by one.
_AGENT = """
import glob, json, os, subprocess, sys, time
lines = json.load(open(sys.argv[1]))
open(sys.argv[1] + ".ready", "w").close()
while len(glob.glob(os.path.dirname(sys.argv[1]) + "/*.ready")) < int(sys.argv[3]):
    time.sleep(0.05)
begun = time.monotonic()
told, failed = [], 0
for line in lines:
    done = subprocess.run(["bash", "-c", line], stderr=subprocess.PIPE, start_new_session=True)
    failed += done.returncode != 0
    told += [text for text in done.stderr.decode(errors="replace").splitlines() if text.startswith("agentcgroup:")]
json.dump({"failed": failed, "told": told, "seconds": time.monotonic() - begun}, open(sys.argv[2], "w"))
"""


def run_once(arm: str, folder: Path, roomy: bool, patience_s: float = _PATIENCE_S) -> Run:
    """One run of an arm in a new ``folder``; after ``patience_s`` its calls are given up."""
    folder.mkdir(parents=True)
    for name, text in (("probe.py", _PROBE), ("hog.py", _HOG), ("agent.py", _AGENT)):
        (folder / name).write_text(text)
    names = ["low1"] if arm == ALONE else list(SESSIONS)
    daemon = _daemon(arm, folder)
    try:
        running = {name: _start(name, arm, folder, roomy) for name in names}
        if arm == MEMORY_HIGH:
            _limit_low()
        _wait(lambda: len(list(folder.glob("*.ready"))) == len(names), _STARTING_S)
        _wait(lambda: all(each.poll() is not None for each in running.values()), patience_s)
        for process in running.values():
            process.terminate()
            process.wait(30)
    finally:
        daemon.terminate()
        daemon.wait(10)
    found = tuple(_told(name, folder, patience_s) for name in names)
    steps = (folder / "steps").read_text().splitlines() if (folder / "steps").exists() else []
    return Run(arm, found, tuple(step for line in steps for step in json.loads(line)))


def _daemon(arm: str, folder: Path) -> subprocess.Popen[bytes]:
    """The daemon of the arm, when it has loaded all that it needs: that takes seconds here, and CPU."""
    policy, _, enforcer = arm.partition("+")
    socket = folder / "daemon"
    line = [sys.executable, "-m", "agentcgroup", "daemon", "--socket", str(socket)]
    line += ["--set", f"policy={'none' if arm in (MEMORY_HIGH, ALONE) else policy}"]
    line += _SETTINGS.get(arm, [])
    line += ["--set", f"enforcer={enforcer or ('auto' if policy == 'ladder' else 'cgroup')}"]
    process = subprocess.Popen(line, stderr=(folder / "daemon.log").open("wb"))

    def ready() -> bool:
        if process.poll() is not None:
            raise RuntimeError((folder / "daemon.log").read_text())
        with contextlib.suppress(HostError):  # it does not listen yet
            return ask(Question("status"), socket)["enforcer"] == enforcer or not enforcer
        return False

    if not _wait(ready, _STARTING_S):
        raise RuntimeError(f"no enforcer {enforcer}: {(folder / 'daemon.log').read_text()}")
    return process


def _wait(done: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not (ended := done()) and time.monotonic() < until:
        time.sleep(0.05)
    return ended


def _limit_low() -> None:
    """memory.high of both low sessions: what high leaves of the host, in halves. As an operator would by hand."""
    high = int(read_meminfo().total_bytes * (0.9 - _HIGH_SHARE) / 2)
    for name in (name for name, priority in SESSIONS.items() if priority == "low"):
        until = time.monotonic() + 60
        while not (found := [path for path in Path("/sys/fs/cgroup").rglob(name) if (path / "memory.high").exists()]):
            if time.monotonic() > until:
                raise RuntimeError(f"the session {name} has no cgroup")
            time.sleep(0.02)
        (found[0] / "memory.high").write_text(str(high))


def _start(name: str, arm: str, folder: Path, roomy: bool) -> subprocess.Popen[bytes]:
    host = read_meminfo().total_bytes
    scale = host / (_ROOMY if roomy else 1)
    if name == "high":
        probe = f"{PYTHON} -S {folder}/probe.py {int(scale * _HIGH_SHARE)} {_STEP} {_HIGH_HOLDS_S} {folder}/steps"
        lines = [probe] * _HIGH_CALLS
    else:
        lines = [f"{PYTHON} -S {folder}/hog.py {int(scale * _LOW_SHARE)} {_LOW_HOLDS_S}"] * _LOW_CALLS
    (folder / f"{name}.json").write_text(json.dumps(lines))
    agent = [PYTHON, "-S", str(folder / "agent.py"), str(folder / f"{name}.json"), str(folder / f"{name}.end")]
    agent += ["1" if arm == ALONE else str(len(SESSIONS))]
    options = ["--name", name, "--priority", SESSIONS[name], "--memory", str(int(host * 0.6)), "--quiet"]
    options += ["--sample-hz", "1", "--track", "off"]  # they would be loads of their own on an emulated CPU
    options += ["--scheduler", "sched_ext"] if arm.endswith("+scx") else []
    options += ["--trace", str(folder / name), "--daemon", "require", "--daemon-socket", str(folder / "daemon")]
    line = [sys.executable, "-m", "agentcgroup", "run", *options, "--client-deadline", "2s", "--", *agent]
    return subprocess.Popen(line, stderr=(folder / f"{name}.log").open("wb"))


def _told(name: str, folder: Path, patience_s: float) -> Told:
    session = read_trace(folder / name).sessions[0]
    file = folder / f"{name}.end"
    end = json.loads(file.read_text()) if file.exists() else None
    outcomes = [call.outcome for call in session.calls]
    calls = _HIGH_CALLS if name == "high" else _LOW_CALLS
    return Told(
        session=name,
        finished=end is not None,
        seconds=end["seconds"] if end else patience_s,
        calls_ok=calls - end["failed"] if end else outcomes.count(Outcome.OK),
        calls=calls,
        outcomes=tuple(outcomes),
        killed=outcomes.count(Outcome.OOM) + outcomes.count(Outcome.KILLED),
        frozen_s=_spells(session, "freeze", "thaw"),
        queued_s=_spells(session, "queue", "admit"),
        throttled_s=_throttled(session),
        told=len(end["told"]) if end else 0,
    )


def _spells(session: Session, begin: str, end: str) -> float:
    """Seconds between the actions ``begin`` and ``end`` of the same call, all together."""
    since: dict[str | None, int] = {}
    total = 0
    for event in session.events:
        if isinstance(event.body, Action) and event.body.action == begin:
            since.setdefault(event.body.call, event.mono_ns)
        elif isinstance(event.body, Action) and event.body.action == end and event.body.call in since:
            total += event.mono_ns - since.pop(event.body.call)
    return total / 1e9


def _throttled(session: Session) -> float:
    return sum((call.usage.memory_some_us or 0) / 1e6 for call in session.calls if call.usage.memory_high_events)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print the table; with ``--json`` each run as a line of JSON instead."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="runs of each arm")
    parser.add_argument("--arms", default=",".join(ARMS), help="which, comma-separated")
    parser.add_argument("--roomy", action="store_true", help="with memory enough for all")
    parser.add_argument("--json", action="store_true", help="print every run, a line each")
    parser.add_argument("--keep", type=Path, help="keep all traces and logs in this folder, and the runs in runs.jsonl")
    parser.add_argument("--read", type=Path, help="run nothing: the table of the runs in this file (runs.jsonl)")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    found = read(chosen.read) if chosen.read else _runs(chosen)
    text = [json.dumps(asdict(run)) for run in found] if chosen.json else [table(found), "", *comparisons(found)]
    print("\n".join(text))


def _runs(chosen: argparse.Namespace) -> list[Run]:
    arms = chosen.arms.split(",")
    shuffled = random.Random(chosen.seed)
    order = [arm for _ in range(chosen.runs) for arm in shuffled.sample(arms, len(arms))]
    found: list[Run] = []
    with tempfile.TemporaryDirectory() as name:
        folder = chosen.keep or Path(name)
        for number, arm in enumerate(order):
            found.append(run_once(arm, folder / f"{number}-{arm}", chosen.roomy))
            with (folder / "runs.jsonl").open("a") as kept:  # at once: a lab that ends early loses none
                kept.write(json.dumps(asdict(found[-1])) + "\n")
            print(f"{number + 1}/{len(order)} {arm}: {_line(found[-1])}", file=sys.stderr, flush=True)
    return found


def _line(run: Run) -> str:
    return ", ".join(f"{told.session} {told.seconds:.1f} s {told.calls_ok}/{told.calls} ok" for told in run.sessions)


if __name__ == "__main__":
    main()
