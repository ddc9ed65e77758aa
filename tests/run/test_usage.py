"""Bad input: one line that says how to mend it, the right exit status, nothing left behind."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.run.running import AGENTCGROUP, agent, run


def refuse(folder: Path, *line: str) -> tuple[int, str]:
    done = subprocess.run([*AGENTCGROUP, "run", *line], capture_output=True, text=True, cwd=folder, timeout=60)
    assert done.stdout == ""
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--memory", "4q"], "--memory: '4q' is not a size; write a number and k, m, g or t"),
        (["--memory", "-4g"], "--memory: '-4g' is not a size"),
        (["--memory", "0"], "--memory: '0' is out of range"),
        (["--memory", "1m"], "--memory 1.0 MiB is too small"),
        (["--call-memory", "1k"], "--call-memory 1.0 KiB is too small for a shell"),
        (["--memory", "1g", "--call-memory", "2g"], "lower the one or raise the other"),
        (["--call-timeout", "soon"], "--call-timeout: 'soon' is not a duration"),
        (["--pids", "-3"], "--pids -3 is too few"),
        (["--cpu-weight", "0"], "--cpu-weight 0 is out of range; give 1 to 10000"),
        (["--name", "a/b"], "--name 'a/b' cannot name a session"),
        (["--name", ".."], "--name '..' cannot name a session"),
        (["--name", "memory.max"], "--name 'memory.max' cannot name a session"),
        (["--sample-hz", "-1"], "--sample-hz -1 is out of range"),
        (["--agent", "hal9000"], "hal9000"),
        (["--agent", "claude", "--memory", "100m"], "needs about"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_options(tmp_path: Path, options: list[str], says: str) -> None:
    status, error = refuse(tmp_path, "--trace", str(tmp_path / "trace"), *options, "--", "true")
    assert status == 2, error
    assert error.startswith("agentcgroup: ")
    assert says in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "trace").exists()


def test_no_command(tmp_path: Path) -> None:
    status, error = refuse(tmp_path, "--memory", "1g")
    assert status == 2
    assert "COMMAND" in error


@pytest.mark.parametrize(
    ("name", "expected", "says"),
    [
        ("no-such-command", 127, "command not found"),
        ("./missing", 127, "command not found"),
        ("./data", 126, "cannot be executed"),
        ("", 127, "command not found"),
        ("./broken", 126, "cannot be executed"),
    ],
)
def test_commands_that_cannot_be_executed(tmp_path: Path, name: str, expected: int, says: str) -> None:
    (tmp_path / "data").write_text("no program\n")
    (tmp_path / "broken").write_bytes(b"\x7fELFbroken")
    (tmp_path / "broken").chmod(0o755)
    status, error = refuse(tmp_path, "--trace", "trace", "--placement", "mount", "--", name)
    assert status == expected, error
    assert says in error.splitlines()[-1]
    assert not (tmp_path / "trace").exists()


def test_a_trace_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("keep me")
    status, error = refuse(tmp_path, "--trace", "notes", "--", "true")
    assert status == 2
    assert "is not empty; give another --trace" in error
    assert (tmp_path / "notes" / "mine.txt").read_text() == "keep me"


def test_a_trace_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    status, error = refuse(tmp_path, "--trace", "file/trace", "--", "true")
    assert status == 2
    assert "is not a folder" in error


def test_a_session_name_that_is_taken(tmp_path: Path) -> None:
    name = f"twice-{tmp_path.name}"[:60].replace("_", "-")
    source = f"""
        inner = subprocess.run({[*AGENTCGROUP, "run", "--name", name, "--trace", "inner", "--", "true"]!r},
                               capture_output=True, text=True)
        print(inner.returncode, inner.stderr)
    """
    ran = run(tmp_path, agent(tmp_path, source), "--name", name)
    assert "2 agentcgroup: a session named" in ran.stdout
    assert "choose another --name" in ran.stdout


def test_json_is_one_line_on_stderr_and_the_output_of_the_command_is_untouched(tmp_path: Path) -> None:
    import json

    ran = run(tmp_path, agent(tmp_path, 'sh("true")'), "--json")
    document = json.loads(ran.stderr.splitlines()[-1])
    assert document["calls"] == 1
    assert document["outcomes"] == {"ok": 1}
    assert document["trace"] == str(tmp_path / "trace")
    assert ran.stdout == '["true", 0, "", ""]\n'
