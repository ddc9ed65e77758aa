from __future__ import annotations

import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcgroup.errors import UsageError
from agentcgroup.trace.fields import FieldError
from agentcgroup.trace.reader import read_trace
from agentcgroup.trace.records import Record
from agentcgroup.trace.writer import RECORDS, TraceWriter
from tests.trace import build


@pytest.fixture
def file_limit() -> Iterator[None]:
    """At most 3000 bytes per file, which a write beyond meets as a full disk does: first cut short, then refused."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_each_record_is_one_line_with_the_common_fields(tmp_path: Path) -> None:
    seen: list[Record] = []
    build.write_trace(tmp_path / "a" / "b", observer=seen.append)
    lines = (tmp_path / "a" / "b" / RECORDS).read_bytes().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["kind"] for record in records] == [record.kind for record in seen]
    for record, line, found in zip(records, lines, seen, strict=True):
        assert line.isascii()
        assert list(record)[:5] == ["v", "kind", "mono_ns", "wall", "session"]
        assert record == json.loads(json.dumps(found.to_json()))
    assert {record["kind"] for record in records} >= {"session_start", "call_start", "call_end", "session_end"}


def test_raw_records_are_checked(tmp_path: Path) -> None:
    with pytest.raises(FieldError, match=r"call_end\.status"):
        TraceWriter(tmp_path / "t", session="s").write("call_end", call="c1", outcome="ok")
    writer = TraceWriter(tmp_path / "u", session="s")
    writer.write("action", call=None, action="freeze", reason="pressure")
    writer.close()
    assert [event.to_json()["action"] for event in read_trace(tmp_path / "u").sessions[0].events] == ["freeze"]


def test_folders_that_cannot_be_used_are_named_with_the_fix(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="not empty; give another --trace"):
        TraceWriter(tmp_path / "full", session="s")
    with pytest.raises(UsageError, match="is not a folder"):
        TraceWriter(tmp_path / "full" / "thesis.tex", session="s")
    with pytest.raises(UsageError, match="is not a folder"):
        TraceWriter(tmp_path / "full" / "thesis.tex" / "below", session="s")
    with pytest.raises(UsageError, match="cannot be written"):
        TraceWriter(Path("/proc/1/nothing/here"), session="s")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["full", "thesis.tex"]


def test_discard_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for folder in (tmp_path / "a" / "b" / "c", tmp_path / "mine"):
        writer = TraceWriter(folder, session="s")
        writer.session_start(build.session_start())
        writer.discard()
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]


@pytest.mark.usefixtures("file_limit")
def test_a_full_disk_is_remembered_counted_and_survived(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path / "t", session="s")
    for number in range(7):
        writer.call_start(build.call_start(number, 1))
    assert writer.lost > 0
    assert "cut short" in writer.failed
    assert f"{writer.lost} records lost" in writer.problem()
    assert "--trace" in writer.problem()
    soft_before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, soft_before[1]))  # space again
    writer.call_end(build.call_end(6, 1))
    writer.close()
    trace = read_trace(tmp_path / "t")
    assert len(trace.calls) == 7 - writer.lost + 1
    assert trace.calls[-1].end == build.call_end(6, 1)
    assert trace.skipped == 1  # the line that was cut short


def test_writing_after_the_end_does_not_raise(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path / "t", session="s")
    writer.close()
    writer.close()
    writer.action(None, "late")
    assert writer.lost == 1
    assert "1 record lost" in writer.problem()


def test_a_trace_removed_meanwhile_is_reported(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path / "t", session="s")
    (tmp_path / "t" / RECORDS).unlink()
    writer.close()
    assert "was removed" in writer.problem()


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path / "t", session="s")

    def work(name: str) -> None:
        for _ in range(200):
            writer.action(name, "nothing", name * 300)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    trace = read_trace(tmp_path / "t")
    assert trace.skipped == 0
    assert len(trace.sessions[0].events) == 800


KILLED = """
import sys, pathlib
from tests.trace import build
from agentcgroup.trace.writer import TraceWriter
writer = TraceWriter(pathlib.Path(sys.argv[1]), session="s")
writer.session_start(build.session_start())
print("on", flush=True)
while True:
    for number in range(7):
        writer.call_start(build.call_start(number, 1))
        writer.call_end(build.call_end(number, 1))
"""


def test_kill_9_leaves_a_readable_trace_that_is_cut(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "t")], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"on\n"
        time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    trace = read_trace(tmp_path / "t")
    assert trace.cut
    assert trace.records > 10
    assert "cut after" in trace.damage_text()


def test_a_record_costs_little_and_the_import_is_light(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path / "t", session="s")
    end = build.call_end(1, 1)
    times = []
    for _ in range(2000):
        begun = time.perf_counter_ns()
        writer.call_end(end)
        times.append(time.perf_counter_ns() - begun)
    writer.close()
    assert statistics.median(times) < 100_000  # about 20 us on an idle machine; this one may be busy
    script = (
        "import sys, agentcgroup.trace.writer, agentcgroup.trace.render, agentcgroup.trace.frames, "
        "agentcgroup.trace.samples; print([m for m in ('polars', 'rich', 'click') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
