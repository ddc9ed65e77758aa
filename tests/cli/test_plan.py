"""`agentcgroup plan`, as a user calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.study import build

QUICK = ("--workers", 1, "--replicates", 2, "--effort", 0.1, "--oom-risk", 0.01)


def plan(*args: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agentcgroup", "plan", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=cwd)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for n, burst in enumerate(("900MB", "600MB")):
        taken = [build.sample(t, f"{burst if 30 < t < 36 else '190MB'} / 134.5GB") for t in range(90)]
        build.write_run(tmp_path / "runs" / f"task{n}", [build.call("a", 28, 38)], taken)
    return tmp_path / "runs"


def test_ways_are_compared_in_a_table_and_a_chart(runs: Path) -> None:
    done = plan("--traces", runs, "--memory", "4g", "--cpus", 100, *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    first, head, *rows = done.stdout.splitlines()
    assert first.startswith("runs: 2 sessions, on the average ")
    assert head.split()[:2] == ["agents", "33%"]
    assert [row.split()[0] for row in rows[:4]] == ["peak-reserving", "p95-reserving", "no", "ladder"]
    assert "█" in done.stdout
    assert "half of them at once" in done.stdout
    assert "2 of them are sampled once a second" in done.stdout


def test_json_is_for_machines_and_the_same_for_a_seed(runs: Path) -> None:
    line = ("--memory", "4g", "--cpus", 100, *QUICK, "--seed", 5, "--json")
    one = plan("--traces", runs, *line)
    two = plan("--traces", runs / "task0", runs / "task1", *line, "--set", "runs=*")
    assert (one.returncode, one.stderr, two.stderr) == (0, "", "")
    assert one.stdout == two.stdout
    found = json.loads(one.stdout)
    assert (found["v"], found["kind"], found["memory_bytes"], found["seed"]) == (1, "plan", 4 << 30, 5)
    (only,) = found["sets"]
    ways = {way["name"]: way for way in only["ways"]}
    assert ways["peak-reserving"]["agents"] == (4 << 30) // 900_000_000 == 4
    assert ways["ladder"]["agents"] > 4
    assert [one["together"] for one in only["together"]] == ["independent", "half", "all"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "no traces given; add --traces PATH"),
        (["--traces", "nothing"], "nothing does not exist"),
        (["--traces", "runs", "--policy", "fastest"], "'fastest' is no policy"),
        (["--traces", "runs", "--memory", "100m"], "is less than any session of runs needs"),
        (["--traces", "runs", "--memory", "lots"], "'lots' is not a size"),
        (["--traces", "runs", "--oom-risk", "0"], "a risk of 0 per session-hour"),
        (["--traces", "runs", "--call-memory", "1g"], "add --policy static"),
    ],
)
def test_what_cannot_be_used_is_said(runs: Path, args: list[str], message: str) -> None:
    done = plan("--memory", "8g", "--cpus", 8, "--workers", 1, *args, cwd=runs.parent)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
