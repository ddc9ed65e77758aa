"""The model against a real kernel: the same calls live under `agentcgroup run` and in the simulator.

Each case prints what was measured, what the model says, and the error; docs/reference/policies.md quotes them. The
tolerances are generous, for the emulated lab is slow and noisy: it may take three times as long as the model says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from agentcgroup.model import Outcome
from agentcgroup.policy import registry
from agentcgroup.policy.expect import HINT_MARGIN
from agentcgroup.replay.memory import Host
from agentcgroup.replay.result import Ending, Result
from agentcgroup.replay.script import Script, Task, Turn, curve
from agentcgroup.replay.simulator import simulate
from agentcgroup.trace.views import Call
from tests.run.running import agent, run

pytestmark = pytest.mark.kernel

MIB, GIB = 1 << 20, 1 << 30
BASE = 5 * MIB  # of an interpreter that has done nothing
START_S = 0.25  # until it has begun, in the emulated lab

# Takes MIB evenly over GROW seconds, keeps it until SECONDS have passed since it began.
_HOG = """\
import mmap, sys, time
size, grow, seconds = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
began, held = time.monotonic(), []
for index in range(size):
    step = time.monotonic()
    part = mmap.mmap(-1, 1 << 20)
    for at in range(0, 1 << 20, 4096):
        part[at] = 1
    held.append(part)
    took = time.monotonic() - step
    time.sleep(max(0.0, grow / size - took))
time.sleep(max(0.0, seconds - grow))
"""


@dataclass(frozen=True)
class Hog:
    """One call: MiB that it takes, over so long, and how long it runs when nothing slows it."""

    mib: int
    grow_s: float
    seconds: float
    hint: str = ""

    @property
    def line(self) -> str:
        hint = f"AGENT_RESOURCE_HINT={self.hint} " if self.hint else ""
        return f"{hint}/usr/bin/python3 -S hog.py {self.mib} {self.grow_s} {self.seconds}"

    def task(self, name: str) -> Task:
        grown = BASE + self.mib * MIB
        points = [(0.0, 0), (START_S, BASE), (START_S + self.grow_s, grown), (START_S + self.seconds, grown)]
        return Task(name, curve(points))


def live(folder: Path, hogs: list[Hog], *options: str) -> list[Call]:
    """The calls, all at once."""
    (folder / "hog.py").write_text(_HOG)
    lines = [hog.line for hog in hogs]
    source = f"""
        calls = [subprocess.Popen(["bash", "-c", line], start_new_session=True) for line in {lines!r}]
        for call in calls:
            call.wait()
    """
    path = {"PYTHONPATH": str(Path(__file__).parents[2])}  # for policies of the tests
    alone = ("--daemon", "off", "--track", "off", "--enforcer", "cgroup")  # BPF takes the emulated CPU seconds to load
    ran = run(folder, agent(folder, source), *options, *alone, environment=path)
    return [call for call in ran.calls if "hog.py" in call.command]


def modelled(tasks: list[Task], policy: str, budget: int | None = None, host: int = 3 * GIB) -> Result:
    script = Script("s", (Turn(0.0, tuple(tasks)),), agent_bytes=20 * MIB, budget_bytes=budget)
    return simulate([script], registry.policy(policy), Host(host))


def report(case: str, what: str, measured: float, model: float, unit: str) -> None:
    error = f"{(model - measured) / measured:+.0%}" if measured else "-"
    print(f"\nMODEL {case}: {what}: measured {measured:.2f} {unit}, model {model:.2f} {unit}, error {error}")


def fits(measured_s: float, model_s: float, slower: float = 3) -> bool:
    """Whether a time is what the model says, on a machine that may be slow and not fast."""
    return model_s / 1.5 < measured_s < slower * model_s + 1


def seconds(call: Call) -> float:
    assert call.duration_s is not None
    return call.duration_s


def peak_mib(call: Call) -> float:
    return (call.usage.memory_peak_bytes or 0) / MIB


def test_a_call_within_its_limits(tmp_path: Path) -> None:
    hog = Hog(100, 1.0, 3.0)
    (call,) = live(tmp_path, [hog], "--memory", "1g", "--policy", "none")
    (done,) = modelled([hog.task("a")], "none", GIB).calls
    assert call.outcome is Outcome.OK
    assert done.ending is Ending.OK
    report("within", "time", seconds(call), done.ended_s - done.began_s, "s")
    report("within", "peak", peak_mib(call), done.peak_bytes / MIB, "MiB")
    assert fits(seconds(call), done.ended_s - done.began_s)
    assert done.peak_bytes / MIB == pytest.approx(peak_mib(call), rel=0.2)


def test_a_call_over_memory_high(tmp_path: Path) -> None:
    high = int(HINT_MARGIN * 32 * MIB)
    hog = Hog((high - BASE) // MIB + 5, 0.5, 1.0, hint="memory:32m")
    (call,) = live(tmp_path, [hog], "--memory", "1g", "--policy", "tests.daemon.policies:Expecting")
    (done,) = modelled([replace(hog.task("a"), high_bytes=high)], "none", GIB).calls
    assert call.outcome is Outcome.OK
    assert (call.usage.memory_high_events or 0) > 0
    slowed = (call.usage.memory_some_us or 0) / 1e6
    report("memory.high", "time", seconds(call), done.ended_s - done.began_s, "s")
    report("memory.high", "slowed", slowed, done.throttled_s, "s")
    assert done.throttled_s > 0
    assert slowed / 4 < done.throttled_s < slowed * 4 + 1


def test_a_call_over_memory_max(tmp_path: Path) -> None:
    hog = Hog(300, 3.0, 4.0)
    (call,) = live(tmp_path, [hog], "--memory", "1g", "--call-memory", "128m", "--policy", "none")
    (done,) = modelled([replace(hog.task("a"), max_bytes=128 * MIB)], "none", GIB).calls
    assert call.outcome is Outcome.OOM
    assert done.ending is Ending.OOM
    report("memory.max", "time until it dies", seconds(call), done.ended_s - done.began_s, "s")
    report("memory.max", "peak", peak_mib(call), done.peak_bytes / MIB, "MiB")
    assert fits(seconds(call), done.ended_s - done.began_s)
    assert done.peak_bytes / MIB == pytest.approx(peak_mib(call), rel=0.1)


def test_two_that_compete_under_the_ladder(tmp_path: Path) -> None:
    """Together they need more than there is, and neither can end while the other keeps its part: one has to go."""
    hogs = [Hog(330, 2.0, 4.0), Hog(330, 2.0, 4.0)]
    calls = live(tmp_path, hogs, "--memory", "640m", "--policy", "ladder")
    result = modelled([hog.task(f"h{index}") for index, hog in enumerate(hogs)], "ladder", 640 * MIB)
    assert len(calls) == 2
    first = min(call.started_ns or 0 for call in calls)
    makespan = (max(call.ended_ns or 0 for call in calls) - first) / 1e9
    lived = sum(call.outcome is Outcome.OK for call in calls)
    report("two compete", "calls that lived", lived, sum(call.ending is Ending.OK for call in result.calls), "")
    report("two compete", "time of both", makespan, result.makespan_s, "s")
    assert lived >= 1
    assert fits(makespan, result.makespan_s, slower=6)
