from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from agentcgroup.study.load import load
from tests.trace import build


def test_a_recorded_trace(tmp_path: Path) -> None:
    build.write_trace(tmp_path / "own/one")
    study = load([tmp_path / "own"])
    row = study.sessions.to_dicts()[0]
    assert (row["set"], row["task"], row["source"], row["call_clock"]) == ("own", "one", "recorded", "command")
    assert (row["agent"], row["memory_limit_bytes"], row["host_memory_bytes"]) == (
        "claude",
        4 * build.GIB,
        16 * build.GIB,
    )
    assert row["call_count"] == len(build.CALLS)
    assert row["selected"] is True
    assert row["active_start_s"] is None  # nobody recorded what the model did
    assert (row["published_rule"], row["message_count"], row["model"]) == (None, None, None)
    calls = study.calls
    assert calls["kind"].to_list()[:3] == ["vcs", "test", "file"]
    for (_, start_ms, took_ms, peak, cpu_us, *_), call in zip(build.CALLS, calls.to_dicts(), strict=True):
        assert call["start_s"] - calls["start_s"][0] == pytest.approx((start_ms - build.CALLS[0][1]) / 1000)
        assert call["duration_s"] == pytest.approx(took_ms / 1000, abs=0.001)  # the builder adds its own 0.5 ms
        assert call["memory_peak_bytes"] == peak
        assert call["cpu_time_s"] == pytest.approx(cpu_us / 1e6)
        assert call["tool"] == "shell"
    assert calls["outcome"].to_list()[3] == "oom"
    assert calls["leftovers_killed"].to_list() == [0, 1, 0, 1, 0, 1, 0]
    assert calls["leftovers_kept"].to_list() == [0, 0, 0, 0, 1, 0, 0]


def test_what_calls_left_is_null_where_nobody_saw_it(tmp_path: Path) -> None:
    build.write_trace(tmp_path / "own/one")
    path = tmp_path / "own/one/records.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [line for line in lines if (line["kind"], line.get("call")) != ("call_end", "c000004")]
    for line in lines:
        if (line["kind"], line.get("call")) == ("call_start", "c000002"):
            line["managed"] = False
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    calls = load([tmp_path / "own"]).calls
    assert calls["leftovers_killed"].to_list() == [0, None, 0, None, 0, 1, 0]
    assert calls["leftovers_kept"].to_list() == [0, None, 0, None, 1, 0, 0]


def test_the_kind_of_a_call_is_that_of_what_it_really_ran(tmp_path: Path) -> None:
    """The kernel tells what a command line does not say: what a script or a Makefile starts."""
    build.write_trace(tmp_path / "own/one")
    path = tmp_path / "own/one/records.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if (line["kind"], line.get("call")) == ("call_end", "c000001"):
            line["programs"] = ["git", "head", "rustc"]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    calls = load([tmp_path / "own"]).calls
    assert (calls["kind"][0], calls["program"][0]) == ("build", "git")


def test_a_cut_trace_and_one_that_is_none(tmp_path: Path) -> None:
    build.write_trace(tmp_path / "own/cut", end=False)
    (tmp_path / "own/bad").mkdir()
    (tmp_path / "own/bad/records.jsonl").write_text("no record\n")
    study = load([tmp_path / "own"])
    assert study.sessions["task"].to_list() == ["cut"]
    assert study.sessions["cut"].to_list() == [True]
    assert study.sessions["exit_code"].to_list() == [None]
    assert study.oddities.count("trace cut") == 1
    assert study.oddities.runs("broken run") == ("own/bad#1",)


def test_damage_is_counted(tmp_path: Path) -> None:
    build.write_trace(tmp_path / "own/one")
    with (tmp_path / "own/one/records.jsonl").open("ab") as file:
        file.write(b'{"v": 1, "kind"\n{"half": ')
    study = load([tmp_path / "own"])
    assert study.oddities.count("trace damaged") == 2


def test_samples_of_calls_and_session(tmp_path: Path) -> None:
    build.write_trace(tmp_path / "own/one")
    study = load([tmp_path / "own"])
    samples = study.samples.collect()
    if samples.is_empty():
        assert study.oddities.count("no samples") == 1
        return
    assert {"session", "agent"} & set(samples["domain"].cast(pl.String).unique())
    assert samples["t_s"].is_sorted()
    first = samples.group_by("domain", maintain_order=True).first()
    assert first["cpu_cores"].null_count() == first.height
