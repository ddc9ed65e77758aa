from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentcgroup.trace.writer import RECORDS
from tests.trace import build


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a whole trace and a cut one."""
    folder = tmp_path_factory.mktemp("traces")
    build.write_trace(folder / "whole")
    build.write_trace(folder / "cut", session="s2", end=False)
    return folder


def show(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agentcgroup", "show", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def rows(output: str) -> list[list[str]]:
    """The rows of the table of calls, split at runs of blanks."""
    lines = output.splitlines()
    header = next(number for number, line in enumerate(lines) if line.startswith("call  "))
    return [line.split() for line in lines[header + 1 :]]


def test_a_trace_shows_its_session_and_calls(traces: Path) -> None:
    done = show(traces / "whole")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("session fix-tests (claude): ")
    assert "  command     claude -p run the tests\n" in done.stdout
    assert "box, Linux 6.18.44, 8 CPUs, 16.0 GiB" in done.stdout
    table = rows(done.stdout)
    assert [row[0] for row in table] == [
        *("c000001*", "c000002*", "c000003", "c000004*", "c000005*", "c000006", "c000007*")
    ]
    assert table[3][1:12] == ["+1.5", "s", "400", "ms", "390", "ms", "2.0", "GiB", "oom", "python", "-c"]
    assert "failed (1)" in done.stdout
    assert "ok +1 kept" in done.stdout
    assert "\x1b" not in done.stdout
    assert "printf '\\xff\\x1b[31m'" in done.stdout


@pytest.mark.parametrize(
    ("sort", "first"), [("memory", "c000004*"), ("cpu", "c000002*"), ("time", "c000002*"), ("start", "c000001*")]
)
def test_calls_are_sorted_as_asked(traces: Path, sort: str, first: str) -> None:
    assert rows(show(traces / "whole", "--sort", sort).stdout)[0][0] == first


def test_one_call_is_shown_in_full(traces: Path) -> None:
    done = show(traces / "whole", "--call", "c000004")
    assert (done.returncode, done.stderr) == (0, "")
    lines = {line[2:26].strip(): line[26:] for line in done.stdout.splitlines()[1:]}
    assert lines["command"] == "python -c 'x = bytearray(1 << 40)'"
    assert lines["outcome"] == "oom: its memory.max was reached"
    assert lines["status"] == "killed by signal 9"
    assert lines["memory_max"] == "2.0 GiB (2147483648 bytes)"
    assert lines["cpu_time"] == "390 ms"
    assert lines["leftovers"] == "1 killed, 0 kept"
    assert lines["signal"].endswith("signal oom_kill, value 1")
    requested, started = (float(lines[name].removeprefix("+").split()[0]) for name in ("requested", "started"))
    assert started - requested == pytest.approx(0.0005, abs=2e-6)
    timed_out = show(traces / "whole", "--call", "c000006").stdout
    assert "action kill, reason call timeout" in timed_out
    kept = show(traces / "whole", "--call", "c000005").stdout
    assert "0 killed, 1 kept (7001)" in kept
    assert ": session-ended" in kept


def test_json_holds_everything(traces: Path) -> None:
    document: dict[str, Any] = json.loads(show(traces / "whole", "--json").stdout)
    assert (document["v"], document["cut"], document["damage"], document["unknown"]) == (1, False, [], {})
    (session,) = document["sessions"]
    assert session["start"]["host"]["kernel"] == "6.18.44"
    assert session["summary"]["outcomes"] == {"ok": 4, "failed": 1, "oom": 1, "timed-out": 1}
    assert [call["outcome"] for call in session["calls"]] == [row[-1] for row in build.CALLS]
    assert session["calls"][2]["argv"][2] == build.CALLS[2][0]
    assert [event["kind"] for event in session["events"]] == ["shell", "signal", "action", "uncaught"]
    by_memory = json.loads(show(traces / "whole", "--json", "--sort", "memory").stdout)
    assert by_memory["sessions"][0]["calls"][0]["call"] == "c000004"
    call = json.loads(show(traces / "whole", "--json", "--call", "c000005").stdout)
    assert call["background"]["reason"] == "session-ended"
    assert call["usage"]["memory_peak_bytes"] == 40 * build.MIB


def test_a_cut_trace_is_shown_with_one_line_on_stderr(traces: Path) -> None:
    done = show(traces / "cut")
    assert done.returncode == 0
    assert len(rows(done.stdout)) == 7
    assert done.stderr.count("\n") == 1
    assert "cut after 19 records" in done.stderr


def test_a_damaged_trace_is_shown_as_far_as_it_is_sound(tmp_path: Path) -> None:
    build.write_trace(tmp_path / "t")
    path = tmp_path / "t" / RECORDS
    lines = path.read_bytes().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if b'"call_start"' in line)
    lines[at] = b"\x1b[2J garbage\n"
    path.write_bytes(b"".join(lines))
    done = show(tmp_path / "t")
    assert done.returncode == 0
    assert f"skipped {RECORDS} line {at + 1}, byte {sum(map(len, lines[:at]))}: not JSON" in done.stderr
    assert "(not known)" in done.stdout
    assert "not known: the record of its start is missing" in show(tmp_path / "t", "--call", "c000001").stdout
    path.write_bytes(b"".join(lines[1:]))
    assert "the record of its start is missing" in show(tmp_path / "t").stdout


def test_a_folder_of_traces_is_listed(traces: Path) -> None:
    done = show(traces)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["trace", "cut", "whole"]
    assert lines[1].rstrip().endswith("cut")
    assert lines[2].rstrip().endswith("exit status 0")
    assert len(json.loads(show(traces, "--json").stdout)) == 2


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (["whole", "--call", "c9"], 2, "no call 'c9' in {}/whole; it holds c000001 to c000007: `agentcgroup show "),
        (["nowhere"], 2, "{}/nowhere does not exist; give the folder"),
        (
            ["whole/records.jsonl"],
            2,
            "{}/whole/records.jsonl is not a folder; give the folder that holds records.jsonl",
        ),
        (["x" * 300], 2, "cannot be opened: File name too long; check"),
        (["empty"], 1, "{}/empty holds no trace; give the folder that holds records.jsonl"),
        (["--call", "c000001", "."], 2, "holds 2 traces; give one of them, such as {}/cut"),
    ],
)
def test_errors_are_one_line_that_says_how_to_mend_it(traces: Path, args: list[str], status: int, message: str) -> None:
    (traces / "empty").mkdir(exist_ok=True)
    done = show(*(arg if arg.startswith("-") or arg == "c000001" or arg == "c9" else traces / arg for arg in args))
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith("agentcgroup: ")
    assert message.format(traces) in done.stderr
    assert done.stderr.count("\n") == 1


def test_help_has_an_example_and_the_exit_statuses() -> None:
    done = show("--help")
    assert done.returncode == 0
    for part in ("Example:", "Exit status:", "--sort memory", "client-killed"):
        assert part in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_terminal_gets_colour_within_its_width(traces: Path) -> None:
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "agentcgroup", "show", str(traces / "whole")]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "90", "LINES": "50"}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(command, stdout=follower, env=environment) as process:
        os.close(follower)
        output = b""
        while True:
            try:
                piece = os.read(leader, 4096)
            except OSError:  # the other side is closed
                break
            output += piece
        os.close(leader)
    assert process.returncode == 0
    assert b"\x1b[31m" in output
    import re

    plain = re.sub(r"\x1b\[[0-9;]*m", "", output.decode())
    assert max(map(len, plain.splitlines())) <= 90
