from __future__ import annotations

import gzip
import io
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.errors import TraceError
from agentcgroup.model import Outcome
from agentcgroup.trace import reader
from agentcgroup.trace.reader import join, read_trace, read_traces, scan
from agentcgroup.trace.records import Record
from agentcgroup.trace.views import Damage, Trace
from agentcgroup.trace.writer import RECORDS
from tests.trace import build


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The records of a sound trace."""
    folder = tmp_path_factory.mktemp("whole") / "t"
    build.write_trace(folder, samples=False)
    return (folder / RECORDS).read_bytes()


def records(data: bytes, name: str = RECORDS) -> tuple[list[Record], list[Damage]]:
    found = list(scan(io.BytesIO(data), name))
    return [r for r in found if isinstance(r, Record)], [d for d in found if isinstance(d, Damage)]


def trace_of(data: bytes) -> Trace:
    return join(Path("t"), scan(io.BytesIO(data)))


def test_a_sound_trace_is_read_whole(tmp_path: Path) -> None:
    build.write_trace(tmp_path / "t")
    trace = read_trace(tmp_path / "t")
    assert not trace.cut
    assert trace.damage_text() == ""
    (session,) = trace.sessions
    assert session.start == build.session_start()
    assert session.end is not None
    assert session.end.calls == 7
    assert [call.command for call in trace.calls] == [script for script, *_ in build.CALLS]
    assert [call.outcome for call in trace.calls] == [outcome for *_, outcome in build.CALLS]
    assert [event.kind for event in session.events] == ["shell", "signal", "action", "uncaught"]
    kept = session.call("c000005")
    assert kept is not None
    assert kept.background is not None
    assert kept.background.reason == "session-ended"
    assert kept.duration_s == pytest.approx(0.0295)


def test_calls_are_in_the_order_of_their_requests(whole: bytes) -> None:
    lines = whole.splitlines(keepends=True)
    random.Random(7).shuffle(lines)
    shuffled, straight = trace_of(b"".join(lines)), trace_of(whole)
    assert shuffled == straight


def test_a_trace_cut_at_any_byte_gives_a_prefix(whole: bytes) -> None:
    sound, _ = records(whole)
    boundaries = {0}
    for line in whole.splitlines(keepends=True):
        boundaries |= {max(boundaries) + len(line) - 1, max(boundaries) + len(line)}
    for size in range(len(whole)):
        found, damage = records(whole[:size])
        assert found == sound[: len(found)]
        assert len(found) == sum(1 for edge in boundaries if edge and edge <= size and whole[edge - 1 : edge] == b"}")
        assert bool(damage) == (size not in boundaries)
        if damage:
            assert damage == [Damage(RECORDS, len(found) + 1, max(b for b in boundaries if b < size), damage[0].reason)]
            assert damage[0].reason == "an incomplete last line"
    cut = trace_of(whole[:-1000])
    assert cut.cut
    assert "the session does not end in it" in cut.damage_text()


def test_calls_without_an_end_are_cut(whole: bytes) -> None:
    lines = whole.splitlines(keepends=True)
    trace = trace_of(b"".join(lines[:3]))
    assert [call.outcome for call in trace.calls] == [Outcome.CUT]
    assert trace.calls[0].duration_s is None


@given(st.data())
def test_flipped_bytes_harm_their_own_lines_only(whole: bytes, data: st.DataObject) -> None:
    raw = bytearray(whole)
    for position in data.draw(st.sets(st.integers(0, len(raw) - 1), min_size=1, max_size=5)):
        raw[position] ^= data.draw(st.integers(1, 255))
    flipped = bytes(raw)
    found, damage = records(flipped)
    same = set(whole.splitlines()) & set(flipped.splitlines())
    sound = [record for record, line in zip(*(records(whole)[0], whole.splitlines()), strict=True) if line in same]
    assert [record for record in found if record in sound] == sound
    for place in damage:
        assert 0 <= place.offset < len(flipped)
    trace = trace_of(flipped)
    assert trace.skipped == len(damage)
    assert (trace.damage_text() == "") == (not damage and not trace.cut and not trace.unknown)


@given(st.binary(max_size=400), st.sampled_from([RECORDS, RECORDS + ".gz"]))
def test_garbage_raises_nothing(data: bytes, name: str) -> None:
    found, damage = records(data, name)
    assert found == []
    if data.strip(b"\n"):
        assert damage


def test_garbage_in_the_middle_is_skipped_and_located(whole: bytes) -> None:
    lines = whole.splitlines(keepends=True)
    trace = trace_of(b"".join([*lines[:4], b"\0" * 300 + b"\n", b"{}\n", *lines[4:]]))
    assert trace.sessions == trace_of(whole).sessions
    at = sum(map(len, lines[:4]))
    assert [(place.line, place.offset) for place in trace.damage] == [(5, at), (6, at + 301)]
    assert trace.damage_text() == f"skipped {RECORDS} line 5, byte {at}: not JSON and 1 more"


def test_a_lost_start_leaves_the_end(whole: bytes) -> None:
    lines = whole.splitlines(keepends=True)
    starts = [number for number, line in enumerate(lines) if b'"call_start"' in line]
    trace = trace_of(b"".join(line for number, line in enumerate(lines) if number != starts[1]))
    call = trace.sessions[0].call("c000002")
    assert call is not None
    assert (call.start, call.outcome, call.command) == (None, Outcome.FAILED, "")
    assert len(trace.calls) == 7


def test_a_compressed_trace_is_the_same_and_survives_a_cut(tmp_path: Path, whole: bytes) -> None:
    (tmp_path / (RECORDS + ".gz")).write_bytes(gzip.compress(whole[:2000]) + gzip.compress(whole[2000:]))
    assert read_trace(tmp_path).sessions == trace_of(whole).sessions
    packed = gzip.compress(whole)
    sound, _ = records(whole)
    most = 0
    for size in range(0, len(packed), 7):
        found, damage = records(packed[:size], RECORDS + ".gz")
        assert found == sound[: len(found)]
        assert damage[-1].reason == "the gzip data ends early"
        most = max(most, len(found))
    assert most == len(sound)


@given(st.data())
def test_flipped_bytes_in_a_compressed_trace(whole: bytes, data: st.DataObject) -> None:
    raw = bytearray(gzip.compress(whole, mtime=0))
    position = data.draw(st.integers(0, len(raw) - 1))
    raw[position] ^= 1 << data.draw(st.integers(0, 7))
    found, damage = records(bytes(raw), RECORDS + ".gz")
    if position >= 10:  # after the header, everything is under its CRC
        assert damage
    sound, _ = records(whole)
    if position > len(raw) - 8:
        assert found == sound


def test_damage_inside_gzip_keeps_what_came_before(whole: bytes) -> None:
    block = random.Random(3).randbytes(3_000).hex().encode()
    filler = b"".join(
        b'{"v":1,"kind":"noise","mono_ns":1,"wall":"w","session":"s","x":"%s"}\n' % block for _ in range(500)
    )
    raw = bytearray(gzip.compress(whole + filler, compresslevel=1))
    raw[-20] ^= 0xFF
    found, damage = records(bytes(raw), RECORDS + ".gz")
    assert found[: len(records(whole)[0])] == records(whole)[0]
    assert len(found) >= len(records(whole)[0]) + 490
    assert damage


def test_a_line_without_end_is_skipped(whole: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_LONGEST_LINE", 4096)
    monkeypatch.setattr(reader, "_CHUNK", 512)
    lines = whole.splitlines(keepends=True)
    data = b"".join([*lines[:2], b"x" * 20_000 + b"\n", *lines[2:]])
    found, damage = records(data)
    assert found == records(whole)[0]
    assert [(place.line, place.offset) for place in damage] == [(3, len(lines[0] + lines[1]))]
    found, damage = records(lines[0] + b"y" * 20_000)
    assert len(found) == len(damage) == 1


def test_newer_records_are_counted_not_fatal(whole: bytes) -> None:
    later = b'{"v":1,"kind":"checkpoint","mono_ns":5,"wall":"w","session":"s1","x":1}\n'
    trace = trace_of(whole + later + later + later.replace(b'"v":1', b'"v":2'))
    assert trace.unknown == {"kind checkpoint": 2}
    assert trace.damage[0].reason.startswith("schema version 2")
    assert "newer version, not understood: kind checkpoint" in trace.damage_text()
    assert [event.kind for event in trace.sessions[0].events].count("checkpoint") == 2


def test_folders_without_a_trace_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path, reason in (("nowhere", "does not exist"), ("file", "is not a folder"), (".", "holds no trace")):
        for read in (read_trace, read_traces):
            with pytest.raises(TraceError, match=f"{reason}; give the folder"):
                read(tmp_path / path)


def test_an_empty_trace_is_cut(tmp_path: Path) -> None:
    (tmp_path / RECORDS).touch()
    trace = read_trace(tmp_path)
    assert trace.cut
    assert trace.damage_text() == "cut after 0 records: the session does not end in it"


def test_a_folder_of_traces_is_read_by_name(tmp_path: Path) -> None:
    for name in ("b", "a"):
        build.write_trace(tmp_path / name, session=name, samples=False)
    (tmp_path / "notes").mkdir()
    assert [trace.folder.name for trace in read_traces(tmp_path)] == ["a", "b"]
    assert [trace.folder.name for trace in read_traces(tmp_path / "a")] == ["a"]
