"""The daemon as a process: one at a socket, its configuration read again, its end."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from pathlib import Path

import pytest

from agentcgroup.daemon.ask import ask
from agentcgroup.daemon.messages import Question
from agentcgroup.daemon.notify import notify
from agentcgroup.errors import HostError
from tests.daemon.daemons import Daemons, until
from tests.daemon.fake import FakeSession


def test_a_second_daemon_is_told_of_the_first(daemons: Daemons) -> None:
    first = daemons.start()
    second = daemons.fork()
    assert second.ended(5)
    assert f"a daemon is running already at {daemons.socket}; `agentcgroup status` shows it" in daemons.log
    assert daemons.answers(first)


def test_a_stale_socket_is_no_obstacle(daemons: Daemons) -> None:
    first = daemons.start()
    first.close()
    assert daemons.socket.exists()
    assert daemons.answers(daemons.start())


def test_something_else_in_the_place_of_the_socket(daemons: Daemons) -> None:
    daemons.socket.parent.mkdir()
    daemons.socket.mkdir()
    assert daemons.fork().ended(5)
    assert f"HostError: cannot listen at {daemons.socket}" in daemons.log
    assert "--socket PATH" in daemons.log


def test_a_socket_path_that_is_too_long(daemons: Daemons) -> None:
    assert daemons.fork(socket=daemons.folder / ("x" * 120) / "socket").ended(5)
    assert "HostError: cannot listen at" in daemons.log
    assert "Traceback" not in daemons.log


def test_a_folder_that_everybody_may_write(daemons: Daemons) -> None:
    daemons.socket.parent.mkdir()
    daemons.socket.parent.chmod(0o777)
    assert daemons.fork().ended(5)
    assert "is not a safe folder for a socket" in daemons.log


def test_no_daemon(daemons: Daemons) -> None:
    with pytest.raises(HostError, match=f"no daemon is running at {daemons.socket}; start one with: agentcgroup"):
        daemons.ask("status")
    with pytest.raises(HostError, match="start one with: agentcgroup daemon"):
        asyncio.run(FakeSession("s1").join(daemons.socket, require=True))


def test_a_daemon_that_does_not_answer(daemons: Daemons, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentcgroup.daemon.ask._WITHIN_S", 0.1)
    daemons.socket.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dumb:
        dumb.bind(str(daemons.socket))
        dumb.listen()
        with pytest.raises(HostError, match="does not answer: timed out; systemctl restart agentcgroup"):
            ask(Question("status"), daemons.socket)


def test_the_configuration_is_read_again_without_touching(daemons: Daemons) -> None:
    async def check() -> None:
        process = daemons.start("policy=tests.daemon.policies:Braking", "settings.every_s=1000.0")
        session = FakeSession("s1", calls=4)
        await session.join(daemons.socket, require=True)
        await until(lambda: len(session.braked) == 4)
        before, done = dict(session.calls), len(session.done)
        daemons.configure('log_level = "debug"', "reserve = 1024")
        process.send(signal.SIGHUP)
        await until(lambda: "the configuration was read again" in daemons.log)
        status = await daemons.asked("status")
        assert status["reserve_bytes"] == 1024
        await asyncio.sleep(0.1)
        assert session.calls == before
        assert len(session.done) == done
        assert session.joined

    asyncio.run(check())


def test_another_policy_lets_go_what_the_last_one_held(daemons: Daemons) -> None:
    async def check() -> None:
        daemons.configure('policy = "tests.daemon.policies:Braking"')
        process = daemons.start()
        session = FakeSession("s1", calls=4)
        await session.join(daemons.socket, require=True)
        await until(lambda: len(session.braked) == 4)
        daemons.configure('policy = "none"')
        process.send(signal.SIGHUP)
        await until(lambda: session.braked == [] and session.tripwire is None)
        assert (await daemons.asked("status"))["policy"] == "none"
        assert session.joined

    asyncio.run(check())


def test_a_configuration_that_is_wrong_changes_nothing(daemons: Daemons) -> None:
    async def check() -> None:
        daemons.start("reserve=7")
        session = FakeSession("s1", calls=1)
        await session.join(daemons.socket, require=True)
        daemons.configure("polcy = 7")
        with pytest.raises(HostError, match=r"the configuration stays as it was: .*config.toml:2.*polcy"):
            await daemons.asked("reload")
        assert (await daemons.asked("status"))["reserve_bytes"] == 7
        assert session.joined

    asyncio.run(check())


def test_systemd_is_told(daemons: Daemons, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    at = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(at))
        manager.settimeout(2)
        monkeypatch.setenv("NOTIFY_SOCKET", str(at))
        notify("READY=1")
        assert manager.recv(100) == b"READY=1"
    notify("STOPPING=1")  # nobody listens any more


def test_it_ends_by_sigterm_and_leaves_nothing(daemons: Daemons) -> None:
    process = daemons.start()
    begun = time.monotonic()
    process.send(signal.SIGTERM)
    assert process.ended(2)
    assert time.monotonic() - begun < 1
    assert not daemons.socket.exists()
