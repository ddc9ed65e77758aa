"""Samples of recorded sessions stay in their files, and give what they would give in memory."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from agentcgroup.errors import TraceError
from agentcgroup.study import schema
from agentcgroup.study.load import Study, load
from agentcgroup.study.load.stream import SampleFile, Samples
from agentcgroup.trace.frames import PARQUET
from agentcgroup.trace.reader import read_trace
from bench.fleet import write_fleet
from tests.study.build import write_run
from tests.trace import build

SESSIONS, CALLS, ROWS = 5, 12, 400


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("traces") / "fleet"
    write_fleet(folder, SESSIONS, CALLS, ROWS)
    return folder


@pytest.fixture(scope="module")
def study(fleet: Path) -> Study:
    return load([fleet])


def plain_samples(fleet: Path) -> pl.DataFrame:
    """The frame of samples, value by value."""
    rows: list[dict[str, object]] = []
    for number, folder in enumerate(sorted(fleet.iterdir())):
        with (folder / "records.jsonl").open() as file:
            zero = min(json.loads(line)["mono_ns"] for line in file)
        before: dict[str, tuple[float, float]] = {}
        for row in pl.read_parquet(folder / PARQUET).iter_rows(named=True):
            domain, at, used = row["domain"], (row["t_ns"] - zero) / 1e9, row["cpu_time_us"] / 1e6
            then, had = before.get(domain, (at, used))
            # Differences of instants are taken in whole nanoseconds.
            step = round((at - then) * 1e9) / 1e9
            rows.append(
                {
                    "session": number,
                    "t_s": at,
                    "domain": domain,
                    "memory_bytes": row["memory_bytes"],
                    "cpu_time_s": used,
                    "cpu_cores": (used - had) / step if step > 0 else None,
                    "cpu_error_cores": 0.0 if step > 0 else None,
                    "pids": row["pids"],
                    "memory_some_s": row["memory_some_us"] / 1e6,
                    "memory_full_s": row["memory_full_us"] / 1e6,
                    "cpu_some_s": row["cpu_some_us"] / 1e6,
                }
            )
            before[domain] = (at, used)
    return pl.DataFrame(rows, schema={**schema.dtypes(schema.SAMPLES)})


def test_a_fleet_is_what_was_asked_for_and_sound(fleet: Path, study: Study) -> None:
    assert study.sessions.height == SESSIONS
    assert study.calls.height == SESSIONS * CALLS
    assert study.sessions["selected"].all()
    assert not study.oddities.found
    assert study.samples.select(pl.len()).collect().item() == SESSIONS * ROWS
    trace = read_trace(fleet / "task-00000")
    assert (trace.damage_text(), trace.cut) == ("", False)
    assert study.calls["kind"].n_unique() > 3


def test_the_same_seed_gives_the_same_fleet(fleet: Path, tmp_path: Path) -> None:
    write_fleet(tmp_path / "again", SESSIONS, CALLS, ROWS, workers=2)
    write_fleet(tmp_path / "other", 1, CALLS, ROWS, seed=2)
    for path in sorted(fleet.rglob("*.*")):
        assert (tmp_path / "again" / path.relative_to(fleet)).read_bytes() == path.read_bytes()
    name = "task-00000/records.jsonl"
    assert (tmp_path / "other" / name).read_bytes() != (fleet / name).read_bytes()


def test_samples_are_those_of_the_files(fleet: Path, study: Study) -> None:
    assert study.sources is not None
    assert all(isinstance(part, SampleFile) for part in study.sources.parts)
    found = study.samples.collect()
    assert dict(found.schema) == schema.dtypes(schema.SAMPLES)
    assert_frame_equal(found, plain_samples(fleet))


QUERIES: dict[str, Callable[[pl.LazyFrame], pl.LazyFrame]] = {
    "one column": lambda f: f.select("pids"),
    "a column that is always null": lambda f: f.select("cpu_average_cores"),
    "the session alone": lambda f: f.select("session").unique().sort("session"),
    "rows of a domain": lambda f: f.filter(pl.col("domain") == "session").select("session", "t_s", "cpu_cores"),
    "domain and load": lambda f: f.filter((pl.col("domain") != "agent") & (pl.col("cpu_cores") > 0.5)),
    "rows of a session": lambda f: f.filter(pl.col("session") == 3).select("memory_bytes"),
    "first rows": lambda f: f.head(ROWS + 7),
    "first rows, then a filter": lambda f: f.head(ROWS + 7).filter(pl.col("domain") == "agent"),
    "a filter, then first rows": lambda f: f.filter(pl.col("domain") == "agent").head(ROWS + 7),
    "last rows": lambda f: f.tail(5),
    "peaks": lambda f: f.group_by("session", "domain", maintain_order=True).agg(pl.col("memory_bytes").max()),
    "count": lambda f: f.select(pl.len()),
    "twice": lambda f: f.join(
        f.group_by("session").agg(most=pl.col("pids").max()), on="session", maintain_order="left"
    ),
}


@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.parametrize("engine", ["streaming", "in-memory"])
def test_a_query_gives_what_it_gives_in_memory(study: Study, name: str, engine: str) -> None:
    in_memory = study.samples.collect()
    expected = QUERIES[name](in_memory.lazy()).collect()
    assert_frame_equal(QUERIES[name](study.samples).collect(engine=engine), expected)  # type: ignore[call-overload]


@pytest.mark.parametrize("most", [1 << 20, 900, 0])
def test_what_was_kept_of_a_domain_is_what_the_files_say(
    fleet: Path, study: Study, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentcgroup.study.load.stream._KEPT_BYTES", most)
    fresh, in_memory = load([fleet]), study.samples.collect()
    for columns in (["t_s"], ["t_s", "cpu_cores"], ["session", "domain", "pids"], ["cpu_cores"], ["memory_some_s"]):
        for domain in ("session", "agent", "session"):
            condition = pl.col("domain") == domain
            for one in (fresh, fresh.only(pl.col("session") > 1)):
                expected = in_memory.filter(condition).join(one.sessions, on="session", how="semi").select(columns)
                assert_frame_equal(one.samples.filter(condition).select(columns).collect(), expected)


def test_a_part_of_a_study_reads_only_its_own_files(study: Study) -> None:
    part = study.only(pl.col("session").is_in([1, 4]))
    assert part.sources is not None
    assert [one.session for one in part.sources.parts if isinstance(one, SampleFile)] == [1, 4]
    expected = study.samples.filter(pl.col("session").is_in([1, 4])).collect()
    assert_frame_equal(part.samples.collect(), expected)
    nothing = study.only(pl.col("session") > SESSIONS)
    assert nothing.samples.collect().height == 0
    assert dict(nothing.samples.collect_schema()) == schema.dtypes(schema.SAMPLES)


def test_a_study_can_be_sent(study: Study) -> None:
    there = pickle.loads(pickle.dumps(study))
    for name in ("sessions", "calls", "messages"):
        assert_frame_equal(getattr(there, name), getattr(study, name))
    assert_frame_equal(there.samples.collect(), study.samples.collect())
    changed = Study(study.sessions, study.calls, study.samples.head(3), study.messages, study.oddities)
    assert pickle.loads(pickle.dumps(changed)).samples.collect().height == 3


def test_files_and_frames_in_one_study_keep_their_order(fleet: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "all/a")
    write_run(tmp_path / "all/c")
    (tmp_path / "all/b").symlink_to(fleet / "task-00001")
    from agentcgroup.study.find import Run
    from agentcgroup.study.load import load_runs
    from agentcgroup.study.oddities import Oddities

    runs = [Run(tmp_path / "all" / name, name == "b", "all", name) for name in "abc"]
    mixed = load_runs(runs, Oddities())
    assert mixed.samples.collect()["session"].rle().struct.field("value").to_list() == [0, 1, 2]
    last = mixed.only(pl.col("task") == "c").samples.collect()
    assert last["session"].unique().to_list() == [2]
    assert_frame_equal(last, mixed.samples.filter(pl.col("session") == 2).collect())


def test_a_file_that_changes_meanwhile_is_named(tmp_path: Path) -> None:
    write_fleet(tmp_path / "set", 1, 2, 50)
    study = load([tmp_path / "set"])
    path = tmp_path / "set/task-00000" / PARQUET
    pl.read_parquet(path).head(49).write_parquet(path)
    assert isinstance(study.sources, Samples)
    (file,) = study.sources.parts
    assert isinstance(file, SampleFile)
    with pytest.raises(TraceError, match="has changed"):
        file.read(["t_s"])
    path.write_bytes(b"x")
    with pytest.raises(TraceError, match="can no longer be read"):
        file.read(["t_s"])
    with pytest.raises(Exception, match="can no longer be read"):
        study.samples.collect()


def test_samples_that_are_only_in_a_spool(tmp_path: Path) -> None:
    build.write_trace(tmp_path / "set/crashed", end=False)
    assert (tmp_path / "set/crashed/samples.spool").exists()
    study = load([tmp_path / "set"])
    samples = study.samples.filter(pl.col("domain") == "session").collect()
    assert samples["memory_bytes"].to_list() == [(100 + tick) * build.MIB for tick in range(30)]
    assert samples["cpu_cores"].to_list() == pytest.approx([None, *[0.5] * 29])
    assert study.sessions["sample_count"].to_list() == [30]


def test_a_broken_file_of_samples_costs_the_samples_and_is_counted(tmp_path: Path) -> None:
    write_fleet(tmp_path / "set", 2, 2, 50)
    path = tmp_path / "set/task-00001" / PARQUET
    data = bytearray(path.read_bytes())
    middle = slice(len(data) // 3, len(data) // 2)
    data[middle] = b"\xff" * len(data[middle])  # of columns that nobody may ask for
    path.write_bytes(data)
    study = load([tmp_path / "set"])
    assert study.oddities.count("trace damaged") == 1
    assert study.oddities.runs("no samples") == ("set/task-00001#1",)
    assert study.sessions["sample_count"].to_list()[1] == 0
    assert study.samples.collect()["session"].unique().to_list() == [0]


def test_samples_out_of_order_are_sorted_and_counted(tmp_path: Path) -> None:
    write_fleet(tmp_path / "set", 1, 2, 50)
    expected = load([tmp_path / "set"]).samples.filter(pl.col("domain") == "agent").collect()
    path = tmp_path / "set/task-00000" / PARQUET
    pl.read_parquet(path).reverse().write_parquet(path)
    study = load([tmp_path / "set"])
    assert study.oddities.count("samples out of order") > 0
    assert_frame_equal(study.samples.filter(pl.col("domain") == "agent").collect(), expected)


def test_several_sessions_in_one_trace_keep_their_calls_but_no_samples(tmp_path: Path) -> None:
    for name in ("one", "two"):
        build.write_trace(tmp_path / "apart" / name, session=name)
    together = tmp_path / "set/both"
    together.mkdir(parents=True)
    records = b"".join((tmp_path / "apart" / name / "records.jsonl").read_bytes() for name in ("one", "two"))
    (together / "records.jsonl").write_bytes(records)
    (together / "samples.spool").write_bytes((tmp_path / "apart/two/samples.spool").read_bytes())
    study = load([tmp_path / "set"])
    assert study.calls.group_by("session", maintain_order=True).len()["len"].to_list() == [7, 7]
    assert study.samples.collect().height == 0
    assert study.sessions["sample_count"].to_list() == [0, 0]
    assert study.oddities.count("samples of several sessions") == 34
    assert study.oddities.example("samples of several sessions") == "set/both#1: 2 sessions"
