"""The daemon dies at any point: nothing stays held, sessions decide for themselves, and find the next daemon."""

from __future__ import annotations

import asyncio
import random
import signal

import pytest

from tests.daemon.daemons import Daemons, Process, until
from tests.daemon.fake import FakeSession

_BRAKING = "policy=tests.daemon.policies:Braking"
_RETRY_OFTEN = 0.02
_OF_EACH_SESSION = (
    "agentcgroup.daemon.peer:Peer.connection_made",
    "agentcgroup.daemon.server:Server.hello",
    "agentcgroup.daemon.arbiter:Arbiter.join",
)
_AGAIN_AND_AGAIN = (
    "agentcgroup.daemon.seat:Seat.report",
    "agentcgroup.daemon.arbiter:Arbiter._decide",
    "agentcgroup.daemon.seat:Seat.act",
    "agentcgroup.daemon.undo:Undo.note",
    "agentcgroup.daemon.peer:Peer.send",
    "agentcgroup.daemon.looks:Looks.ask",
    "agentcgroup.daemon.looks:Looks.heard",
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members look for a daemon often."""
    monkeypatch.setattr("agentcgroup.daemon.member._RETRY_LEAST_S", _RETRY_OFTEN)
    monkeypatch.setattr("agentcgroup.daemon.member._RETRY_MOST_S", _RETRY_OFTEN)


async def _sessions(daemons: Daemons) -> list[FakeSession]:
    sessions = [FakeSession(f"s{number}", calls=4) for number in range(3)]
    for session in sessions:
        await session.join(daemons.socket)
    return sessions


async def _busy(sessions: list[FakeSession], chance: random.Random) -> None:
    """Calls come and go."""
    while True:
        session = chance.choice(sessions)
        chance.choice((session.begin, session.ask))()
        if len(session.calls) > 5:
            session.finish(next(iter(session.calls)))
        await asyncio.sleep(0.004)


async def _die(daemons: Daemons, sessions: list[FakeSession], process: Process) -> None:
    """After its death nothing is held, and all requests have been answered."""
    await process.end(10)
    await until(lambda: not any(session.joined for session in sessions), 2.0)
    for session in sessions:
        assert session.braked == []
        assert session.tripwire is None
        assert not session.requests
        assert not session.held


async def _live(daemons: Daemons, sessions: list[FakeSession]) -> None:
    """A daemon without a fault finds all of them again."""
    daemons.start(_BRAKING)
    await until(lambda: all(session.joined and session.braked for session in sessions))
    status = await daemons.asked("status")
    assert status["sessions"] == len(sessions)
    await until(lambda: sum(len(session.braked) for session in sessions) > 0)


def _deaths() -> list[dict[str, object]]:
    turns = {**dict.fromkeys(_OF_EACH_SESSION, (1, 2, 3)), **dict.fromkeys(_AGAIN_AND_AGAIN, (1, 2, 3, 5, 8, 13))}
    return [
        {"at": place, "nth": nth, "after": after}
        for place, numbers in turns.items()
        for nth in numbers
        for after in (False, True)
    ]


def test_killed_at_every_transition(daemons: Daemons) -> None:
    async def check() -> None:
        sessions = await _sessions(daemons)
        work = asyncio.create_task(_busy(sessions, random.Random(1)))
        deaths = _deaths()
        assert len(deaths) > 100
        for die in deaths:
            await _die(daemons, sessions, daemons.fork(_BRAKING, die=die))
        await _live(daemons, sessions)
        work.cancel()

    asyncio.run(check())
    assert "Error" not in daemons.log


def test_killed_at_random(daemons: Daemons) -> None:
    async def check() -> None:
        chance = random.Random(2)
        sessions = await _sessions(daemons)
        work = asyncio.create_task(_busy(sessions, chance))
        braked = 0
        for _ in range(100):
            process = daemons.fork(_BRAKING)
            await asyncio.sleep(chance.uniform(0.02, 0.2))
            braked += sum(len(session.braked) for session in sessions)
            process.send(signal.SIGKILL)
            await _die(daemons, sessions, process)
        assert braked > 100, "most deaths should come while calls are held"
        await _live(daemons, sessions)
        work.cancel()

    asyncio.run(check())
    assert "Error" not in daemons.log


def test_a_daemon_that_ends_lets_go(daemons: Daemons) -> None:
    async def check() -> None:
        process = daemons.start(_BRAKING)
        sessions = await _sessions(daemons)
        await until(lambda: all(session.braked for session in sessions))
        process.send(signal.SIGTERM)
        await _die(daemons, sessions, process)
        assert not daemons.socket.exists()
        call = sessions[0].ask()
        assert call in sessions[0].calls, "the session decides for itself"
        assert sessions[0].said == ["the daemon is gone; this session decides for itself until a daemon is back"]

    asyncio.run(check())


def test_a_daemon_that_hangs_is_left(daemons: Daemons, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentcgroup.daemon.member._SILENT_S", 0.3)
    monkeypatch.setattr("agentcgroup.daemon.member._PING_LEAST_S", 0.05)
    monkeypatch.setattr("agentcgroup.daemon.member._PING_EVERY_S", 0.1)
    monkeypatch.setattr("agentcgroup.daemon.link._WELCOME_WITHIN_S", 0.3)

    async def check() -> None:
        process = daemons.start(_BRAKING)
        sessions = await _sessions(daemons)
        await until(lambda: all(session.braked for session in sessions))
        process.send(signal.SIGSTOP)
        await until(lambda: not any(session.joined or session.braked for session in sessions), 3.0)
        assert "has not answered" in sessions[0].said[0]
        process.send(signal.SIGCONT)
        await until(lambda: all(session.joined and session.braked for session in sessions))
        assert (await daemons.asked("status"))["sessions"] == len(sessions)

    asyncio.run(check())


def test_a_daemon_that_comes_later_is_found(daemons: Daemons) -> None:
    async def check() -> None:
        sessions = await _sessions(daemons)
        assert not any(session.joined for session in sessions)
        await _live(daemons, sessions)
        assert sessions[0].said == ["a daemon has come and decides for this session from now on"]

    asyncio.run(check())
