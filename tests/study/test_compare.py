from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

from agentcgroup.errors import UsageError
from agentcgroup.study.compare import ALL, Difference, Verdict, compare_sets
from agentcgroup.study.compare_table import summary
from agentcgroup.study.find import parse_set
from agentcgroup.study.load import Study, load
from tests.study.build import call, write_run
from tests.study.metrics.made import curve
from tests.trace import build

LONG, SHORT = [150.0, 151.0, 170.0, 160.0, 190.0, 155.0], [90.0, 101.0, 80.0, 99.0, 95.0, 111.0, 97.0]


def write_set(folder: Path, durations: list[float], megabytes: float = 200.0) -> Path:
    for n, seconds in enumerate(durations):
        levels = [megabytes + n + t % 3 for t in range(70)]
        write_run(folder / f"t{n}", [call("c", 5, 9 + n)], curve(levels), claude_time=seconds)
    return folder


@pytest.fixture
def study(tmp_path: Path) -> Study:
    write_set(tmp_path / "long", LONG)
    write_set(tmp_path / "short", SHORT)
    write_set(tmp_path / "one", [200.0])
    return load([tmp_path], [parse_set(f"{name}={name}") for name in ("long", "short", "one")])


def found(study: Study, a: str, b: str) -> dict[tuple[str, str], Difference]:
    return {(one.measure, one.statistic): one for one in compare_sets(study, a, b)}


def test_a_difference_is_b_minus_a_with_an_interval_around_it(study: Study) -> None:
    one = found(study, "long", "short")["whole duration", "median"]
    assert (one.a, one.b) == (median(LONG), median(SHORT))
    assert one.difference == median(SHORT) - median(LONG)
    assert one.low is not None
    assert one.high is not None
    assert one.low <= one.difference <= one.high < 0
    # No resample can leave the values that there are.
    assert one.low >= min(SHORT) - max(LONG)
    assert one.high <= max(SHORT) - min(LONG)
    assert (one.verdict, one.n_a, one.n_b) == (Verdict.DIFFERS, 6, 7)
    assert "lower" in one.why


def test_the_other_way_round_is_the_same_with_the_sign_changed(study: Study) -> None:
    there, back = found(study, "long", "short"), found(study, "short", "long")
    for key, one in there.items():
        if one.difference is not None:
            assert back[key].difference == pytest.approx(-one.difference)
            assert back[key].verdict is one.verdict


def test_a_set_does_not_differ_from_itself(study: Study) -> None:
    same = compare_sets(study, "long", "long")
    assert {one.measure for one in same} >= {"whole duration", "peak memory", "calls"}
    for one in same:
        assert one.difference == 0.0
        assert one.verdict is Verdict.NOISE
        assert one.low is not None
        assert one.high is not None
        assert one.low <= 0 <= one.high
    whole = next(one for one in same if one.measure == "whole duration")
    assert whole.low != 0  # the two are drawn independently of each other
    assert "None of" in summary("long", "long", same)


def test_one_session_gives_no_interval(study: Study) -> None:
    for one in compare_sets(study, "one", "one") + compare_sets(study, "long", "one"):
        assert (one.low, one.high) == (None, None)
        assert one.verdict is Verdict.TOO_FEW
    assert "cannot be told" in summary("long", "one", compare_sets(study, "long", "one"))


def test_a_few_sessions_are_not_trusted(tmp_path: Path) -> None:
    write_set(tmp_path / "a", LONG[:4])
    write_set(tmp_path / "b", SHORT)
    study = load([tmp_path], [parse_set("a=a"), parse_set("b=b")])
    one = found(study, "a", "b")["whole duration", "mean"]
    assert one.low is not None
    assert one.verdict is Verdict.TOO_FEW


def test_what_is_counted_differently_is_not_compared(tmp_path: Path) -> None:
    write_set(tmp_path / "old", LONG)
    for n in range(6):
        build.write_trace(tmp_path / f"own/t{n}")
    study = load([tmp_path], [parse_set("old=old"), parse_set("own=own")])
    differences = found(study, "old", "own")
    memory = differences["peak memory", "median"]
    assert memory.verdict is Verdict.UNLIKE
    assert "count different things" in memory.why
    assert (memory.difference, memory.low) == (None, None)
    assert memory.a is not None
    assert differences["active duration", "median"].verdict is Verdict.UNLIKE  # recorded traces do not say it
    assert differences["whole duration", "median"].verdict is not Verdict.UNLIKE


def test_a_set_without_sessions_is_refused(study: Study) -> None:
    with pytest.raises(UsageError, match="no session of set 'none'"):
        compare_sets(study, "long", "none")


def test_names_are_not_twice() -> None:
    assert len({measure.name for measure in ALL}) == len({measure.column for measure in ALL}) == len(ALL)


def compare(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agentcgroup", "study", "compare", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compare")
    write_set(path / "long", LONG)
    write_set(path / "short", SHORT)
    return path


def test_two_folders(folder: Path) -> None:
    done = compare(folder / "long", folder / "short")
    assert (done.returncode, done.stderr) == (0, "")
    assert "A is long, B is short." in done.stdout
    assert "whole duration (lower in B)" in done.stdout
    assert "noise" in done.stdout
    assert "points" in done.stdout


def test_json_of_two_labels_is_that_of_two_folders(folder: Path) -> None:
    one = json.loads(compare(folder / "long", folder / "short", "--json").stdout)
    other = json.loads(
        compare("long", "short", "--in", folder, "--set", "long=l*", "--set", "short=s*", "--json").stdout
    )
    assert one == other
    assert (one["a"], one["b"]) == ("long", "short")
    assert {row["verdict"] for row in one["differences"]} >= {"differs", "noise"}


def test_a_folder_with_itself(folder: Path) -> None:
    told = json.loads(compare(folder / "long", folder / "long", "--json").stdout)
    assert {row["difference"] for row in told["differences"]} == {0.0}
    assert {row["verdict"] for row in told["differences"]} == {"noise"}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["long"], "Missing argument 'B'"),
        (["long", "nowhere"], "does not exist"),
        (["long", ".", "--set", "a=b"], "give --in PATH"),
        ([".", "long"], "holds 2 sets"),
        (["long", "x", "--in", ".", "--set", "long=l*", "--set", "short=s*"], "no set 'x'"),
    ],
)
def test_usage(folder: Path, args: list[str], said: str) -> None:
    command = [sys.executable, "-m", "agentcgroup", "study", "compare", *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_folder_called_compare_can_be_studied(tmp_path: Path) -> None:
    write_run(tmp_path / "compare/t", [call("c", 5, 9)])
    command = [sys.executable, "-m", "agentcgroup", "study", "./compare", "--only", "duration"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 0
    assert "1 sessions" in done.stdout
