"""A crowd of recorded sessions on a host that is too small for them: what happens, and what the model of `plan` says.

Six sessions, two each of three kinds, begin two seconds apart under one daemon. First they are recorded where memory
is enough for all; what the CPU costs them is in that recording. Then the same crowd runs on small hosts, and the model
plays what was recorded on as much memory, with the same code of the policy. In the lab, a host for each run:

    agentcgroup lab run --memory 2g --share DIR -- .venv/bin/python -m bench.crowd run DIR
    agentcgroup lab run --memory 600m --share DIR -- .venv/bin/python -m bench.crowd run DIR --policy ladder
    python -m bench.crowd compare DIR

A run adds a line to DIR/runs.jsonl; the one with most memory is the recording. Slow-down is against that one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean

from agentcgroup.daemon.places import candidates
from agentcgroup.errors import AgentcgroupError
from agentcgroup.hosting import host
from agentcgroup.kernel.meminfo import read_meminfo
from agentcgroup.model import Outcome
from agentcgroup.policy.registry import policy
from agentcgroup.replay.memory import Host
from agentcgroup.replay.recorded import scripts
from agentcgroup.replay.result import Ending, Result
from agentcgroup.replay.script import Script, Turn
from agentcgroup.replay.simulator import simulate
from agentcgroup.trace.reader import read_trace
from agentcgroup.trace.records import Action
from agentcgroup.trace.views import Session

PYTHON = "/usr/bin/python3"
_COUNT = 6
_APART_S = 2.0
_PATIENCE_S = 110
# Of each kind: what the agent thinks before a call (seconds), and the call's memory over its work (seconds, MiB).
_Call = tuple[float, tuple[tuple[float, int], ...]]
_EDIT: _Call = (2.0, ((0, 0), (0.3, 15), (2, 15)))
_SCRIPT: _Call = (3.0, ((0, 0), (0.5, 40), (4, 40)))
KINDS: dict[str, tuple[_Call, ...]] = {
    "tests": (_EDIT, (2.0, ((0, 0), (1, 60), (4, 60), (5, 180), (7, 180), (7.5, 60), (9, 60))), _SCRIPT),
    "build": (_SCRIPT, (2.0, ((0, 0), (5, 230), (8, 230))), (1.0, ((0, 0), (2, 120), (5, 120)))),
    "edits": (_EDIT, _SCRIPT, (1.0, ((0, 0), (1, 140), (2.5, 140)))),
}

# A call: follows its curve by the work that it has done, so that whoever slows it slows its growth.
_CALL = """
import json, mmap, sys, time
held, before_s, block = [], 0.0, b"x" * (1 << 20)
def pause(seconds):
    while seconds > 0:
        time.sleep(min(0.1, seconds))
        seconds -= 0.1
for at_s, size in json.loads(sys.argv[1]):
    parts, length_s = abs(size - len(held)), at_s - before_s
    for _ in range(parts):
        begun = time.monotonic()
        if size > len(held):
            part = mmap.mmap(-1, 1 << 20)
            part.write(block)
            held.append(part)
        else:
            held.pop().close()
        pause(length_s / parts - (time.monotonic() - begun))
    pause(length_s if not parts else 0)
    before_s = at_s
"""
# An agent: waits until it may begin, then thinks and calls in turn. A shell, since Pythons start slowly in the lab.
_AGENT = """
: > "$2/$1.ready"
while [ ! -e "$2/go" ]; do sleep 0.2; done
sleep "$3"
TURNS
: > "$2/$1.end"
"""


@dataclass(frozen=True, slots=True)
class Told:
    """One session of a run. ``lost``: calls that the kernel or the policy ended, or that the policy refused."""

    name: str
    arrives_s: float
    alive: bool  # its agent came to its end
    seconds: float  # from its first call to the end of its last
    calls: int
    lost: int
    queued_s: float
    frozen_s: float


@dataclass(frozen=True, slots=True)
class Run:
    """One crowd. ``free_bytes``: what was available when all agents were there and none had called anything."""

    folder: str
    policy: str
    total_bytes: int
    free_bytes: int
    sessions: tuple[Told, ...]


async def run_once(folder: Path, chosen: str) -> Run:
    """The crowd under a policy, on this host; its traces are in a new folder below ``folder``."""
    total = read_meminfo().total_bytes
    here = folder / f"{len(list(folder.glob('*-*M')))}-{chosen}-{total >> 20}M"
    here.mkdir(parents=True)
    (here / "call.py").write_text(_CALL)
    line = [sys.executable, "-m", "agentcgroup", "daemon", "--set", f"policy={chosen}"]
    daemon = subprocess.Popen(line, stderr=(here / "daemon.log").open("wb"))
    try:
        await _wait(lambda: any(path.exists() for path in candidates(None)))
        kinds = list(KINDS)
        names = [f"s{number}-{kinds[number % len(kinds)]}" for number in range(_COUNT)]
        running = [asyncio.create_task(_session(here, name, n * _APART_S, chosen)) for n, name in enumerate(names)]
        await _wait(lambda: all((here / f"{name}.ready").exists() for name in names))
        free = read_meminfo().available_bytes
        (here / "go").touch()
        _, late = await asyncio.wait(running, timeout=_PATIENCE_S)
        for session in late:
            session.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    finally:
        daemon.terminate()
        daemon.wait(10)
    told = tuple(_told(here, name, number * _APART_S) for number, name in enumerate(names))
    return Run(here.name, chosen, total, free, told)


async def _session(here: Path, name: str, arrives_s: float, chosen: str) -> None:
    turns = "".join(
        f"sleep {think_s}; bash -c '{PYTHON} -S {here}/call.py \"{json.dumps(curve)}\"'\n"
        for think_s, curve in KINDS[name.partition("-")[2]]
    )
    agent = ["sh", "-c", _AGENT.replace("TURNS", turns), "agent", name, str(here), str(arrives_s)]
    # A session has a policy of its own beside the daemon's: it must not control where nobody is to.
    options = {"agent": "command", "policy": chosen, "sample_hz": 2.0, "daemon": "require"}
    options["memory"] = read_meminfo().total_bytes
    with (here / f"{name}.log").open("w") as log:
        await host(agent, name=name, trace=here / name, say=lambda text: print(text, file=log), **options)  # type: ignore[arg-type]


async def _wait(done: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not done():
        if time.monotonic() > until:
            raise RuntimeError("daemon or sessions did not start; their logs say why")
        await asyncio.sleep(0.1)


def _told(here: Path, name: str, arrives_s: float) -> Told:
    session = read_trace(here / name).sessions[0]
    outcomes = [call.outcome for call in session.calls]
    lost = outcomes.count(Outcome.OOM) + outcomes.count(Outcome.KILLED)
    refused = sum(isinstance(event.body, Action) and event.body.action == "refuse" for event in session.events)
    asked = [call.requested_ns for call in session.calls if call.requested_ns is not None]
    ended = [call.ended_ns for call in session.calls if call.ended_ns is not None]
    return Told(
        name=name,
        arrives_s=arrives_s,
        alive=(here / f"{name}.end").exists(),
        seconds=(max(ended) - min(asked)) / 1e9 if asked and ended else 0.0,
        calls=len(session.calls),
        lost=lost + refused,
        queued_s=_spells(session, "queue", "admit"),
        frozen_s=_spells(session, "freeze", "thaw"),
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


def load_runs(folder: Path) -> list[Run]:
    """The runs of a folder."""
    found = []
    for line in (folder / "runs.jsonl").read_text().splitlines():
        data = json.loads(line)
        found.append(Run(**data | {"sessions": tuple(Told(**one) for one in data["sessions"])}))
    return found


def modelled(folder: Path, recording: Run, small: Run) -> Result:
    """What the model makes of the recorded crowd on the memory of the small host."""
    crowd: list[Script] = []
    for told in recording.sessions:
        (script,) = scripts(folder / recording.folder / told.name, small.total_bytes)
        crowd.append(replace(script, name=told.name, arrives_s=told.arrives_s))
    agents = sum(script.agent_bytes for script in crowd)  # they were there already when free_bytes was read
    rest = max(0, small.total_bytes - small.free_bytes - agents)
    length_s = max(script.arrives_s + script.alone_s for script in crowd)
    system = Script("system", (Turn(length_s, ()),), agent_bytes=rest)  # the kernel, the daemon, this process
    return simulate([*crowd, system], policy(small.policy), Host(small.total_bytes))


def compare(folder: Path) -> str:
    """A table: lost calls, slow-down, and held time of each run, and by the model."""
    runs = load_runs(folder)
    recording = max(runs, key=lambda run: run.total_bytes)
    alone = {told.name: told.seconds for told in recording.sessions}
    lines = [
        f"{'policy':<8} {'memory for calls':>16}  {'lost calls':>10} {'model':>6}  {'slow-down':>9} {'model':>6}  "
        f"{'held':>7} {'model':>7}  agents alive"
    ]
    for run in runs:
        if run is recording:
            continue
        model = modelled(folder, recording, run)
        slow = mean(told.seconds / alone[told.name] for told in run.sessions)
        held = sum(told.queued_s + told.frozen_s for told in run.sessions)
        expected = sum(call.queued_s + call.frozen_s for call in model.calls)
        lines.append(
            f"{run.policy:<8} {run.free_bytes >> 20:>12} MiB  {sum(told.lost for told in run.sessions):>10} "
            f"{_lost(model):>6}  {slow:>9.2f} {_slowdown(model):>6.2f}  {held:>5.0f} s {expected:>5.0f} s  "
            f"{sum(told.alive for told in run.sessions)} of {len(run.sessions)}"
        )
    return "\n".join(lines)


def _lost(result: Result) -> int:
    return sum(call.ending in (Ending.OOM, Ending.KILLED, Ending.REFUSED) for call in result.calls)


def _slowdown(result: Result) -> float:
    return mean(session.slowdown for session in result.sessions if session.planned_calls)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run once, or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "compare"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--policy", default="none", help="of the daemon")
    given = parser.parse_args(arguments)
    if given.what == "compare":
        print(compare(given.folder))
        return
    try:
        run = asyncio.run(run_once(given.folder.absolute(), given.policy))
    except AgentcgroupError as error:
        raise SystemExit(str(error)) from error
    with (given.folder / "runs.jsonl").open("a") as file:
        file.write(json.dumps(asdict(run)) + "\n")
    print(f"{run.policy}: {sum(told.lost for told in run.sessions)} calls lost, {run.free_bytes >> 20} MiB for calls")


if __name__ == "__main__":
    main()
