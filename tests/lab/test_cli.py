"""The command line of the lab: options, statuses, and one line for what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from agentcgroup.cli.lab import command

LAB = [sys.executable, "-m", "agentcgroup", "lab"]


def _lab(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run([*LAB, *arguments], capture_output=True, text=True, env=environment, check=False)


def test_status_variables_and_words_after_the_command(tmp_path: Path) -> None:
    script = 'echo "$A|$B|$C|$1|$2"; nproc; free -m; exit 42'
    options = ["--cpus", "1", "--memory", "600m", "--env", "A=1=2", "--env", "B", "--env", "C"]
    done = _lab("run", *options, "sh", "-c", script, "name", "--cpus", "-x", B="of the caller")
    lines = done.stdout.splitlines()
    assert lines[0] == "1=2|of the caller||--cpus|-x"
    assert lines[1] == "1"
    assert 400 < int(lines[3].split()[1]) < 600
    assert (done.returncode, done.stderr) == (42, "")


@pytest.mark.parametrize(
    ("options", "status", "complaint"),
    [
        (["--memory", "12x", "--", "true"], 2, "'12x' is not a size"),
        (["--memory", "1m", "--", "true"], 2, "give at least 256m"),
        (["--timeout", "soon", "--", "true"], 2, "'soon' is not a duration"),
        (["--share", "/nonexistent", "--", "true"], 2, "give an existing directory"),
        (["--env", "=x", "--", "true"], 2, "write NAME=VALUE"),
        (["--suite", "a b", "--kernel", "/nonexistent/vmlinuz", "--", "true"], 125, "give a vmlinuz"),
        (["--cpus", "0", "--", "true"], 2, "--cpus"),
        ([], 2, "COMMAND"),
    ],
)
def test_what_cannot_be_used_is_one_line_that_says_how_to_mend_it(
    options: list[str], status: int, complaint: str
) -> None:
    done = _lab("run", *options)
    assert done.returncode == status
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_prepare_with_a_good_cache_names_the_kernel() -> None:
    done = CliRunner().invoke(command, ["prepare"])
    assert done.exit_code == 0, done.output
    assert "-cloud-amd64: Debian " in done.output
