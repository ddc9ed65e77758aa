"""`agentcgroup run` under a real daemon in a real kernel: frozen by its word, and free as soon as it is gone."""

from __future__ import annotations

import asyncio
import signal
from functools import cache
from pathlib import Path

import pytest

from agentcgroup.kernel.delegation import plan_root
from tests.daemon.daemons import Daemons, until
from tests.run.running import agent, sessions_left, start

pytestmark = pytest.mark.kernel

_WITHIN_S = 60.0  # the lab is emulated
_BACK_S = 5.0  # what the death of the daemon leaves frozen or braked is free again by then
_SWITCH = ("policy=tests.daemon.policies:Braking", "settings.every_s=0.1")


_plan = cache(plan_root)  # it takes a while, and we ask again and again


def _calls(name: str) -> list[Path]:
    folder = _plan().cgroup / "agentcgroup" / name / "calls"
    return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def _frozen(name: str) -> int:
    return sum((call / "cgroup.freeze").read_text() == "1\n" for call in _calls(name))


def _braked(name: str) -> int:
    return sum((call / "memory.high").read_text() != "max\n" for call in _calls(name))


def test_a_daemon_killed_with_calls_frozen(daemons: Daemons, tmp_path: Path) -> None:
    enough = tmp_path / "enough"  # until then the calls go on
    source = f"""
    import threading
    commands = [f"until [ -e {enough} ]; do sleep 0.2; done; echo {{n}}" for n in range(3)]
    threads = [threading.Thread(target=sh, args=(command,)) for command in commands]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    """

    async def check() -> None:
        process = daemons.start(*_SWITCH)
        options = ("--quiet", "--name", "live", "--daemon", "require", "--daemon-socket", str(daemons.socket))
        run = start(tmp_path, agent(tmp_path, source), *options)
        try:
            for _ in range(3):
                await until(lambda: _frozen("live") > 0 and _braked("live") > 0, _WITHIN_S)
                process.send(signal.SIGKILL)
                await process.end()
                await until(lambda: _frozen("live") == 0, _BACK_S)
                await until(lambda: _braked("live") == 0, _BACK_S)
                process = daemons.fork(*_SWITCH)
            await until(lambda: _frozen("live") > 0, _WITHIN_S)
            process.send(signal.SIGTERM)
            enough.touch()
            stdout, stderr = await asyncio.to_thread(run.communicate, timeout=120)
        finally:
            if run.poll() is None:
                run.kill()
                print(*run.communicate(), daemons.log)
        assert run.returncode == 0
        assert sum(line.startswith("[") for line in stdout.splitlines()) == 3
        assert stderr.count("the daemon is gone; this session decides for itself until a daemon is back") == 1
        assert stderr.count("the daemon decides for this session again") == 1

    asyncio.run(check())
    assert sessions_left() == []
