from __future__ import annotations

from pathlib import Path

import pytest

from agentcgroup.errors import UsageError
from agentcgroup.study.find import Run, find_runs, parse_set
from agentcgroup.study.oddities import Oddities
from tests.study.build import write_run
from tests.trace import build


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    """Two sets; one with attempts; one task in both."""
    write_run(tmp_path / "one/a")
    write_run(tmp_path / "one/b")
    write_run(tmp_path / "two/a/attempt_1")
    write_run(tmp_path / "two/a/attempt_2")
    return tmp_path


def keys(runs: list[Run]) -> list[str]:
    return [run.label for run in runs]


def test_a_folder_of_tasks_is_a_set(traces: Path) -> None:
    oddities = Oddities()
    assert keys(find_runs([traces / "one", traces / "two"], [], oddities)) == [
        "one/a#1",
        "one/b#1",
        "two/a#1",
        "two/a#2",
    ]
    assert oddities.runs("task in several sets") == ("a",)
    assert keys(find_runs([traces / "two/a"], [], Oddities())) == ["two/a#1", "two/a#2"]
    assert keys(find_runs([traces / "two/a/attempt_2"], [], Oddities())) == ["two/a#2"]
    assert keys(find_runs([traces / "one", traces / "one/a"], [], Oddities())) == ["one/a#1", "one/b#1"]


def test_mixed_sets_are_refused_with_the_options_that_label_them(traces: Path) -> None:
    with pytest.raises(UsageError, match="holds 2 sets") as error:
        find_runs([traces], [], Oddities())
    assert "--set one='one' --set two='two'" in error.value.fix


def test_two_sets_of_one_name_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "x/glm/a")
    write_run(tmp_path / "y/glm/b")
    with pytest.raises(UsageError, match="two sets would be called 'glm'"):
        find_runs([tmp_path / "x/glm", tmp_path / "y/glm"], [], Oddities())


def test_recorded_and_published_are_not_mixed(tmp_path: Path) -> None:
    write_run(tmp_path / "all/a")
    build.write_trace(tmp_path / "all/b")
    with pytest.raises(UsageError, match="recorded and published"):
        find_runs([tmp_path / "all"], [], Oddities())
    found = find_runs([tmp_path], [parse_set("ours=all/b"), parse_set("theirs=all/a")], Oddities())
    assert [(run.set, run.recorded) for run in found] == [("ours", True), ("theirs", False)]


def test_labels_take_runs_by_their_path_and_the_first_counts(traces: Path) -> None:
    oddities = Oddities()
    wanted = [parse_set("late=two/*/attempt_2"), parse_set("twos=two"), parse_set("b=*/b")]
    assert keys(find_runs([traces], wanted, oddities)) == ["b/b#1", "late/a#2", "twos/a#1"]
    assert oddities.count("in no set") == 1


def test_one_label_over_two_sets_keeps_every_run(traces: Path) -> None:
    oddities = Oddities()
    assert keys(find_runs([traces], [parse_set("all=*")], oddities)) == ["all/a#1", "all/two/a#1", "all/a#2", "all/b#1"]
    assert oddities.count("same key twice") == 1


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no traces in"):
        find_runs([tmp_path], [], Oddities())
    with pytest.raises(UsageError, match="does not exist"):
        find_runs([tmp_path / "none"], [], Oddities())
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is not a folder"):
        find_runs([tmp_path / "file"], [], Oddities())


def test_a_glob_that_matches_nothing(traces: Path) -> None:
    with pytest.raises(UsageError, match="no trace matches --set x=ten"):
        find_runs([traces], [parse_set("x=ten"), parse_set("one=one")], Oddities())


@pytest.mark.parametrize("text", ["one", "=one", "one=", " =x"])
def test_what_is_no_set(text: str) -> None:
    with pytest.raises(UsageError, match="is not a set"):
        parse_set(text)


def test_links_are_not_followed_but_said(traces: Path) -> None:
    (traces / "one/loop").symlink_to(traces / "one")
    oddities = Oddities()
    assert len(find_runs([traces / "one"], [], oddities)) == 2
    assert oddities.count("link not followed") == 1
