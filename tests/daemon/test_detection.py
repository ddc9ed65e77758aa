"""The daemon's detector: who stalls in which session, by the number of its cgroup; and hosts that have none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agentcgroup.daemon.arbiter import Arbiter
from agentcgroup.daemon.detection import Detection
from agentcgroup.daemon.messages import Hello, Report
from agentcgroup.daemon.seat import Seat
from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.meminfo import read_meminfo
from agentcgroup.model import Priority
from agentcgroup.policy.world import CallId, Decision, SessionState, Short, Signal, World
from tests.conftest import memory_controller
from tests.daemon.daemons import until
from tests.kernel.conftest import Spawn, cgroup, spawn, unified

__all__ = ["cgroup", "spawn", "unified"]  # fixtures

MIB = 1 << 20
_WITHIN_S = 60.0  # the lab is emulated
_CONTROLLERS = ("memory", "pids", "cpu")


@dataclass(frozen=True)
class Hearing:
    """A policy that only listens."""

    heard: list[Signal] = field(default_factory=list)
    name: str = "hearing"

    def decide(self, world: World, signal: Signal) -> Decision:
        self.heard.append(signal)
        return Decision(self)

    def shorts(self) -> set[Short]:
        return {signal for signal in self.heard if isinstance(signal, Short)}


def seat(arbiter: Arbiter, name: str, cgroup: Path | None, priority: Priority = Priority.NORMAL) -> Seat:
    """A session that has joined and said how it is."""
    made = Seat(name, 0, 1, Hello(name, 0.0, priority), lambda message: None, time.monotonic(), cgroup)
    arbiter.join(made)
    arbiter.report(made, Report(0, SessionState(name, priority, 0)))
    return made


@contextmanager
def detecting(arbiter: Arbiter, wanted: str = "auto") -> Iterator[Detection]:
    detection = Detection(arbiter, wanted)
    detection.start()
    try:
        yield detection
    finally:
        detection.close()
        arbiter.close()


def session(cgroup: Cgroup, name: str) -> Cgroup:
    """The tree of a session with one call, which may use 30 MiB with all its calls."""
    top = cgroup.create(name)
    top.enable(_CONTROLLERS)
    top.create("agent")
    calls = top.create("calls")
    calls.enable(_CONTROLLERS)
    calls.create("c000001")
    calls.write("memory.max", 30 * MIB)
    return top


async def fill(spawn: Spawn, top: Cgroup) -> None:
    """Take more than there is room for, in its call, to the end."""
    process = spawn(
        "sh", "-c", "head -c 40m /dev/zero | tail -c 40m > /dev/null", into=top.child("calls").child("c000001")
    )
    while process.poll() is None:  # not in a thread: the detector is to be heard meanwhile
        await asyncio.sleep(0.02)


async def settle(policy: Hearing) -> None:
    """Let the arbiter ask for the second time about what it has heard, and forget it."""
    await asyncio.sleep(1.0)
    policy.heard.clear()


@pytest.mark.kernel
def test_a_stall_is_told_of_the_session_whose_cgroup_it_is(cgroup: Cgroup, spawn: Spawn) -> None:
    async def check() -> None:
        policy = Hearing()
        arbiter = Arbiter(policy, read_meminfo)
        one, two, foreign = (session(cgroup, name) for name in ("one", "two", "foreign"))
        first = seat(arbiter, "s1", one.path)
        seat(arbiter, "unknown", None)
        with detecting(arbiter) as detection:
            await until(lambda: detection.enforcer == "bpf", _WITHIN_S)
            await fill(spawn, foreign)
            await fill(spawn, one)  # was there before the detector
            await until(lambda: policy.shorts() == {Short("s1", CallId("s1", "c000001"), "s1")}, _WITHIN_S)
            await settle(policy)
            seat(arbiter, "s2~1000", two.path, Priority.HIGH)  # under another name than its cgroup's
            await fill(spawn, two)
            await until(lambda: policy.shorts() == {Short("s2~1000", CallId("s2~1000", "c000001"), "s2~1000")})
            await settle(policy)
            arbiter.leave(first)
            await fill(spawn, one)
            await asyncio.sleep(0.2)
            assert policy.shorts() == set()

    asyncio.run(check())


@pytest.mark.kernel
def test_a_limit_around_all_sessions_is_the_host_to_them(cgroup: Cgroup, spawn: Spawn) -> None:
    async def check() -> None:
        policy = Hearing()
        arbiter = Arbiter(policy, read_meminfo)
        top = session(cgroup, "one")
        top.child("calls").write("memory.max", "max")
        cgroup.write("memory.max", 30 * MIB)
        seat(arbiter, "s1", top.path)
        with detecting(arbiter) as detection:
            await until(lambda: detection.enforcer == "bpf", _WITHIN_S)
            await fill(spawn, top)
            await until(lambda: bool(policy.shorts()), _WITHIN_S)
        assert policy.shorts() == {Short("s1", CallId("s1", "c000001"), None)}

    asyncio.run(check())


@pytest.mark.skipif(memory_controller(), reason="this kernel lets us")
def test_where_the_kernel_does_not_let_us_the_files_of_cgroups_have_to_do(caplog: pytest.LogCaptureFixture) -> None:
    async def check() -> None:
        arbiter = Arbiter(Hearing(), read_meminfo)
        gone = seat(arbiter, "s1", Path("/sys/fs/cgroup/nowhere"))
        with detecting(arbiter, "bpf") as detection:
            await until(lambda: "asked for" in detection.why)
            assert detection.enforcer == "cgroup"
            arbiter.leave(gone)

    asyncio.run(check())
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "the enforcer is cgroup: bpf was asked for; no bpf: " in caplog.text
