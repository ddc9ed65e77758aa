"""A trace that cannot be written any more: the session goes on and says what is missing."""

from __future__ import annotations

import json
from pathlib import Path

from agentcgroup.kernel.hierarchy import v1_controllers
from agentcgroup.trace.reader import read_trace
from tests.run import surroundings
from tests.run.running import agent, shown
from tests.run.surroundings import said


def test_when_the_disk_fills_up_the_session_goes_on_and_says_what_is_missing(tmp_path: Path) -> None:
    """The trace is on a file system of 64 KiB; it is copied out before that goes with its namespace."""
    trace = tmp_path / "trace"
    trace.mkdir()
    front = 'mount -t tmpfs -o size=64k none "$1"; out="$2"; shift 2; set +e; "$@"; s=$?; cp -r "$0" "$out"; exit $s'
    line = ["unshare", "--mount", "sh", "-ec", front, str(trace), str(trace), str(tmp_path / "copy")]
    source = """
        for n in range(60):
            sh(f"echo {n} # " + "x" * 2000)
    """
    process = surroundings.start(tmp_path, line, agent(tmp_path, source), "--sample-hz", "50")
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert len(stdout.splitlines()) == 60
    assert stderr.startswith("agentcgroup: cgroup v1 ") or "memory" not in v1_controllers()
    assert "calls       60: 60 ok" in stderr
    problem = next(one for one in stderr.splitlines() if "is not complete" in one)
    assert problem.startswith(f"agentcgroup: the trace {trace} is not complete: ")
    assert "records lost; give another folder with --trace" in problem
    assert "Traceback" not in stderr
    check_sound(tmp_path / "copy", 60)


def check_sound(folder: Path, started: int) -> None:
    """A trace that stopped somewhere: its records are sound up to there, and nothing follows the one cut line."""
    lines = (folder / "records.jsonl").read_bytes().split(b"\n")
    sound = 0
    for line in lines[:-1]:
        try:
            sound += bool(json.loads(line))
        except ValueError:
            continue
    assert len(lines) - 1 - sound <= 1
    trace = read_trace(folder)
    calls = trace.sessions[0].calls
    assert 5 < len(calls) < started
    assert [call.command.split()[1] for call in calls] == [str(n) for n in range(len(calls))]
    assert len(trace.damage) <= 1


def test_a_limit_on_the_size_of_files_costs_records_and_nothing_else(tmp_path: Path) -> None:
    source = """
        for n in range(60):
            sh(f"echo {n} # " + "x" * 2000)
    """
    line = ["prlimit", f"--fsize={96 << 10}"]
    ran = surroundings.run(tmp_path, line, agent(tmp_path, source), "--sample-hz", "50")
    assert ran.status == 0
    assert len(shown(ran)) == 60
    assert [one for one in said(ran) if "is not complete: File too large" in one or "cut short" in one]
    assert "Traceback" not in ran.stderr
    check_sound(tmp_path / "trace", 60)


def test_a_trace_that_is_removed_while_the_session_runs(tmp_path: Path) -> None:
    source = f"""
        sh("true")
        sh("rm -r {tmp_path}/trace")
        sh("true")
    """
    process = surroundings.start(tmp_path, [], agent(tmp_path, source))
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0
    assert len(stdout.splitlines()) == 3
    assert "the trace was removed while the session ran" in stderr
    assert "calls       3: 3 ok" in stderr
    assert "Traceback" not in stderr
