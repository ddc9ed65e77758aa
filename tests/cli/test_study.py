from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentcgroup.study.metrics import METRICS
from tests.study.build import call, write_run
from tests.trace import build


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sets of published runs, one of them broken, and one of recorded traces."""
    folder = tmp_path_factory.mktemp("traces")
    for name in ("a", "b", "c"):
        write_run(folder / "old" / name, [call("c1", 5, 9), call("c2", 12, 13, "Read")])
    write_run(folder / "new/a", [call("c1", 5, 19)])
    path = folder / "old/c/resources.json.gz"
    path.write_bytes(path.read_bytes()[:-9])
    build.write_trace(folder / "own/one")
    return folder


def study(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agentcgroup", "study", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def study_json(*args: object) -> Any:
    done = study(*args, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_tables_with_n_intervals_and_oddities(traces: Path) -> None:
    done = study(traces / "old", traces / "new", "--only", "duration")
    assert (done.returncode, done.stderr) == (0, "")
    assert "How long sessions take (duration)" in done.stdout
    assert "2 sessions" in done.stdout
    assert "100.0 s to 100.0 s" in done.stdout
    assert "broken run" in done.stdout
    assert "old/c#1" in done.stdout
    assert "(phases)" not in done.stdout


def test_json_has_everything(traces: Path) -> None:
    found = study_json(traces, "--set", "old=old", "--set", "new=new")
    assert found["sets"]["old"] == {"sessions": 2, "selected": 2}
    names = {metric["name"] for metric in found["metrics"]}
    assert names == {metric.name for metric in METRICS}
    assert all(metric["definition"].startswith("Definition:") for metric in found["metrics"])
    assert names >= {number["metric"] for number in found["numbers"]}
    oddities = {oddity["name"]: oddity for oddity in found["oddities"]}
    assert oddities["broken run"]["runs"] == ["old/c#1"]
    assert oddities["in no set"]["count"] == 1
    longest = next(n for n in found["numbers"] if (n["set"], n["item"], n["statistic"]) == ("new", "whole", "median"))
    assert (longest["value"], longest["low"], longest["n"], longest["unit"]) == (100.0, None, 1, "s")


def test_recorded_traces(traces: Path) -> None:
    found = study_json(traces / "own")
    assert found["sets"] == {"own": {"sessions": 1, "selected": 1}}
    assert {n["item"] for n in found["numbers"] if n["metric"] == "kind_duration"} >= {"test", "vcs", "build"}


def test_sets_without_labels_are_refused_with_the_labels(traces: Path) -> None:
    done = study(traces)
    assert done.returncode == 2
    assert "holds 3 sets, which are not to be mixed; label them: --set new='new' --set old='old'" in done.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nowhere"], "does not exist"),
        (["empty"], "no traces in"),
        (["old", "--only", "x"], "no metric 'x'"),
        (["old", "--set", "x"], "is not a set"),
        (["old", "--set", "x=y"], "no trace matches"),
    ],
)
def test_usage(traces: Path, args: list[str], said: str) -> None:
    (traces / "empty").mkdir(exist_ok=True)
    done = study(traces / args[0], *args[1:])
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_nothing_left_and_nothing_readable(tmp_path: Path) -> None:
    write_run(tmp_path / "s/a", taken=[])
    done = study(tmp_path / "s")
    assert done.returncode == 2
    assert "no session is left to compute with" in done.stderr
    assert study(tmp_path / "s", "--all").returncode == 0
    (tmp_path / "s/a/resources.json.gz").write_bytes(b"x")
    done = study(tmp_path / "s")
    assert done.returncode == 1
    assert "none of the 1 runs can be read" in done.stderr


def test_help_does_not_import_polars() -> None:
    code = "import sys; from agentcgroup.cli import study; print('polars' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
