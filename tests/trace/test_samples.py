from __future__ import annotations

import resource
import time
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.errors import TraceError
from agentcgroup.trace.frames import COUNTERS, PARQUET, finish_samples, read_samples
from agentcgroup.trace.samples import MAGIC, NAME_BYTES, ROW_BYTES, SPOOL, Sample, SampleSpool
from tests.trace import build

COUNT = st.none() | st.integers(0, (1 << 63) - 1)
NAMES = st.sampled_from(["session", "agent", "c000001", "u000002", "c" * NAME_BYTES])
SAMPLES = st.lists(st.builds(Sample, st.integers(0, 1 << 62), NAMES, *[COUNT] * len(COUNTERS)), max_size=8)


def spool(folder: Path, ticks: list[list[Sample]]) -> None:
    writer = SampleSpool(folder)
    for tick in ticks:
        writer.append(tick)
    writer.close()
    assert (writer.failed, writer.lost) == ("", 0)


@given(st.lists(SAMPLES, max_size=4), st.booleans())
def test_samples_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, ticks: list[list[Sample]], finish: bool
) -> None:
    folder = tmp_path_factory.mktemp("trace")
    spool(folder, ticks)
    expected = sorted((sample for tick in ticks for sample in tick), key=lambda sample: sample.t_ns)
    if finish:
        assert finish_samples(folder) == len(expected)
    frame, damage = read_samples(folder)
    assert damage == ()
    assert [Sample(*row) for row in frame.iter_rows()] == expected
    assert (folder / SPOOL).exists() == (bool(expected) and not finish)


def test_no_samples_no_files(tmp_path: Path) -> None:
    spool(tmp_path, [[], []])
    assert finish_samples(tmp_path) == 0
    assert list(tmp_path.iterdir()) == []
    frame, _ = read_samples(tmp_path)
    assert frame.height == 0
    assert frame.columns == list(Sample._fields)


def test_a_spool_cut_at_any_byte_gives_its_whole_rows(tmp_path: Path) -> None:
    build.write_samples(tmp_path, time.monotonic_ns())
    whole = (tmp_path / SPOOL).read_bytes()
    frame, _ = read_samples(tmp_path)
    heights = []
    for size in [*range(0, 5 * ROW_BYTES), len(whole) - 1]:
        (tmp_path / SPOOL).write_bytes(whole[:size])
        part, damage = read_samples(tmp_path)
        assert part.equals(frame.head(part.height))
        assert bool(damage) == (size % ROW_BYTES != 0)
        heights.append(part.height)
    assert heights == sorted(heights)
    assert heights[-1] == frame.height - 1


@given(st.data())
def test_a_flipped_byte_costs_one_row_or_one_name(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("trace")
    build.write_samples(folder, 1)
    frame, _ = read_samples(folder)
    raw = bytearray((folder / SPOOL).read_bytes())
    position = data.draw(st.integers(0, len(raw) - 1))
    raw[position] ^= data.draw(st.integers(1, 255))
    (folder / SPOOL).write_bytes(raw)
    part, damage = read_samples(folder)
    assert damage[0].offset // ROW_BYTES == position // ROW_BYTES
    missing = frame.height - part.height
    is_name = position // ROW_BYTES in (1, 19)  # of the session, of c000004
    assert missing >= 1 if is_name else missing == (position >= len(MAGIC))
    assert frame.join(part, on=["t_ns", "domain"], how="semi").equals(part)


def test_a_full_disk_keeps_the_rows_aligned(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = SampleSpool(tmp_path)
    sample = Sample(1, "session", 5)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 * ROW_BYTES + 10, before[1]))
    writer.append([sample, sample])
    writer.append([Sample(2, "c1"), sample])  # cut short, taken back
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "cut short" in writer.failed
    assert writer.lost == 2
    writer.append([Sample(3, "c1")])
    writer.close()
    frame, damage = read_samples(tmp_path)
    assert damage == ()
    assert frame.select("t_ns", "domain").rows() == [(1, "session"), (1, "session"), (3, "c1")]
    writer.append([sample])
    assert writer.lost == 3


def test_a_damaged_parquet_file_is_named_and_the_spool_taken(tmp_path: Path) -> None:
    build.write_samples(tmp_path, 1)
    frame, _ = read_samples(tmp_path)
    (tmp_path / PARQUET).write_bytes(b"PAR1 not really PAR1")
    part, damage = read_samples(tmp_path)
    assert part.equals(frame)
    assert [place.file for place in damage] == [PARQUET]
    (tmp_path / SPOOL).unlink()
    pl.DataFrame({"t_ns": ["x"], "domain": [3]}).write_parquet(tmp_path / PARQUET)
    part, damage = read_samples(tmp_path)
    assert part.height == 0
    assert damage


def test_what_cannot_be_finished_stays_readable(tmp_path: Path) -> None:
    build.write_samples(tmp_path, 1)
    (tmp_path / PARQUET).mkdir()  # in the way
    with pytest.raises(TraceError, match="holds the samples"):
        finish_samples(tmp_path)
    frame, _ = read_samples(tmp_path)
    assert frame.height == 34
    assert sorted(path.name for path in tmp_path.iterdir()) == [PARQUET, SPOOL]


def test_an_hour_of_samples_is_finished_in_seconds(tmp_path: Path) -> None:
    rows = [[Sample(t, name, t, t, 1, 0, 0, 0) for name in ("session", "agent", "c000001")] for t in range(36_000)]
    spool(tmp_path, rows)
    begun = time.perf_counter()
    assert finish_samples(tmp_path) == 108_000
    assert time.perf_counter() - begun < 5
    assert (tmp_path / PARQUET).stat().st_size < 3_000_000
