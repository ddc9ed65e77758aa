"""`agentcgroup simulate`, as a user calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trace import build


def simulate(*args: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agentcgroup", "simulate", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=cwd)


def test_one_table_compares_the_policies() -> None:
    done = simulate("--memory", "2g", "--sessions", 3, "--calls", 10, "--peak", "1g")
    assert (done.returncode, done.stderr) == (0, "")
    first, *rows = done.stdout.splitlines()
    assert first.split() == ["none", "static", "user-space", "ladder"]
    assert [row.split()[0] for row in rows[:2]] == ["agents", "calls"]
    assert rows[0].count("/ 3") == 4


def test_json_is_for_machines_and_the_same_for_a_seed() -> None:
    line = ("--memory", "1500m", "--policy", "ladder", "--sessions", 3, "--calls", 8, "--seed", 7, "--json")
    one, two = simulate(*line), simulate(*line)
    assert one.stdout == two.stdout
    found = json.loads(one.stdout)
    assert (found["v"], found["kind"], found["seed"]) == (1, "simulation", 7)
    (policy,) = found["policies"]
    assert (policy["policy"], policy["sessions"], policy["calls"]) == ("ladder", 3, 24)
    assert [session["priority"] for session in policy["by_session"]] == ["normal", "high", "low"]


def test_a_trace_is_played(tmp_path: Path) -> None:
    build.write_trace(tmp_path / "run1")
    line = ("--trace", "run1", "--memory", "8g", "--sessions", 2, "--policy", "none", "--json")
    done = simulate(*line, "--priorities", "high,low", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (policy,) = json.loads(done.stdout)["policies"]
    assert policy["calls"] == 14
    assert [session["priority"] for session in policy["by_session"]] == ["high", "low"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--memory", "lots"], "'lots' is not a size"),
        (["--memory", "1g", "--policy", "fastest"], "'fastest' is no policy; give none, static"),
        (["--memory", "1g", "--set", "frieze_s=2"], "--set frieze_s: no policy that is played has it"),
        (["--memory", "1g", "--policy", "none", "--set", "ladder.freeze_s=2"], "no policy that is played has it"),
        (["--memory", "1g", "--set", "freeze_s=soon"], "write KEY=NUMBER or KEY=true"),
        (["--memory", "1g", "--set", "freeze_s=0"], "freeze_s 0 must be above 0"),
        (["--memory", "1g", "--priorities", "urgent"], "'urgent' is no priority; give high, normal or low"),
        (["--memory", "1g", "--budget", "1m"], "is too small"),
    ],
)
def test_what_cannot_be_simulated_is_said_with_the_fix(args: list[str], message: str) -> None:
    done = simulate(*args, "--calls", 3)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_trace_that_is_none_is_said(tmp_path: Path) -> None:
    done = simulate("--trace", tmp_path, "--memory", "1g")
    assert done.returncode == 1
    assert "holds no trace; give the folder that holds records.jsonl" in done.stderr
