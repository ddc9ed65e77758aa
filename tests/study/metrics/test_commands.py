"""Spikes and retry loops."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentcgroup.study.load import load
from agentcgroup.study.metrics.retries import loops_frame
from agentcgroup.study.metrics.spikes import spikes_frame
from tests.study.build import call, write_run
from tests.study.metrics.made import curve, one, values
from tests.trace import build

MB = 1_000_000


def test_the_rise_in_a_command_is_from_the_sample_before_it(tmp_path: Path) -> None:
    memory = [200] * 20 + [450] * 5 + [210] * 55
    calls = [
        call("test", 19.5, 24.2, command="pytest"),
        call("short", 30.1, 30.2, command="ls"),  # no sample
        call("one", 40, 45, command="python -c pass"),  # overlaps the next
        call("two", 44, 50, "Read"),
        call("down", 60, 65, command="git status"),
    ]
    study = one(tmp_path, memory, calls)
    rises = dict(spikes_frame(study).select("call", "rise_bytes").rows())
    assert rises == {"test": 250 * MB, "short": None, "one": None, "down": 0}
    found = values(study, "spikes")
    assert found["kind test", "greatest"] == 250 * MB
    assert found["category Test", "above 100 MB"] == 1
    assert found["kind file", "commands with a rise known"] == 0
    assert ("kind file", "median") not in found


def test_recorded_commands_have_their_own_peak(tmp_path: Path) -> None:
    build.write_trace(tmp_path / "own/one")
    found = values(load([tmp_path / "own"]), "spikes")
    assert found["kind test, own peak", "greatest"] == 700 * build.MIB


def test_a_retry_by_three_definitions(tmp_path: Path) -> None:
    shell = ["ls", "pytest a", "pytest b", "git diff", "pytest c", "pytest c", "pytest c"]
    calls = [call(f"c{n}", 3 + 5 * n, 4 + 5 * n, command=command) for n, command in enumerate(shell)]
    calls.insert(6, call("edit", 31, 31.5, "Edit"))  # between two runs of the same test, as a repair does it
    calls += [call(f"d{n}", 50 + n, 50.5 + n, command=f"ls {n}") for n in range(2)]
    study = one(tmp_path, [200] * 30 + [260] * 50, calls)
    found = sorted(loops_frame(study).select("loop", "commands", "kept_bytes").rows())
    # The edit parts the shell calls, and memory grows at 30 s.
    assert found == [("same", 3, 60 * MB), ("shell", 3, 0), ("shell", 6, 0), ("test", 3, 60 * MB)]
    numbers = values(study, "retry_loops")
    assert numbers["consecutive test commands", "part of all time"] == pytest.approx(3 / 100)
    assert numbers["consecutive shell calls (published)", "longest"] == 6
    assert numbers["consecutive identical commands", "sessions with a loop, count"] == 1


def test_a_sub_agents_commands_do_not_break_the_agents_loop(tmp_path: Path) -> None:
    calls = [
        call("t", 3, 40, "Task"),
        *(call(f"a{n}", 5 + 10 * n, 6 + 10 * n, command="pytest", sidechain=True) for n in range(3)),
        *(call(f"b{n}", 7 + 10 * n, 8 + 10 * n, command="ls") for n in range(3)),
    ]
    study = one(tmp_path, [200] * 80, calls)
    found = sorted(loops_frame(study).select("loop", "commands").rows())
    assert found == [("same", 3), ("same", 3), ("shell", 6), ("test", 3)]


def test_a_session_whose_calls_are_not_known_is_no_session_without_loops(tmp_path: Path) -> None:
    write_run(tmp_path / "s/a", log=False, listed=False)
    write_run(tmp_path / "s/b")
    found = values(load([tmp_path / "s"]), "retry_loops")
    assert found["consecutive test commands", "sessions with a loop"] == 0
    write_run(tmp_path / "t/a", log=False, listed=False)
    assert values(load([tmp_path / "t"]), "retry_loops")["consecutive test commands", "sessions with a loop"] is None


def test_images_count_once_and_background_calls(tmp_path: Path) -> None:
    for name, image, size in (("a", "x", 3e9), ("b", "x", 3e9), ("c", "y", 5e9)):
        info = {"size_bytes": int(size)}
        write_run(tmp_path / f"s/{name}", [call("c", 5, 6)], curve([9] * 80), image=image, image_info=info)
    found = values(load([tmp_path / "s"]), "image_size")
    assert (found["", "sum"], found["", "median"]) == (8e9, 4e9)
    build.write_trace(tmp_path / "own/one")
    left = values(load([tmp_path / "own"]), "left_processes")
    assert left["", "calls"] == 1  # nohup ./server &
    assert left["kept in the background", "share of shell calls"] == 1 / len(build.CALLS)
    assert left["killed at the end of the call", "share of shell calls"] == 3 / len(build.CALLS)
    assert left["killed at the end of the call", "processes per session"] == 3
    assert left["killed at the end of the call", "most of one call"] == 1


def test_what_a_published_call_left_is_not_known(tmp_path: Path) -> None:
    left = values(one(tmp_path, [200] * 80, [call("c", 5, 6)]), "left_processes")
    assert left["", "calls"] == 0
    assert not [item for item, _ in left if item]
