"""The tripwire: where memory.high of calls/ lies, and when it is taken away."""

from __future__ import annotations

from agentcgroup.policy.world import Tripwire
from tests.policy.fake_kernel import GIB, MIB, FakeKernel

TIGHT, GONE = int(2 * GIB * 0.90), int(2 * GIB * 0.97)


def wires(kernel: FakeKernel) -> list[int | None]:
    """Where it has been put, in order."""
    return [action.high_bytes for action in kernel.actions(Tripwire) if isinstance(action, Tripwire)]


def test_two_calls_are_watched_where_it_gets_tight_and_one_is_not() -> None:
    kernel = FakeKernel()
    kernel.session("s")
    kernel.begin("s", "a")
    kernel.begin("s", "b")
    assert wires(kernel) == [None, TIGHT]
    kernel.end("s", "b")
    assert wires(kernel) == [None, TIGHT, None]


def test_it_moves_up_when_the_ladder_is_climbed() -> None:
    kernel = FakeKernel()
    kernel.session("s")
    kernel.begin("s", "a", 1000 * MIB)
    kernel.begin("s", "b", 950 * MIB)
    assert wires(kernel)[-1] == GONE
    kernel.grow("s", "b", 100 * MIB)
    kernel.pass_time(10)
    assert wires(kernel)[-1] == TIGHT


def test_one_call_that_fills_the_room_beside_small_ones_is_not_braked() -> None:
    kernel = FakeKernel()
    kernel.session("s")
    kernel.begin("s", "small", 4 * MIB)
    kernel.begin("s", "large", 1960 * MIB)
    assert wires(kernel)[-1] is None


def test_cache_moves_it_out_of_the_way() -> None:
    kernel = FakeKernel()
    kernel.session("s")
    kernel.begin("s", "a", 1000 * MIB, reclaimable=900 * MIB)
    kernel.begin("s", "b", 1040 * MIB, reclaimable=900 * MIB)
    assert wires(kernel)[-1] is None
