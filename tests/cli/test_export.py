from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agentcgroup.trace.samples import SPOOL
from agentcgroup.trace.writer import RECORDS
from tests.trace import build
from tests.trace.test_export import check_format


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A working folder with a trace in it."""
    build.write_trace(tmp_path / "run1")
    return tmp_path


def export(work: Path, *args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agentcgroup", "export", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=work)


def test_perfetto_goes_beside_the_work_by_default(work: Path) -> None:
    done = export(work, "run1", "--to", "perfetto")
    assert (done.returncode, done.stdout, done.stderr) == (0, "run1.perfetto.json\n", "")
    events = json.loads((work / "run1.perfetto.json").read_text())["traceEvents"]
    check_format(events)
    assert sum(event["ph"] == "X" and event["cat"] == "call" for event in events) == 7


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_tables_go_where_they_are_told(work: Path, form: str) -> None:
    done = export(work, "run1", "--to", form, "--out", "deep")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"deep/calls.{form}\ndeep/samples.{form}\n"
    assert sorted(path.name for path in work.iterdir()) == ["deep", "run1"]


def test_damage_is_said_and_the_rest_exported(work: Path) -> None:
    path = work / "run1" / RECORDS
    path.write_bytes(path.read_bytes()[:-100])
    spool = work / "run1" / SPOOL
    spool.write_bytes(spool.read_bytes()[:-3])
    done = export(work, "run1", "--to", "csv")
    assert done.returncode == 0
    first, second = done.stderr.splitlines()
    assert "an incomplete last line; cut after 20 records" in first
    assert "samples: skipped samples.spool byte 2304: incomplete last row" in second
    assert len((work / "run1-csv" / "calls.csv").read_text().splitlines()) == 8


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (["nowhere", "--to", "csv"], 2, "nowhere does not exist; give the folder"),
        ([".", "--to", "csv"], 1, ". holds no trace; give the folder that holds records.jsonl"),
        (["run1", "--to", "csv", "--out", "run1"], 2, "run1 exists; give another --out, or --force to replace it"),
        (["run1", "--to", "perfetto", "--out", "run1"], 2, "run1 exists; give another --out"),
        (["run1", "--to", "csv", "--out", "run1", "--force"], 2, "run1 is the trace itself; give another --out"),
        (
            ["run1", "--to", "perfetto", "--out", "run1/records.jsonl", "--force"],
            2,
            "is a part of the trace; give another",
        ),
        (["run1", "--to", "csv", "--out", "no/where"], 2, "the folder no does not exist; make it first"),
        (["run1", "--to", "csv", "--out", "x" * 300], 1, "File name too long; free space there, or give another --out"),
    ],
)
def test_errors_are_one_line_that_says_how_to_mend_it(work: Path, args: list[str], status: int, message: str) -> None:
    done = export(work, *args)
    assert (done.returncode, done.stdout) == (status, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in work.iterdir()] == ["run1"]


def test_an_unknown_format_is_usage(work: Path) -> None:
    done = export(work, "run1", "--to", "excel")
    assert done.returncode == 2
    assert "'perfetto', 'csv', 'parquet'" in done.stderr


def test_help_has_an_example() -> None:
    done = export(Path(), "--help")
    assert done.returncode == 0
    assert "Example:" in done.stdout
    assert "Exit status:" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
