"""A call that meets the memory.high of its expectation: no slower than without one while there is room."""

from __future__ import annotations

from dataclasses import replace

from agentcgroup.policy.world import Began, CallId, Limit, Moved
from tests.policy.fake_kernel import GIB, MIB, FakeKernel

A = CallId("s", "a")


def expecting(size: int, high: int) -> FakeKernel:
    kernel = FakeKernel()
    kernel.session("s")
    kernel.begin("s", "a", size)
    kernel.calls[A] = replace(kernel.calls[A], high_bytes=high)
    return kernel


def test_it_is_set_when_the_call_begins_whoever_admitted_it() -> None:
    kernel = expecting(MIB, GIB)
    kernel.calls[A] = replace(kernel.calls[A], high_bytes=None, max_bytes=GIB)
    assert kernel.tell(Began(A, 512 * MIB, "kind")) == (Limit(A, 512 * MIB, GIB, "expected by its kind"),)
    assert kernel.tell(Began(A, 256 * MIB, "kind")) == ()  # never over one that is there


def test_of_a_call_that_is_gone_or_of_unknown_need_nothing_is_set() -> None:
    kernel = expecting(MIB, GIB)
    kernel.calls[A] = replace(kernel.calls[A], high_bytes=None)
    assert kernel.tell(Began(A)) == kernel.tell(Began(CallId("s", "gone"), 512 * MIB, "kind")) == ()


def test_with_room_it_is_taken_off() -> None:
    kernel = expecting(600 * MIB, 512 * MIB)
    (limit,) = kernel.tell(Moved("s", A, high=1))
    assert isinstance(limit, Limit)
    assert limit.high_bytes is None
    assert kernel.tell(Moved("s", A, high=1)) == ()


def test_without_room_it_is_a_throttle_with_a_deadline() -> None:
    kernel = expecting(GIB, GIB)
    kernel.begin("s", "b", 870 * MIB)
    kernel.tell(Moved("s", A, high=1))
    assert kernel.policy.memory.holds[A].throttled_s == kernel.now_s
    kernel.pass_time(kernel.settings.throttle_s)
    assert not kernel.policy.memory.holds[A].active
    kernel.end("s", "b")
    kernel.tell(Moved("s", A, high=1))
    assert kernel.calls[A].high_bytes is None


def test_other_counters_and_other_calls_do_not_touch_it() -> None:
    kernel = expecting(100 * MIB, 512 * MIB)
    assert kernel.tell(Moved("s", A, max=1)) == kernel.tell(Moved("s", None, high=1)) == ()
    assert kernel.calls[A].high_bytes == 512 * MIB
