"""POLLPRI in an asyncio loop: pressure triggers and cgroup.events, on this machine's kernel."""

import asyncio
import time

import pytest

from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.psi import PsiTrigger
from agentcgroup.kernel.urgent import Urgent, wait_event
from tests.kernel.conftest import Spawn


def test_a_pressure_trigger_calls_once_for_each_firing(cgroup: Cgroup, spawn: Spawn) -> None:
    fired: list[float] = []

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        with PsiTrigger(leaf.path / "cpu.pressure", "some", 100_000, 2_000_000) as trigger, Urgent(trigger) as urgent:
            loop.add_reader(urgent, lambda: fired.append(time.monotonic()))
            await asyncio.sleep(0.05)
            assert fired == []
            for _ in range(6):  # more than this machine has idle CPUs: some have to wait
                spawn("sh", "-c", "while :; do :; done", into=leaf)
            until = time.monotonic() + 10
            while len(fired) < 2 and time.monotonic() < until:
                await asyncio.sleep(0.02)
            loop.remove_reader(urgent)

    leaf = cgroup.create("leaf")
    asyncio.run(watch())
    assert len(fired) == 2  # not once for every turn of the loop
    assert fired[1] - fired[0] > 0.5


def test_wait_event_sees_frozen_and_thawed(cgroup: Cgroup, spawn: Spawn) -> None:
    async def wait() -> tuple[bool | None, ...]:
        loop = asyncio.get_running_loop()
        late = await wait_event(leaf, "frozen", 1, 0.02)
        loop.call_later(0.05, leaf.freeze)
        frozen = await wait_event(leaf, "frozen", 1, 10)
        already = await wait_event(leaf, "frozen", 1, 0)
        loop.call_later(0.05, leaf.thaw)
        return late, frozen, already, await wait_event(leaf, "frozen", 0, 10)

    leaf = cgroup.create("leaf")
    spawn("sleep", "100", into=leaf)
    assert asyncio.run(wait()) == (False, True, True, True)


def test_wait_event_of_what_is_gone(cgroup: Cgroup) -> None:
    async def wait() -> tuple[bool | None, bool | None]:
        leaf = cgroup.create("leaf")
        asyncio.get_running_loop().call_later(0.05, leaf.remove)
        return await wait_event(leaf, "frozen", 1, 0.2), await wait_event(leaf, "frozen", 1, 10)

    during, before = asyncio.run(wait())
    assert during in (None, False)  # the kernel need not wake us for a removal
    assert before is None


def test_wait_event_can_be_cancelled(cgroup: Cgroup) -> None:
    async def wait() -> None:
        task = asyncio.create_task(wait_event(cgroup, "frozen", 1, 100))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(wait())
