"""When the arbiter asks its policy: soon again, however long the host kept it waiting."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field

from agentcgroup.daemon.arbiter import Arbiter
from agentcgroup.kernel.meminfo import read_meminfo
from agentcgroup.policy.world import Decision, Signal, World
from tests.daemon.daemons import until


@dataclass(frozen=True)
class Waiting:
    """A policy that has to wait for a CPU (``waits_s``) or has much to compute (``computes_s``)."""

    waits_s: float = 0.0
    computes_s: float = 0.0
    at_s: list[float] = field(default_factory=list)
    name: str = "waiting"

    def decide(self, world: World, signal: Signal) -> Decision:
        self.at_s.append(time.monotonic())
        time.sleep(self.waits_s)
        until_s = time.thread_time() + self.computes_s
        while time.thread_time() < until_s:
            pass
        return Decision(self, (), time.monotonic())  # and again, as soon as can be


def decisions(policy: Waiting, enough: int) -> int:
    """How many decisions there were, when ``enough`` were waited for, for two seconds at most."""

    async def check() -> None:
        arbiter = Arbiter(policy, read_meminfo)
        arbiter.replace_policy(policy)  # an occasion
        try:
            await until(lambda: len(policy.at_s) >= enough, 2.0)
        finally:
            arbiter.close()

    with suppress(AssertionError):  # it is counted
        asyncio.run(check())
    return len(policy.at_s)


def test_time_in_which_the_daemon_did_not_get_a_cpu_is_no_reason_to_rest() -> None:
    assert decisions(Waiting(waits_s=0.3), 4) == 4


def test_a_policy_that_takes_long_is_still_asked() -> None:
    assert decisions(Waiting(computes_s=0.3), 3) == 3
