"""The kill log: every line whole, whoever writes it, whatever happened before."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from agentcgroup.errors import TraceError, WireError
from agentcgroup.trace.kill_log import KillLog, KillRecord, read_kill_log, record_from_json, record_to_json

_RECORD = KillRecord(
    "s1", "c00001", "host-out-of-room", "it grew most", "python3", "python3 -c 'x'", 7, 8, 9, 1.5, 1000
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    log = KillLog(tmp_path / "state" / "kill-log.jsonl")
    assert log.append(_RECORD) == ""
    assert log.append(KillRecord("s2", "c1", "test", "ünd")) == ""
    found = read_kill_log(log.path)
    assert [record.session for record in found.records] == ["s1", "s2"]
    assert found.records[0].wall.endswith("+00:00")
    assert found.records[1].reason == "ünd"
    assert found.damaged == 0
    assert [record.call for record in read_kill_log(log.path, "s1").records] == ["c00001"]
    assert log.path.stat().st_mode & 0o777 == 0o600


def test_no_log_is_no_kills(tmp_path: Path) -> None:
    assert read_kill_log(tmp_path / "nothing").records == ()


def test_a_torn_line_costs_itself_only(tmp_path: Path) -> None:
    log = KillLog(tmp_path / "log")
    log.append(_RECORD)
    log.path.write_bytes(log.path.read_bytes() + log.path.read_bytes()[:40])
    log.append(_RECORD)
    found = read_kill_log(log.path)
    assert (len(found.records), found.damaged) == (2, 1)


def test_lines_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b'[]\n7\n{"session": 7}\n\xff\xfe\n' + b"[" * 100_000 + b'\n{"session": "s", "call": "c"}\n')
    found = read_kill_log(path)
    assert (len(found.records), found.damaged) == (1, 5)


def test_it_is_rotated_and_the_one_before_is_kept(tmp_path: Path) -> None:
    log = KillLog(tmp_path / "log", most_bytes=2000)
    for number in range(30):
        assert log.append(KillRecord("s1", f"c{number}", "test", "x" * 50)) == ""
    calls = [record.call for record in read_kill_log(log.path).records]
    assert calls == [f"c{number}" for number in range(30 - len(calls), 30)]
    assert len(calls) > 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1"]
    assert all(path.stat().st_size <= 2000 for path in tmp_path.iterdir())


def _append_many(path: Path, name: str) -> None:
    log = KillLog(path, most_bytes=200_000)
    for number in range(200):
        assert log.append(KillRecord(name, f"c{number}", "test", "x" * 50)) == ""


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append_many, args=(tmp_path / "log", f"s{n}")) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    found = read_kill_log(tmp_path / "log")
    assert (len(found.records), found.damaged) == (800, 0), "two files of 200 kB hold all of them"


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    said = KillLog(Path("/dev/full")).append(_RECORD)
    assert said.lower().startswith("the kill log /dev/full cannot be written: no space left on device; make room")


def test_a_place_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be written: File exists; make room or check who may write it" in KillLog(
        tmp_path / "file" / "log"
    ).append(_RECORD)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert "cannot be written" in KillLog(tmp_path / "link").append(_RECORD), "no symbolic link is followed"
    with pytest.raises(TraceError, match="cannot be read: Is a directory; check who may read it"):
        read_kill_log(tmp_path)


def test_texts_are_cut_to_what_is_kept() -> None:
    cut = record_to_json(KillRecord("s1", "c1", "test", "r" * 5000, command="c" * 5000))
    assert (len(cut["reason"]), len(cut["command"])) == (1000, 2000)
    assert record_from_json(cut).session == "s1"


@pytest.mark.parametrize(
    "field",
    [{"session": ""}, {"call": 7}, {"uid": -1}, {"uid": True}, {"memory_bytes": 1.5}, {"pressure_percent": 101}],
)
def test_records_that_are_none(field: dict[str, object]) -> None:
    with pytest.raises(WireError):
        record_from_json({**record_to_json(_RECORD), **field})
