"""Every engine gives the same results, bit for bit, and says what is wrong when it cannot."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from agentcgroup.errors import AgentcgroupError, HostError, UsageError
from agentcgroup.study.engine import Inline, automatic_workers, one_thread, open_engine
from bench.fleet import write_fleet
from tests.study.build import call, sample, write_run

needs_dask = pytest.mark.skipif(
    find_spec("distributed") is None, reason="needs the extra dask: pip install distributed"
)


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recorded and published sessions, enough of both for several pieces of work; one is broken."""
    folder = tmp_path_factory.mktemp("traces")
    write_fleet(folder / "fleet", 37, 30, 500)
    for number in range(19):
        taken = [sample(n, f"{186 + (n * number) % 97}MB / 134.5GB", f"{10 + number / 7:.2f}%") for n in range(80)]
        calls = [call("c1", 5, 9 + number / 3), call("c2", 12.1, 13.7, "Read"), call("c3", 20, 41.3, command="ls")]
        write_run(folder / "old" / f"r{number:02d}", calls, taken)
    path = folder / "old/r07/resources.json.gz"
    path.write_bytes(path.read_bytes()[:-9])
    return folder


def study(traces: Path, *options: str, **environment: str) -> bytes:
    command = [sys.executable, "-m", "agentcgroup", "study", str(traces), "--set", "fleet=fleet", "--set", "old=old"]
    done = subprocess.run(
        [*command, "--json", *options], capture_output=True, env=os.environ | environment, timeout=240
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


@pytest.fixture(scope="module")
def expected(traces: Path) -> bytes:
    """What one process computes."""
    return study(traces, "--workers", "1")


def test_one_process_gives_the_same_twice_whatever_polars_was_told(traces: Path, expected: bytes) -> None:
    assert study(traces, "--workers", "1", POLARS_MAX_THREADS="4") == expected
    assert b"old/r07#1" in expected


@pytest.mark.parametrize("workers", ["2", "3"])
def test_several_processes_give_the_same(traces: Path, expected: bytes, workers: str) -> None:
    assert study(traces, "--workers", workers) == expected


@needs_dask
def test_dask_gives_the_same(traces: Path, expected: bytes) -> None:
    assert study(traces, "--engine", "dask", "--workers", "2", DASK_SCHEDULER_ADDRESS="") == expected


@needs_dask
def test_a_cluster_that_is_there_gives_the_same(traces: Path, expected: bytes) -> None:
    with cluster() as address:
        assert study(traces, "--engine", "dask", DASK_SCHEDULER_ADDRESS=address) == expected


class cluster:
    """A scheduler and two workers with two threads each, as an administrator would start them."""

    def __enter__(self) -> str:
        from distributed import LocalCluster

        open_cluster: Any = LocalCluster
        self._cluster = open_cluster(n_workers=2, threads_per_worker=2, dashboard_address=None)
        return str(self._cluster.scheduler_address)

    def __exit__(self, *_: object) -> None:
        self._cluster.close()


def _add(common: int, item: int) -> int:
    return common + item


def _refuse(_: None, item: int) -> int:
    if item == 2:
        raise UsageError("two", "give three")
    return item


def _die(_: None, item: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return item


def _threads(_: None, _item: int) -> int:
    import polars as pl

    return pl.thread_pool_size()


@pytest.fixture(scope="module", params=["inline", "processes", pytest.param("dask", marks=needs_dask)])
def engine(request: pytest.FixtureRequest) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
        name = "dask" if request.param == "dask" else "local"
        with open_engine(name, 1 if request.param == "inline" else 2) as opened:
            yield opened


def test_results_come_in_the_order_of_the_items(engine: Any) -> None:
    assert engine.map(_add, 100, list(range(25))) == list(range(100, 125))
    assert engine.map(_add, 200, [5, 5]) == [205, 205]
    assert engine.map(_add, 0, []) == []


def test_what_is_done_is_told(engine: Any) -> None:
    told: list[int] = []
    engine.map(_add, 1, list(range(7)), told.append)
    assert told == [1, 2, 3, 4, 5, 6, 7]


def test_an_error_keeps_its_fix(engine: Any) -> None:
    with pytest.raises(UsageError) as error:
        engine.map(_refuse, None, [1, 2, 3])
    assert str(error.value) == "two; give three"
    assert engine.map(_add, 1, [1]) == [2]  # and the engine goes on


def test_workers_give_polars_one_thread(engine: Any) -> None:
    if not isinstance(engine, Inline):
        assert set(engine.map(_threads, None, [1, 2, 3])) == {1}


def test_a_worker_that_dies_is_said() -> None:
    with open_engine("local", 2) as opened, pytest.raises(HostError, match="a worker of the study died"):
        opened.map(_die, None, [1, 2])


def _begin(folder: str, item: int) -> int:
    (Path(folder) / f"{item}.{os.getpid()}").touch()
    time.sleep(600)
    return item


_PARENT = """
import os, sys
from agentcgroup.study.engine import open_engine
from tests.study.test_engine import _begin

if __name__ == "__main__":
    with open_engine("local", 2) as engine:
        engine.map(_begin, sys.argv[1], [1, 2])
"""


@pytest.mark.parametrize("ended_by", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_their_parent(tmp_path: Path, ended_by: signal.Signals) -> None:
    began, left = tmp_path / "began", tmp_path / "left"
    began.mkdir()
    left.mkdir()
    (tmp_path / "parent.py").write_text(_PARENT)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "TMPDIR": str(left)}
    parent = subprocess.Popen([sys.executable, str(tmp_path / "parent.py"), str(began)], env=environment)
    wait_for(lambda: len(list(began.iterdir())) == 2)
    workers = [Path("/proc") / path.suffix[1:] for path in began.iterdir()]
    assert all(worker.exists() for worker in workers)
    parent.send_signal(ended_by)
    assert parent.wait(20) == -ended_by
    wait_for(lambda: not any(map(lives, workers)))
    assert not list(left.iterdir())  # nor do they leave what they shared


def lives(process: Path) -> bool:
    """Whether a process is there and not a zombie, which is only for its parent to remove."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(done: Callable[[], bool]) -> None:
    """At most as long as a busy machine may need to start some interpreters."""
    until = time.monotonic() + 120
    while not done():
        assert time.monotonic() < until
        time.sleep(0.02)


@needs_dask
def test_a_cluster_whose_polars_has_threads_is_refused() -> None:
    import polars as pl

    from agentcgroup.study.engine.cluster import _call

    if pl.thread_pool_size() == 1:
        pytest.skip("polars has one thread here")
    with pytest.raises(HostError, match="POLARS_MAX_THREADS=1"):
        _call(_add, 1, 1)


@needs_dask
def test_no_scheduler_and_no_workers_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentcgroup.study.engine.cluster._PATIENCE_S", 0.2)
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tcp://127.0.0.1:9")
    with pytest.raises(HostError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"), open_engine("dask", 1):
        pass
    from distributed import LocalCluster

    open_cluster: Any = LocalCluster
    with open_cluster(n_workers=0, dashboard_address=None) as empty:
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", empty.scheduler_address)
        with pytest.raises(HostError, match="has no workers"), open_engine("dask", 1):
            pass


def test_an_extra_that_is_missing_is_said_with_the_command(traces: Path) -> None:
    code = "import sys; sys.modules['distributed'] = None; from agentcgroup.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "study", str(traces / "fleet"), "--engine", "dask"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "agentcgroup: the engine dask is not installed; run: pip install 'agentcgroup[dask]'\n"


def test_unknown_engines_are_refused(traces: Path) -> None:
    command = [sys.executable, "-m", "agentcgroup", "study", str(traces / "fleet"), "--engine", "ray"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (2, "agentcgroup: no engine 'ray'; there are local, dask\n")


def test_workers_are_started_only_for_what_is_worth_them() -> None:
    assert automatic_workers(1) == 1
    assert automatic_workers(212) == 1
    assert 1 <= automatic_workers(100_000) <= 8


def test_the_environment_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLARS_MAX_THREADS", "7")
    with one_thread():
        assert os.environ["POLARS_MAX_THREADS"] == "1"
    assert os.environ["POLARS_MAX_THREADS"] == "7"
    monkeypatch.delenv("POLARS_MAX_THREADS")
    with one_thread():
        pass
    assert "POLARS_MAX_THREADS" not in os.environ


def test_errors_survive_pickle() -> None:
    error = pickle.loads(pickle.dumps(HostError("what", "fix")))
    assert isinstance(error, AgentcgroupError)
    assert (str(error), error.fix) == ("what; fix", "fix")
