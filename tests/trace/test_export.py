from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.errors import TraceError, UsageError
from agentcgroup.trace.export import Format, default_out, export
from agentcgroup.trace.frames import finish_samples, read_samples
from agentcgroup.trace.perfetto import perfetto_events
from agentcgroup.trace.reader import read_trace
from agentcgroup.trace.records import Signal
from agentcgroup.trace.views import Trace
from agentcgroup.trace.writer import RECORDS, TraceWriter
from tests.trace import build

Events = list[dict[str, Any]]


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    """The usual trace with its samples."""
    build.write_trace(tmp_path / "t")
    finish_samples(tmp_path / "t")
    return read_trace(tmp_path / "t")


def check_format(events: Events) -> None:
    """The rules of the trace event format, as far as the viewer depends on them."""
    named: set[tuple[str, int, int]] = set()
    last_ts = -1.0
    for event in events:
        assert event["ph"] in ("X", "C", "i", "M")
        assert isinstance(event["name"], str)
        assert event["name"]
        assert type(event["pid"]) is int
        assert type(event["tid"]) is int
        assert isinstance(event["args"], dict)
        if event["ph"] == "M":
            assert last_ts < 0, "metadata comes first"
            assert event["name"] in ("process_name", "process_sort_index", "thread_name", "thread_sort_index")
            key = "name" if event["name"].endswith("_name") else "sort_index"
            assert list(event["args"]) == [key]
            named.add((event["name"], event["pid"], event["tid"]))
            continue
        assert isinstance(event["ts"], float)
        assert math.isfinite(event["ts"])
        assert event["ts"] >= max(last_ts, 0)
        last_ts = event["ts"]
        assert ("process_name", event["pid"], 0) in named
        if event["ph"] == "X":
            assert isinstance(event["dur"], float)
            assert 0 <= event["dur"] < math.inf
        if event["ph"] == "i":
            assert event["s"] in ("g", "p", "t")
        if event["ph"] == "C":
            assert event["args"]
            assert all(type(value) is float and value >= 0 for value in event["args"].values())
        else:
            assert ("thread_name", event["pid"], event["tid"]) in named
    check_nesting([event for event in events if event["ph"] == "X"])


def check_nesting(slices: Events) -> None:
    """Slices of one track lie side by side or one in the other, and the outer one comes first."""
    open_ends: dict[tuple[int, int], list[float]] = {}
    for event in slices:
        stack = open_ends.setdefault((event["pid"], event["tid"]), [])
        begin, end = event["ts"], event["ts"] + event["dur"]
        while stack and stack[-1] <= begin + 1e-6:
            stack.pop()
        assert not stack or end <= stack[-1] + 2e-3, event  # ends are rounded to 1 ns
        stack.append(end)


def written(path: Path) -> Events:
    document = json.loads(path.read_bytes().decode("utf-8"))
    assert set(document) == {"displayTimeUnit", "otherData", "traceEvents"}
    assert document["displayTimeUnit"] in ("ms", "ns")
    events: Events = document["traceEvents"]
    return events


def of(events: Events, **wanted: object) -> Events:
    return [event for event in events if all(event.get(key) == value for key, value in wanted.items())]


def test_perfetto_has_one_track_per_call_with_its_parts(trace: Trace, tmp_path: Path) -> None:
    files, damage = export(trace, Format.PERFETTO, tmp_path / "out.json")
    assert (files, damage) == ([tmp_path / "out.json"], ())
    events = written(files[0])
    check_format(events)
    tracks = {e["args"]["name"]: e["tid"] for e in of(events, name="thread_name")}
    assert list(tracks) == ["session", *(call.id for call in trace.calls)]
    assert len(set(tracks.values())) == 8
    for call in trace.calls:
        parts = of(events, ph="X", tid=tracks[call.id])
        assert [part["cat"] for part in parts][:4] == ["call", "queue", "command", "return"]
        assert parts[0]["args"]["outcome"] == call.outcome
        assert call.duration_s is not None
        assert parts[2]["dur"] == pytest.approx(call.duration_s * 1e6, abs=0.01)
    oom = of(events, cat="call", tid=tracks["c000004"])[0]
    assert oom["name"] == "python -c 'x = bytearray(1 << 40)'"
    assert oom["args"]["usage"]["memory_peak_bytes"] == 2 * build.GIB
    assert [e["name"] for e in of(events, ph="i", tid=tracks["c000004"])] == ["signal oom_kill"]
    background = of(events, cat="background")
    assert [e["tid"] for e in background] == [tracks["c000005"]]
    assert background[0]["args"]["reason"] == "session-ended"


def test_perfetto_counters_are_the_samples(trace: Trace) -> None:
    events = json.loads(json.dumps(perfetto_events(trace, read_samples(trace.folder)[0])))
    memory = [event["args"]["MiB"] for event in of(events, ph="C", name="memory session")]
    assert memory == [*(100.0 + tick for tick in range(30)), 0.0]
    cpu = [event["args"]["percent"] for event in of(events, ph="C", name="CPU session")]
    assert cpu == [pytest.approx(50.0)] * 29 + [0.0]  # 50 ms of CPU every 100 ms
    call_cpu = of(events, ph="C", name="CPU c000004")
    begin = of(events, ph="X", name="python -c 'x = bytearray(1 << 40)'")[0]["ts"]
    assert call_cpu[0]["ts"] == pytest.approx(begin + 500)  # from its start on, before its first sample
    assert [event["args"]["percent"] for event in call_cpu[1:-1]] == [pytest.approx(90.0)] * 3
    assert call_cpu[-1]["args"] == {"percent": 0.0}


@given(st.data())
def test_perfetto_keeps_its_rules_for_damaged_traces(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("d") / "t"
    build.write_trace(folder, end=data.draw(st.booleans()))
    raw = bytearray((folder / RECORDS).read_bytes())
    for position in data.draw(st.sets(st.integers(0, len(raw) - 1), max_size=6)):
        raw[position] = data.draw(st.integers(32, 126))
    (folder / RECORDS).write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    trace = read_trace(folder)
    check_format(json.loads(json.dumps(perfetto_events(trace, read_samples(folder)[0]))))


@pytest.mark.parametrize("form", [Format.CSV, Format.PARQUET])
def test_tables_hold_calls_and_samples(trace: Trace, tmp_path: Path, form: Format) -> None:
    files, _ = export(trace, form, tmp_path / "out")
    assert [file.name for file in files] == [f"calls.{form}", f"samples.{form}"]
    read = pl.read_csv if form is Format.CSV else pl.read_parquet
    calls, samples = read(files[0]), read(files[1])
    assert calls["call"].to_list() == [call.id for call in trace.calls]
    assert calls["memory_peak_bytes"].to_list() == [row[3] for row in build.CALLS]
    assert calls["outcome"].to_list() == [row[-1] for row in build.CALLS]
    assert calls["command"].to_list()[2] == "sed -i 's/a/b/' f\u00fcr.py && printf '\\xff\x1b[31m'"
    assert json.loads(calls["argv"].to_list()[0]) == list(trace.calls[0].argv)
    assert set(calls["programs"].to_list()) == {"[]"}
    assert samples.height == 34
    assert samples["memory_bytes"].max() == 2000 * build.MIB


def test_csv_is_plain_for_other_readers(trace: Trace, tmp_path: Path) -> None:
    export(trace, Format.CSV, tmp_path / "out")
    with (tmp_path / "out" / "calls.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["command"] for row in rows][:2] == ["git log --oneline | head", "pytest -q tests"]
    assert rows[3]["oom_kill_events"] == "1"
    assert rows[3]["swap_peak_bytes"] == ""


def test_calls_that_are_not_whole_are_exported_with_gaps(tmp_path: Path) -> None:
    build.write_trace(tmp_path / "t", end=False, samples=False)
    path = tmp_path / "t" / RECORDS
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[3] + lines[4])  # the end of the first call, the start of the second
    export(read_trace(tmp_path / "t"), Format.PARQUET, tmp_path / "out")
    calls = pl.read_parquet(tmp_path / "out" / "calls.parquet")
    assert sorted(calls.select("call", "command", "outcome", "memory_peak_bytes", "usage_source").rows()) == [
        ("c000001", None, "ok", 12 * build.MIB, "cgroup"),
        ("c000002", "pytest -q tests", "cut", None, None),
    ]
    assert pl.read_parquet(tmp_path / "out" / "samples.parquet").height == 0


def test_long_arguments_and_odd_signals_are_cut_to_size(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path / "t", session="s")
    writer.session_start(build.session_start())
    writer.signal(None, "odd\x1b", {"deep": ["\udcff" * 5000, 1.5, None]})
    writer.close()
    trace = read_trace(tmp_path / "t")
    assert isinstance(trace.sessions[0].events[0].body, Signal)
    export(trace, Format.PERFETTO, tmp_path / "out.json")
    events = written(tmp_path / "out.json")
    check_format(events)
    (instant,) = of(events, ph="i")
    assert instant["name"] == "signal odd\\x1b"
    assert instant["args"]["value"]["deep"][0].startswith("\\xff\\xff")
    assert len(instant["args"]["value"]["deep"][0]) == 4000


def test_outputs_are_never_overwritten_unasked(trace: Trace, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("precious")
    with pytest.raises(UsageError, match="exists; give another --out, or --force"):
        export(trace, Format.PERFETTO, out)
    with pytest.raises(UsageError, match=r"exists; give another --out$"):
        export(trace, Format.CSV, out, force=True)
    assert out.read_text() == "precious"
    export(trace, Format.PERFETTO, out, force=True)
    check_format(written(out))
    with pytest.raises(UsageError, match=r"the folder .* does not exist"):
        export(trace, Format.CSV, tmp_path / "a" / "b")
    with pytest.raises(UsageError, match="names no file"):
        export(trace, Format.CSV, Path())


def test_force_replaces_its_own_files_in_a_folder(trace: Trace, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(trace, Format.CSV, out)
    (out / "notes.txt").write_text("mine")
    (out / "calls.csv").write_text("old")
    export(trace, Format.CSV, out, force=True)
    assert (out / "calls.csv").read_text() != "old"
    assert (out / "notes.txt").read_text() == "mine"


def test_what_cannot_be_written_leaves_nothing(trace: Trace, tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="cannot be written"):
        export(trace, Format.CSV, tmp_path / ("x" * 300))
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "calls.csv").mkdir()
    with pytest.raises(TraceError, match="cannot be written"):
        export(trace, Format.CSV, tmp_path / "dir", force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dir", "t"]


def test_default_names_come_from_the_trace(trace: Trace) -> None:
    assert default_out(trace, Format.PERFETTO) == Path("t.perfetto.json")
    assert default_out(trace, Format.CSV) == Path("t-csv")
