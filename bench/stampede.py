"""A hundred calls at once that fit one by one and not together: how long they take under each policy, and who lives.

Each call takes 200 MiB and keeps it for two seconds, under a budget of 2 GiB. The ideal is that always as many run as
fit, each for as long as it took: rows of the median of the arm's own calls. No call gives up waiting: the
default of 60 s (queue_s) is short beside an emulated CPU, on which a Python takes seconds to start (so unknown_s is
longer as well). Needs the memory controller, so:

    agentcgroup lab run --memory 3g --timeout 20m -- .venv/bin/python -m bench.stampede [--runs 2] [--calls 100]
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from agentcgroup.model import Outcome
from agentcgroup.trace.reader import read_trace
from agentcgroup.trace.records import Action

_HEADROOM_MIB = 16  # that a call declares more than it takes: the interpreter
_AGENT = """
import subprocess, sys
running = [subprocess.Popen(["bash", "-c", sys.argv[2]], start_new_session=True) for _ in range(int(sys.argv[1]))]
print(sum(process.wait() == 0 for process in running))
"""
ARMS = {"ladder, declared": ("ladder", True), "ladder": ("ladder", False), "none": ("none", False)}


@dataclass(frozen=True, slots=True)
class Scene:
    """So many calls at once, each of which takes ``need_mib`` and keeps it for ``seconds``.

    ``patience_s``: queue_s and hold_s, and a sixtieth of it unknown_s, within which a call is to show what it needs;
    None: the defaults.
    """

    calls: int = 100
    need_mib: int = 200
    budget_mib: int = 2048
    seconds: float = 2.0
    patience_s: int | None = 600

    def command(self, declared: bool) -> str:
        """The shell command of a call."""
        hint = f"AGENT_RESOURCE_HINT=memory:{self.need_mib + _HEADROOM_MIB}m " if declared else ""
        work = f'import time; x = b"x" * ({self.need_mib} << 20); time.sleep({self.seconds})'
        return f"{hint}/usr/bin/python3 -S -c '{work}'"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one arm; seconds."""

    arm: str
    ok: int
    calls: int
    killed: int  # by the kernel or the policy
    refused: int
    makespan_s: float
    ideal_s: float
    queued_most_s: float


def run_once(arm: str, scene: Scene, folder: Path) -> Run:
    """One stampede; its trace is in ``folder``."""
    policy, declared = ARMS[arm]
    patience: list[str] = []
    if policy == "ladder" and scene.patience_s is not None:
        patience = ["--set", f"queue_s={scene.patience_s}", "--set", f"hold_s={scene.patience_s}"]
        patience += ["--set", f"unknown_s={scene.patience_s / 60:g}"]
    options = [
        *patience,
        "--policy",
        policy,
        "--memory",
        f"{scene.budget_mib}m",
        "--trace",
        str(folder),
        "--quiet",
        "--daemon",
        "off",
    ]
    agent = ["/usr/bin/python3", "-S", "-c", _AGENT, str(scene.calls), scene.command(declared)]
    line = [sys.executable, "-m", "agentcgroup", "run", *options, "--client-deadline", "30s", "--", *agent]
    subprocess.run(line, check=True, capture_output=True)
    session = read_trace(folder).sessions[0]
    outcomes = [call.outcome for call in session.calls]
    took = [call.duration_s for call in session.calls if call.outcome is Outcome.OK and call.duration_s is not None]
    starts = [call.start for call in session.calls if call.start is not None]
    begun = min(start.requested_ns for start in starts)
    ended = max(call.end.ended_ns for call in session.calls if call.end is not None)
    at_once = (scene.budget_mib - scene.budget_mib // 8) // scene.need_mib  # an eighth stays out of the reach of calls
    actions = [event.body for event in session.events if isinstance(event.body, Action)]
    return Run(
        arm=arm,
        ok=outcomes.count(Outcome.OK),
        calls=scene.calls,
        killed=outcomes.count(Outcome.OOM) + outcomes.count(Outcome.KILLED),
        refused=sum(action.action == "refuse" for action in actions),
        makespan_s=(ended - begun) / 1e9,
        ideal_s=math.ceil(scene.calls / max(1, at_once)) * median(took or [math.nan]),
        queued_most_s=max(start.started_ns - start.requested_ns for start in starts) / 1e9,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the arms in turn and print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2, help="runs of each arm")
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument(
        "--arms", default=";".join(ARMS), help='which, separated by semicolons: "ladder, declared;none"'
    )
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    arms = [arm.strip() for arm in chosen.arms.split(";")]
    if unknown := [arm for arm in arms if arm not in ARMS]:
        parser.error(f"--arms {unknown[0]}: give {'; '.join(ARMS)}")
    found: list[Run] = []
    with tempfile.TemporaryDirectory() as name:
        for number in range(chosen.runs * len(arms)):
            found.append(run_once(arms[number % len(arms)], Scene(chosen.calls), Path(name, str(number))))
            print(f"{number + 1}/{chosen.runs * len(arms)} {found[-1]}", file=sys.stderr, flush=True)
    print(json.dumps([asdict(run) for run in found]) if chosen.json else table(found))


def table(found: Sequence[Run]) -> str:
    """One line per run."""
    lines = [
        f"{'policy':<18} {'ok':>8} {'killed':>6} {'refused':>7} {'time':>8} {'ideal':>8} {'ratio':>6} {'waited':>8}"
    ]
    lines += [
        f"{run.arm:<18} {run.ok:>4}/{run.calls:<3} {run.killed:>6} {run.refused:>7} {run.makespan_s:>6.1f} s "
        f"{run.ideal_s:>6.1f} s {run.makespan_s / run.ideal_s:>6.2f} {run.queued_most_s:>6.1f} s"
        for run in found
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
