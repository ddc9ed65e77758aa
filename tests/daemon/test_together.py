"""Several sessions, one policy: what one of them uses counts for all, and each gets the actions on its own calls."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from agentcgroup.errors import HostError
from agentcgroup.model import Priority, Support
from agentcgroup.policy.world import Decision, Limit, Protect, Signal, World
from agentcgroup.trace.kill_log import KillRecord
from tests.daemon.daemons import Daemons, listed, until
from tests.daemon.fake import MIB, FakeSession
from tests.daemon.users import Child


async def _joined(daemons: Daemons, *sessions: FakeSession) -> None:
    for session in sessions:
        await session.join(daemons.socket, require=True)


def test_a_call_waits_for_the_memory_of_another_session(daemons: Daemons) -> None:
    async def check() -> None:
        daemons.start(memory=(8192 * MIB, 3000 * MIB))
        one, other = FakeSession("one", calls=1), FakeSession("other", calls=1)
        await _joined(daemons, one, other)
        first, second = one.ask(900 * MIB), one.ask(900 * MIB)
        await until(lambda: first in one.calls and second in one.calls)
        third = other.ask(1900 * MIB)
        await asyncio.sleep(0.2)
        assert third in other.requests, "alone it would fit"
        one.finish(first)
        one.finish(second)
        await until(lambda: third in other.calls)

    asyncio.run(check())


def test_the_host_is_short_and_the_lower_priority_pays(daemons: Daemons) -> None:
    async def check() -> None:
        daemons.start("policy=ladder", memory=(8192 * MIB, 200 * MIB))
        high = FakeSession("high", calls=2, priority=Priority.HIGH)
        low = FakeSession("low", calls=2, priority=Priority.LOW)
        for session in (high, low):
            for call in session.calls:
                session.grow(call, 200 * MIB)
        await _joined(daemons, low, high)
        await until(lambda: low.braked != [])
        assert high.braked == []

    asyncio.run(check())


def test_static_limits_each_call_of_each_session(daemons: Daemons) -> None:
    async def check() -> None:
        daemons.start("policy=static", f"settings.call_bytes={64 * MIB}")
        sessions = [FakeSession(f"s{number}") for number in range(5)]
        await _joined(daemons, *sessions)
        calls = [session.begin() for session in sessions for _ in range(10)]
        await until(lambda: sum(len(session.done) for session in sessions) >= len(calls))
        for session in sessions:
            limits = [action for action in session.done if isinstance(action, Limit)]
            assert {action.id for action in limits} == set(session.calls)
            assert all(action.max_bytes == 64 * MIB for action in limits)

    asyncio.run(check())


def test_nobody_gets_actions_on_the_calls_of_another(daemons: Daemons) -> None:
    async def check() -> None:
        daemons.start("policy=tests.daemon.policies:Braking")
        sessions = [FakeSession(f"s{number}", calls=3) for number in range(4)]
        await _joined(daemons, *sessions)
        await until(lambda: all(len(session.done) > 20 for session in sessions))
        for session in sessions:
            named = {a.session if not hasattr(a, "id") else a.id.session for a in session.done}
            assert named == {session.name}

    asyncio.run(check())


def test_no_policy_decides_over_a_session_without_the_memory_controller(daemons: Daemons) -> None:
    async def check() -> None:
        daemons.start("policy=tests.daemon.policies:Braking")
        shown, governed = FakeSession("shown", 2, support=Support.GROUPING), FakeSession("governed", 2)
        await _joined(daemons, shown, governed)
        shown.begin()
        await until(lambda: len(governed.done) > 20)
        assert shown.done == []
        assert (await daemons.asked("status"))["calls"] == 5

    asyncio.run(check())


def test_actions_that_name_nobody_are_for_nobody(daemons: Daemons) -> None:
    async def check() -> None:
        daemons.start("policy=tests.daemon.policies:Trespasser")
        session = FakeSession("s1", calls=2)
        await _joined(daemons, session)
        call = session.ask()
        await until(lambda: call in session.calls)
        assert len(session.calls) == 3

    asyncio.run(check())


def test_a_policy_that_fails_holds_nobody(daemons: Daemons) -> None:
    async def check() -> None:
        daemons.start("policy=tests.daemon.policies:Failing")
        session = FakeSession("s1", calls=2)
        await _joined(daemons, session)
        await until(lambda: len(session.braked) == 2)
        call = session.ask()
        await until(lambda: call in session.calls)
        assert session.braked == []
        assert (await daemons.asked("status"))["counts"]["failures"] >= 1
        assert "ZeroDivisionError: a test" in daemons.log

    asyncio.run(check())


def test_what_is_known_when_a_session_joins(daemons: Daemons) -> None:
    """A restarted daemon has nothing but what the sessions tell."""

    async def check() -> None:
        session = FakeSession("s1", calls=3)
        await session.join(daemons.socket, alone=_Waiting())
        request = session.ask(MIB)
        assert request in session.requests
        daemons.start()
        await until(lambda: request in session.calls)
        found = (await daemons.asked("show", "s1"))["session"]
        assert [call["call"] for call in found["calls"]][:3] == ["c00001", "c00002", "c00003"]

    asyncio.run(check())


@dataclass(frozen=True)
class _Waiting:
    """Never answers."""

    name: str = "waiting"

    def decide(self, world: World, signal: Signal) -> Decision:
        """See policy.world.Policy."""
        return Decision(self)


def test_operators(daemons: Daemons) -> None:
    async def check() -> None:
        daemons.start()
        session = FakeSession("s1", calls=1)
        await _joined(daemons, session)
        await daemons.asked("set-priority", "s1", "high")
        await until(lambda: session.priority is Priority.HIGH)
        await daemons.asked("freeze", "s1", "lunch")
        await until(lambda: session.held)
        found = (await daemons.asked("list"))["sessions"][0]
        assert (found["held"], found["priority"], found["running"]) == (True, "high", 1)
        await daemons.asked("thaw", "s1")
        await until(lambda: not session.held)
        await daemons.asked("end", "s1", "enough")
        await until(lambda: session.ended_for == ["enough"])
        with pytest.raises(HostError, match="'dear' is not a priority; give one of low, normal, high"):
            await daemons.asked("set-priority", "s1", "dear")
        with pytest.raises(HostError, match="no session named 's2' has joined the daemon"):
            await daemons.asked("show", "s2")
        session.decider.close()
        await until(lambda: listed(daemons.ask("list")) == [])

    asyncio.run(check())


def test_a_held_session_goes_on_without_the_daemon(daemons: Daemons) -> None:
    async def check() -> None:
        process = daemons.start()
        session = FakeSession("s1", calls=1)
        await _joined(daemons, session)
        await daemons.asked("freeze", "s1")
        await until(lambda: session.held)
        process.close()
        await until(lambda: not session.held)

    asyncio.run(check())


def test_the_priority_that_an_operator_gave_outlives_the_daemon(daemons: Daemons) -> None:
    async def check() -> None:
        process = daemons.start()
        session = FakeSession("s1", calls=1)
        await _joined(daemons, session)
        await daemons.asked("set-priority", "s1", "low")
        await until(lambda: session.priority is Priority.LOW)
        process.close()
        daemons.start()
        await until(lambda: listed(daemons.ask("list")) == ["s1"])
        assert daemons.ask("list")["sessions"][0]["priority"] == "low"

    asyncio.run(check())


def test_the_same_name_twice_is_refused(daemons: Daemons) -> None:
    """The kernel says that it is another process; in one process it is the same session that connects again."""

    async def check() -> None:
        daemons.start()
        session = FakeSession("s1", calls=1)
        await _joined(daemons, session)
        child = Child(0, lambda: asyncio.run(FakeSession("s1").join(daemons.socket, require=True)))
        result = await asyncio.to_thread(child.result)
        assert result == "HostError: a session named 's1' is here already; choose another --name"
        assert session.joined
        again = FakeSession("s1", calls=7)
        await again.join(daemons.socket, require=True)
        await until(lambda: daemons.ask("list")["sessions"][0]["running"] == 7)
        session.begin()  # of a connection that counts no more
        assert daemons.ask("list")["sessions"][0]["running"] == 7

    asyncio.run(check())


def test_protection_follows_the_priority(daemons: Daemons) -> None:
    async def check() -> None:
        daemons.start("policy=ladder")
        high, low = FakeSession("high", 1, Priority.HIGH), FakeSession("low", 1, Priority.LOW)
        await _joined(daemons, high, low)
        await until(lambda: any(isinstance(action, Protect) for action in high.done))
        protect = next(action for action in high.done if isinstance(action, Protect))
        assert protect.session == "high"
        assert protect.low_bytes > 0
        assert not any(isinstance(action, Protect) and action.low_bytes for action in low.done)

    asyncio.run(check())


def test_kills_are_told_to_the_daemon(daemons: Daemons) -> None:
    async def check() -> None:
        daemons.start()
        session = FakeSession("s1", calls=1)
        await _joined(daemons, session)
        session.decider.killed(KillRecord("s1", "c00001", "host-out-of-room", "it grew\x1b[2J most\n"))
        await until(lambda: "s1: call c00001 was killed (host-out-of-room): it grew\\x1b[2J most\\n" in daemons.log)

    asyncio.run(check())
