"""Sessions hosted in the process of a program: together, apart, cancelled, and one that kills of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import pytest

from agentcgroup.errors import UsageError
from agentcgroup.hosting import host
from agentcgroup.kernel.hierarchy import unified_mounts
from agentcgroup.model import Outcome
from agentcgroup.trace.reader import read_trace
from agentcgroup.trace.views import Session
from tests.run.running import agent, processes_with


def quiet(line: str) -> None:
    """What this host lacks is no matter here."""


def recorded(trace: Path) -> Session:
    (session,) = read_trace(trace).sessions
    return session


def cgroups_left(name: str) -> list[Path]:
    return [path for mount in unified_mounts() for path in mount.point.glob(f"**/agentcgroup/{name}")]


def test_sessions_run_side_by_side_and_each_has_its_own_trace_and_streams(tmp_path: Path) -> None:
    async def scene() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(4):
                folder = tmp_path / str(number)
                folder.mkdir()
                output = os.open(folder / "output", os.O_WRONLY | os.O_CREAT)
                line = agent(folder, f'sh("echo of-{number}; exit {number}")')
                group.create_task(
                    host(line, name=f"side{number}", trace=folder / "trace", stdio=(None, output, None), say=quiet)
                )

    asyncio.run(scene())
    for number in range(4):
        session = recorded(tmp_path / str(number) / "trace")
        assert json.loads((tmp_path / str(number) / "output").read_text())[1:3] == [number, f"of-{number}\n"]
        assert [call.command for call in session.calls] == [f"echo of-{number}; exit {number}"]
        assert session.end is not None
        assert session.end.status == 0
        assert cgroups_left(f"side{number}") == []


def test_the_result_and_the_summary_are_those_of_the_session(tmp_path: Path) -> None:
    async def scene() -> None:
        line = agent(tmp_path, 'sh("true"); sh("false"); sys.exit(3)')
        hosted = await host(line, name="result", trace=tmp_path / "trace", say=quiet)
        assert (hosted.result.status, hosted.problems) == (3, ())
        assert hosted.summary.calls == 2

    asyncio.run(scene())


def test_cancelling_ends_the_agent_and_its_calls_and_the_trace_says_so(tmp_path: Path) -> None:
    async def scene() -> None:
        folder = tmp_path / "other"
        folder.mkdir()
        mark = "3141.59"
        task = asyncio.create_task(
            host(agent(tmp_path, f'sh("sleep {mark}; :")'), name="cancelled", trace=tmp_path / "trace", say=quiet)
        )
        other = asyncio.create_task(
            host(agent(folder, 'sh("sleep 1; :")'), name="unharmed", trace=folder / "trace", say=quiet)
        )
        until = time.monotonic() + 30
        while not processes_with(mark) and time.monotonic() < until:
            await asyncio.sleep(0.05)
        assert processes_with(mark)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not processes_with(mark)
        assert (await other).result.status == 0

    asyncio.run(scene())
    session = recorded(tmp_path / "trace")
    assert session.end is not None
    assert session.end.signal == signal.SIGKILL
    assert [call.outcome for call in session.calls] == [Outcome.SESSION_ENDED]
    assert [call.outcome for call in recorded(tmp_path / "other" / "trace").calls] == [Outcome.OK]
    assert cgroups_left("cancelled") == []


def test_signals_of_the_process_stay_its_own(tmp_path: Path) -> None:
    async def scene() -> None:
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)}
        task = asyncio.create_task(
            host(agent(tmp_path, 'sh("sleep 0.5; :")'), name="signals", trace=tmp_path / "trace", say=quiet)
        )
        await asyncio.sleep(0.3)
        assert {number: signal.getsignal(number) for number in before} == before
        await task

    asyncio.run(scene())


@pytest.mark.parametrize("wrong", [{"name": "a/b"}, {"memory": "lots"}, {"policy": "nobody"}, {"sample_hz": -1.0}])
def test_wrong_arguments_are_refused_before_anything_starts(tmp_path: Path, wrong: dict[str, object]) -> None:
    async def scene() -> None:
        await host(["touch", str(tmp_path / "ran")], trace=tmp_path / "trace", say=quiet, **wrong)  # type: ignore[arg-type]

    with pytest.raises(UsageError):
        asyncio.run(scene())
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "trace").exists()


def test_a_command_that_cannot_be_executed_leaves_nothing_in_the_loop(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF, but not really")
    broken.chmod(0o755)

    async def scene() -> float:
        with pytest.raises(UsageError):
            await host([str(broken)], name="broken", trace=tmp_path / "trace", say=quiet)
        before = time.process_time()
        await asyncio.sleep(0.5)
        return time.process_time() - before

    assert asyncio.run(scene()) < 0.25  # a descriptor that stays readable would keep the loop busy all the time
