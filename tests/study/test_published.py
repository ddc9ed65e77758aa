from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from agentcgroup.errors import TraceError
from agentcgroup.study import schema
from agentcgroup.study.load import Study, load
from tests.study.build import BEGIN, call, original_log, pack, results, sample, samples, write_run


def one(path: Path) -> Study:
    """The study of the set in ``path``."""
    return load([path])


def session(study: Study) -> dict[str, object]:
    return study.sessions.to_dicts()[0]


def test_a_whole_run(tmp_path: Path) -> None:
    calls = [call("c1", 5, 9, derived={"is_error": True, "exit_code": 1}), call("c2", 12, 12.5, "Read")]
    write_run(tmp_path / "s/a", calls, model="haiku", success=True, image_info={"size_bytes": 7})
    study = one(tmp_path / "s")
    row = session(study)
    assert (row["set"], row["task"], row["attempt"], row["source"]) == ("s", "a", 1, "published")
    assert row["start_epoch_s"] == BEGIN
    assert (row["zone_s"], row["wall_s"], row["image_bytes"], row["success"]) == (-8 * 3600, 100.0, 7, True)
    assert (row["active_start_s"], row["active_end_s"]) == (pytest.approx(2), pytest.approx(78))
    assert (row["sample_count"], row["sampled_s"], row["model"]) == (80, 79.0, "small")
    assert (row["host_memory_bytes"], row["memory_limit_bytes"]) == (134_500_000_000, None)
    assert row["selected"] is True
    first, second = study.calls.to_dicts()
    assert (first["kind"], first["program"], first["category_time"]) == ("test", "pytest", "Test")
    assert (first["start_s"], first["duration_s"]) == (pytest.approx(5), pytest.approx(4))
    assert (first["is_error"], first["exit_code"], first["sidechain"], first["leaf"]) == (True, 1, False, True)
    assert (second["kind"], second["command"], second["shell"]) == (None, None, False)
    assert study.messages.filter("first")["output_tokens"].to_list()[:3] == [None, 5, None]


def test_every_frame_has_the_documented_columns(tmp_path: Path) -> None:
    write_run(tmp_path / "s/a", [call("c", 5, 9)])
    study = one(tmp_path / "s")
    for name, wanted in schema.FRAMES.items():
        frame = getattr(study, name)
        frame = frame.collect() if isinstance(frame, pl.LazyFrame) else frame
        assert frame.schema == pl.Schema(schema.dtypes(wanted)), name
        assert len({column.name for column in wanted}) == len(wanted)


def test_tear_down_samples_go_and_are_counted(tmp_path: Path) -> None:
    taken = [*samples(70), sample(70, "0B / 0B", "0.00%"), sample(71, "186MB / 134.5GB")]
    write_run(tmp_path / "s/a", (), taken)
    study = one(tmp_path / "s")
    assert study.oddities.count("tear-down sample") == 1
    found = study.samples.collect()
    assert found.height == 71
    assert found["memory_bytes"].min() == 186_000_000
    assert session(study)["sample_count"] == 72  # the published filter counts them


def test_unreadable_samples_go_and_are_counted(tmp_path: Path) -> None:
    taken: list[Any] = [*samples(70), {"epoch": BEGIN + 80}, sample(81, "much"), sample(82, cpu="-"), "x", sample(3.5)]
    write_run(tmp_path / "s/a", (), taken)
    study = one(tmp_path / "s")
    assert study.oddities.count("sample unreadable") == 4
    assert study.oddities.count("samples out of order") == 1
    assert study.samples.collect()["t_s"].is_sorted()


def test_a_truncated_gzip_costs_its_run_only(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_run(tmp_path / "s" / name)
    for name, file in (("a", "resources.json.gz"), ("b", "trace_slim.json.gz")):
        path = tmp_path / "s" / name / file
        path.write_bytes(path.read_bytes()[:-20])
    study = one(tmp_path / "s")
    assert study.sessions["task"].to_list() == ["c"]
    assert study.oddities.runs("broken run") == ("s/a#1", "s/b#1")
    assert "ends early" in study.oddities.example("broken run")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_not_json_breaks_its_run(tmp_path: Path, content: bytes) -> None:
    write_run(tmp_path / "s/a")
    write_run(tmp_path / "s/b")
    (tmp_path / "s/a/tool_calls.json.gz").write_bytes(gzip.compress(content))
    study = one(tmp_path / "s")
    assert (study.sessions["task"].to_list(), study.oddities.count("broken run")) == (["b"], 1)


@pytest.mark.parametrize("content", ["null", "[]", "7", '{"samples": 3}', '{"samples": [null, 4, {}]}'])
def test_json_of_another_shape_is_a_run_without_samples(tmp_path: Path, content: str) -> None:
    write_run(tmp_path / "s/a")
    (tmp_path / "s/a/resources.json.gz").write_bytes(gzip.compress(content.encode()))
    study = one(tmp_path / "s")
    assert study.oddities.count("no samples") == 1
    assert session(study)["selected"] is False
    assert session(study)["start_epoch_s"] == pytest.approx(BEGIN + 2)  # of the first message


def test_all_runs_broken_is_an_error(tmp_path: Path) -> None:
    write_run(tmp_path / "s/a")
    (tmp_path / "s/a/resources.json.gz").write_bytes(b"no gzip")
    with pytest.raises(TraceError, match="none of the 1 runs can be read"):
        one(tmp_path / "s")


def test_a_failed_run_is_a_session_without_times(tmp_path: Path) -> None:
    write_run(tmp_path / "s/a")
    (tmp_path / "s/b").mkdir()
    (tmp_path / "s/b/results.json").write_text(json.dumps({"image": "img", "error": "cannot copy\nlayers"}))
    (tmp_path / "s/c").mkdir()
    (tmp_path / "s/c/results.json").write_text(json.dumps({"image": "img", "error": ""}))
    study = one(tmp_path / "s")
    failed = study.sessions.filter(pl.col("task") != "a")
    assert failed["error"].to_list() == ["cannot copy\nlayers", "unknown"]
    assert failed["wall_s"].null_count() == failed["call_count"].null_count() == 2
    assert not failed["selected"].any()
    assert study.oddities.count("failed run") == 2
    assert study.oddities.count("no samples") == study.oddities.count("no log of the agent") == 0


def test_a_missing_log_leaves_active_time_unknown(tmp_path: Path) -> None:
    write_run(tmp_path / "s/a", [call("c", 5, 9)], log=False)
    study = one(tmp_path / "s")
    row = session(study)
    assert (row["active_start_s"], row["message_count"], row["call_count"]) == (None, None, 1)
    assert study.oddities.count("no log of the agent") == 1
    assert study.calls["sidechain"].to_list() == [None]


def test_no_list_of_calls_and_none_in_the_log_is_a_known_zero(tmp_path: Path) -> None:
    write_run(tmp_path / "s/a", listed=False)
    write_run(tmp_path / "s/b", listed=False, log=False)
    study = one(tmp_path / "s")
    assert study.sessions["call_count"].to_list() == [0, None]


def test_attempts_are_all_loaded_and_the_last_counts(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        write_run(tmp_path / f"s/a/attempt_{number}")
    study = one(tmp_path / "s")
    assert study.sessions.filter("selected")["attempt"].to_list() == [10]
    assert study.oddities.count("earlier attempt") == 2
    assert load([tmp_path / "s"], everything=True).sessions["selected"].all()


@pytest.mark.parametrize(("count", "step", "counts"), [(9, 10, False), (80, 0.7, False), (61, 1, True), (10, 7, True)])
def test_the_published_filter(tmp_path: Path, count: int, step: float, counts: bool) -> None:
    write_run(tmp_path / "s/a", (), samples(count, step))
    study = one(tmp_path / "s")
    assert session(study)["published_rule"] is counts
    assert study.oddities.count("too short") == int(not counts)


@pytest.mark.parametrize("zone_h", [-8, 0, 5.5])
def test_naive_local_times_move_nothing(tmp_path: Path, zone_h: float) -> None:
    write_run(tmp_path / "s/a", [call("c", 5, 9)], [sample(n, zone_h=zone_h) for n in range(80)])
    study = one(tmp_path / "s")
    assert session(study)["zone_s"] == zone_h * 3600
    assert study.calls["start_s"].to_list() == [pytest.approx(5)]
    assert study.oddities.count("naive local time") == 1


def test_limits_of_a_container(tmp_path: Path) -> None:
    taken = [sample(n, "20MB / 4.295GB") for n in range(80)]
    write_run(tmp_path / "s/a", (), taken, memory_limit="4g", cpu_limit="2")
    row = session(one(tmp_path / "s"))
    assert (row["memory_limit_bytes"], row["cpu_limit_cores"], row["host_memory_bytes"]) == (4 << 30, 2.0, None)


def test_a_killed_agent_whose_container_was_sampled_on(tmp_path: Path) -> None:
    write_run(tmp_path / "s/a", [call("c", 5, None)], samples(200), exit_code=137)
    study = one(tmp_path / "s")
    assert study.oddities.count("agent killed") == study.oddities.count("samples after the agent") == 1
    assert study.oddities.count("call without end") == 1
    assert study.calls["duration_s"].to_list() == [None]


def test_the_original_files_say_the_same(tmp_path: Path) -> None:
    calls = [call("c1", 5, 9), call("failed", 12, 14), call("agent", 20, 40, "Task"), call("inner", 25, 26)]
    calls[3]["sidechain"] = True
    packed = write_run(tmp_path / "p/a", calls)
    plain = tmp_path / "q/a"
    plain.mkdir(parents=True)
    bare = [{name: entry[name] for name in ("timestamp", "tool", "id")} for entry in calls]  # as in the 18-task set
    (plain / "tool_calls.json").write_text(json.dumps(bare))
    (plain / "resources.json").write_text(json.dumps({"samples": samples()}))
    more = {"claude_output": {"exit_code": 0}}
    (plain / "results.json").write_text(json.dumps({**results(**more), "exit_code": None}))
    (plain / "trace.jsonl").write_text(original_log(calls) + '{"type": "assis')
    study = load([packed.parent, plain.parent])
    columns = ["call", "tool", "kind", "start_s", "end_s", "sidechain", "parent", "leaf", "command"]
    ours, theirs = (study.calls.filter(pl.col("session") == n).select(columns) for n in (0, 1))
    assert ours.equals(theirs)
    assert ours["parent"].to_list() == [None, None, None, "agent"]
    assert ours["leaf"].to_list() == [True, True, False, True]
    assert study.calls.filter(pl.col("session") == 1)["is_error"].to_list() == [False, True, False, False]
    assert study.oddities.count("call times rebuilt") == 4
    assert study.oddities.count("log truncated") == 1
    assert study.oddities.count("log record without time") == 1  # the summary
    assert study.sessions["exit_code"].to_list() == [0, 0]


def test_no_list_but_a_log_with_calls(tmp_path: Path) -> None:
    write_run(tmp_path / "s/a", [call("c1", 5, 9), call("c2", 6, None, "Read")], listed=False)
    study = one(tmp_path / "s")
    assert study.calls.select("call", "tool", "command").rows() == [("c1", "Bash", None), ("c2", "Read", None)]
    assert (study.oddities.count("no list of calls"), study.oddities.count("call without end")) == (2, 1)


def test_a_call_of_one_of_two_sub_agents_has_no_parent(tmp_path: Path) -> None:
    calls = [call("a1", 5, 20, "Task"), call("a2", 5, 30, "Task"), call("in", 7, 8), call("later", 25, 26)]
    for entry in calls[2:]:
        entry["sidechain"] = True
    write_run(tmp_path / "s/a", calls)
    study = one(tmp_path / "s")
    assert study.calls["parent"].to_list() == [None, None, None, "a2"]
    assert study.oddities.count("sub-agent not clear") == 1


def test_sub_agents_that_the_log_does_not_mark_are_not_known(tmp_path: Path) -> None:
    write_run(tmp_path / "s/a", [call("a1", 5, 20, "Task"), call("c", 7, 8)])
    assert one(tmp_path / "s").calls["sidechain"].to_list() == [None, None]


def test_odd_calls(tmp_path: Path) -> None:
    calls: list[Any] = [
        call("back", 9, 5),
        {"tool": "Bash"},
        call("out", -3, 4),
        call("late", 70, 500),
        call("\ud800", 5, 6),
    ]
    calls[1] = {"tool": "Bash", "id": "x", "timestamp": "2026-02-05T09:43:37"}  # whose zone?
    write_run(tmp_path / "s/a", calls, log=False)
    study = one(tmp_path / "s")
    assert study.oddities.count("call ends before it starts") == 1
    assert study.oddities.count("call unreadable") == 1
    assert study.oddities.count("call outside the samples") == 2
    assert study.calls.height == 4


def test_process_events_are_said_not_to_be_read(tmp_path: Path) -> None:
    run = write_run(tmp_path / "s/a")
    pack(run / "proc_events.json.gz", [])
    assert one(tmp_path / "s").oddities.count("process events not read") == 1
