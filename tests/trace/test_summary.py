from __future__ import annotations

import dataclasses
import gc
import json
import random
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.errors import TraceError
from agentcgroup.model import CallEnd, CallStart, Leftovers, Outcome, Support, Usage, UsageSource
from agentcgroup.trace.reader import read_trace
from agentcgroup.trace.records import Record, SessionStart
from agentcgroup.trace.render import render_text
from agentcgroup.trace.summary import SUMMARY, Summary, SummaryBuilder, summarize, write_summary
from tests.trace import build

MIB = build.MIB


@pytest.fixture
def summary(tmp_path: Path) -> Summary:
    """The summary of the usual trace, counted while it is written."""
    builder = SummaryBuilder()
    build.write_trace(tmp_path / "t", observer=builder.add)
    return builder.build()


def call(builder: SummaryBuilder, number: int, begin_ns: int, end_ns: int, **end: object) -> None:
    start = CallStart(f"c{number:06d}", ("true",), 4, "/", begin_ns, begin_ns)
    usage = Usage(memory_peak_bytes=number * MIB, cpu_time_us=1000)
    fields: dict[str, object] = {"outcome": Outcome.OK, "usage": usage} | end
    done = CallEnd(start.call, end_ns, end_ns, 0, 0, **fields)  # type: ignore[arg-type]
    builder.add(Record(begin_ns, "", "s", start))
    builder.add(Record(end_ns, "", "s", done))


def test_counting_as_it_goes_and_afterwards_agree(tmp_path: Path) -> None:
    builder = SummaryBuilder()
    build.write_trace(tmp_path / "t", observer=builder.add)
    assert summarize(read_trace(tmp_path / "t").sessions[0]) == builder.build()


def test_numbers_of_the_usual_trace(summary: Summary) -> None:
    assert summary.calls == 7
    assert summary.outcomes == {"ok": 4, "failed": 1, "oom": 1, "timed-out": 1}
    assert summary.calls_cpu_time_us == sum(row[4] for row in build.CALLS)
    assert summary.call_memory_peak_bytes == build.GIB * 2
    assert [heavy.call for heavy in summary.heaviest] == ["c000004", "c000002", "c000007", "c000005", "c000001"]
    assert summary.agent_usage is not None
    assert summary.agent_usage.memory_peak_bytes == 310 * MIB
    assert (summary.background, summary.background_ended) == (1, {"session-ended": 1})
    assert (summary.uncaught, summary.unmanaged, summary.shells) == (1, 0, {"hook": 1})
    # sed ran while pytest did: its 9.5 ms count once
    assert summary.calls_time_s == pytest.approx(sum(row[2] - 0.5 for row in build.CALLS) / 1000)
    assert summary.calls_time_s - summary.calls_busy_s == pytest.approx(0.0095)
    assert summary.queue_time_s == pytest.approx(0.0035)


def test_a_cut_session_says_so(tmp_path: Path) -> None:
    build.write_trace(tmp_path / "t", end=False)
    path = tmp_path / "t" / "records.jsonl"
    path.write_bytes(b"".join(line for line in path.read_bytes().splitlines(True) if b'"c000002","ended' not in line))
    found = summarize(read_trace(tmp_path / "t").sessions[0])
    assert (found.status, found.usage, found.agent_usage) == (None, None, None)
    assert found.outcomes == {"ok": 4, "oom": 1, "timed-out": 1, "cut": 1}
    assert "cut: the trace does not say how it ended" in render_text(found)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=25))
def test_busy_time_is_the_union(spans: list[tuple[int, int]]) -> None:
    builder = SummaryBuilder()
    for number, (begin, length) in enumerate(spans):
        call(builder, number, begin * 10**9, (begin + length) * 10**9)
    seconds = {second for begin, length in spans for second in range(begin, begin + length)}
    assert builder.build().calls_busy_s == len(seconds)


@given(st.lists(st.integers(0, 40), max_size=30))
def test_the_heaviest_are_the_heaviest(peaks: list[int]) -> None:
    builder = SummaryBuilder()
    for number, peak in enumerate(peaks):
        call(builder, number, number, number + 1, usage=Usage(memory_peak_bytes=peak))
    found = builder.build().heaviest
    assert [heavy.memory_peak_bytes for heavy in found] == sorted(peaks, reverse=True)[:5]


def test_ties_go_to_the_call_that_ended_first_even_with_one_id_twice() -> None:
    builder = SummaryBuilder()
    for number in (3, 1, 1, 1, 2, 7, 7):
        call(builder, number, number, number + 1, usage=Usage(memory_peak_bytes=9))
    assert [heavy.call[-1] for heavy in builder.build().heaviest] == ["3", "1", "1", "1", "2"]


def test_memory_stays_flat_over_many_calls() -> None:
    builder = SummaryBuilder()
    random.seed(2)
    for number in range(1000):
        call(builder, number, number * 10, number * 10 + 5)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(1000, 11_000):
        call(builder, number, number * 10, number * 10 + 5)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert builder.build().calls == 11_000
    assert grown < 10_000 * 24


def test_text_of_the_usual_trace(summary: Summary) -> None:
    lines = render_text(dataclasses.replace(summary, duration_s=3.25), 100).splitlines()
    assert lines[0] == "session fix-tests (claude): 3.2 s, exit status 0"
    assert lines[1] == "  calls       7: 4 ok, 1 failed, 1 oom, 1 timed-out; running for 2.1 s"
    assert lines[2] == "  CPU         calls 3.6 s, agent itself 900 ms"
    assert lines[3] == "  memory      session peak 3.0 GiB of 4.0 GiB, heaviest call 2.0 GiB, agent itself 310 MiB"
    assert lines[4].startswith("  background  1 call left processes on purpose (ended: 1 session-ended), 3 forgotten")
    assert lines[5] == "  not caught  1 command in the agent's own domain"
    assert lines[-5].split(maxsplit=8)[:8] == ["c000004", "2.0", "GiB", "390", "ms", "400", "ms", "oom"]
    assert lines[-5].endswith("python -c 'x = bytearray(1 << 40)'")
    columns = {line.index(word) for line, word in zip(lines[-6:-3], ("outcome", "oom", "failed"), strict=True)}
    assert len(columns) == 1


@given(st.integers(0, 200), st.text(max_size=300), st.text(max_size=50))
def test_text_fits_and_is_safe_whatever_the_commands(width: int, command: str, name: str) -> None:
    builder = SummaryBuilder()
    builder.add(Record(0, "", name, SessionStart(name, (), "/", name, Support.GROUPING, "path")))
    builder.add_start(CallStart("c1", ("sh", "-c", command), 9, "/", 1, 2))
    usage = Usage(UsageSource.CGROUP_CPU, memory_peak_bytes=1 << 40, cpu_time_us=10**12)
    builder.add_end(CallEnd("c1", 10**15, 10**15, 1, 0, Outcome.SESSION_ENDED, usage, Leftovers(1, 2)))
    text = render_text(builder.build(), width)
    for line in text.removesuffix("\n").split("\n"):
        assert len(line) <= max(width, 72)
        assert line.isprintable()
    assert "memory sampled from /proc" in text.replace("…", "memory sampled from /proc")


def test_no_calls_is_said() -> None:
    assert "  calls       none\n" in render_text(SummaryBuilder().build())


def test_json_is_whole_or_absent(tmp_path: Path, summary: Summary) -> None:
    write_summary(tmp_path, summary)
    document = json.loads((tmp_path / SUMMARY).read_text())
    assert document == json.loads(json.dumps(summary.to_json()))
    assert document["outcomes"] == summary.outcomes
    assert document["usage"]["memory_peak_bytes"] == 3 * build.GIB
    with pytest.raises(TraceError, match=r"summary\.json cannot be written"):
        write_summary(tmp_path / "nowhere", summary)


def test_rendering_needs_no_rich() -> None:
    script = "import sys, agentcgroup.trace.render; print('rich' in sys.modules, 'polars' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout == "False False\n"
