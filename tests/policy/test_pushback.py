"""Pushing back: who stops when somebody of higher priority stalls, who does not, and when it is over."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentcgroup.model import Priority
from agentcgroup.policy.settings import LadderSettings
from agentcgroup.policy.world import CallId, Freeze, Kill, Limit, Short, Thaw
from tests.policy.fake_kernel import GIB, MIB, FakeKernel
from tests.policy.test_ladder_invariants import BIG, NAMES, SESSIONS, SHORT, SMALL, Step, steps, world

SETTINGS = LadderSettings()


def host(*low: int, high: int = 200, gib: int = 1) -> FakeKernel:
    """Calls that have been there for long: h of high priority, a, b, c … of low; sizes in MiB, the agents have 200.

    Of 1024 it is tight from 942 on, and there is no room from 983 on.
    """
    kernel = FakeKernel(gib * GIB)
    kernel.session("high", Priority.HIGH, None)
    kernel.session("low", Priority.LOW, None)
    kernel.begin("high", "h", 16 * MIB)
    for name in "abcdefgh"[: len(low)]:
        kernel.begin("low", name, 16 * MIB)
    kernel.pass_time(10)
    kernel.grow("high", "h", high * MIB)
    for name, size in zip("abcdefgh", low, strict=False):
        kernel.grow("low", name, size * MIB)
    return kernel


def stall(kernel: FakeKernel, session: str = "high", call: str | None = "h", scope: str | None = None) -> None:
    kernel.tell(Short(session, None if call is None else CallId(session, call), scope))


def test_those_of_lower_priority_stop_in_the_decision_about_the_first_stall() -> None:
    kernel = host(250, 250, high=60)
    stall(kernel)
    assert not kernel.actions(Freeze)
    kernel.grow("high", "h", 250 * MIB)
    stall(kernel)
    assert kernel.frozen("low") == {"a", "b"}
    assert not kernel.frozen("high")
    freeze = next(action for action in kernel.actions(Freeze) if isinstance(action, Freeze))
    assert freeze.reason == "somebody of higher priority stalls for memory, and there is no room for the host"


def test_with_room_for_what_cannot_be_given_back_a_stall_harms_nobody() -> None:
    kernel = FakeKernel()
    kernel.session("s", Priority.NORMAL, GIB)
    kernel.begin("s", "reader", 800 * MIB, Priority.HIGH, reclaimable=780 * MIB)
    kernel.begin("s", "other", 200 * MIB, Priority.LOW)
    for _ in range(50):
        stall(kernel, "s", "reader", "s")
        kernel.pass_time(0.02)
    assert not kernel.actions(Freeze) + kernel.actions(Limit) + kernel.actions(Kill)


def test_equals_are_not_pushed_back_nor_is_anybody_for_those_below() -> None:
    kernel = host(300, 300, high=60)
    kernel.begin("low", "small", 20 * MIB)
    kernel.grow("high", "h", 130 * MIB)
    stall(kernel, "low", "a")
    assert not kernel.frozen("low")
    assert not kernel.frozen("high")


def test_priority_within_a_session_counts_for_the_room_of_its_calls() -> None:
    kernel = FakeKernel(64 * GIB)
    kernel.session("s", Priority.NORMAL, GIB)
    kernel.session("t", Priority.LOW, GIB)
    kernel.begin("s", "h", 400 * MIB, Priority.HIGH)
    kernel.begin("s", "n", 100 * MIB)
    kernel.begin("s", "l", 440 * MIB, Priority.LOW)
    kernel.begin("t", "other", 500 * MIB, Priority.LOW)
    stall(kernel, "s", "h", "s")
    assert kernel.frozen("s") == {"n", "l"}
    assert not kernel.frozen("t"), "another session has its own room"


def test_what_is_too_small_to_matter_is_left_alone() -> None:
    kernel = host(540, 10, high=200)
    stall(kernel)
    assert kernel.frozen("low") == {"a"}


def test_a_session_within_its_promised_share_is_left_alone() -> None:
    kernel = FakeKernel(GIB)
    kernel.session("high", Priority.HIGH, None)
    kernel.session("promised", Priority.NORMAL, 400 * MIB)
    kernel.session("low", Priority.LOW, None)
    kernel.begin("high", "h", 16 * MIB)
    kernel.begin("promised", "p", 60 * MIB)
    kernel.begin("low", "l", 16 * MIB)
    kernel.pass_time(10)
    kernel.grow("low", "l", 400 * MIB)
    kernel.grow("high", "h", 190 * MIB)
    stall(kernel)  # memory.low of the middle one: 0.4 of 656 MiB, and it uses 160
    assert kernel.frozen("low") == {"l"}
    assert not kernel.frozen("promised")


def test_an_agent_that_stalls_goes_before_the_calls_of_low_priority() -> None:
    kernel = host(350, 350, high=60)
    stall(kernel, "high", None)
    assert kernel.frozen("low") == {"a", "b"}


def test_a_task_of_a_call_that_is_gone_pushes_nobody_back() -> None:
    kernel = host(350, 350, high=60)
    stall(kernel, "high", "ended")
    stall(kernel, "nowhere", "h")
    assert not kernel.actions(Freeze)


def test_they_stay_while_it_stalls_and_go_on_with_a_brake_when_it_does_not_any_more() -> None:
    kernel = host(270, 260, high=220)
    for _ in range(20):
        stall(kernel)
        kernel.pass_time(0.1)
        assert kernel.frozen("low") == {"a", "b"}
    kernel.pass_time(SETTINGS.push_s + 0.01)
    assert len(kernel.frozen("low")) == 1, "one at a time"
    kernel.pass_time(SETTINGS.thaw_every_s)
    assert not kernel.frozen("low")
    assert kernel.throttled("low") == {"a", "b"}, "there is still little room"
    assert {action.reason for action in kernel.actions(Thaw) if isinstance(action, Thaw)} == {
        "nobody of higher priority stalls any more"
    }


def test_without_any_room_they_stay() -> None:
    kernel = host(270, 260, high=260)  # 990
    stall(kernel)
    kernel.pass_time(SETTINGS.push_s + 0.2)
    assert kernel.frozen("low") == {"a", "b"}


def test_an_equal_that_stalls_does_not_keep_them() -> None:
    kernel = host(270, 250, 10, high=220)
    stall(kernel)
    for _ in range(10):
        kernel.pass_time(0.1)
        stall(kernel, "low", "c")
    assert not kernel.frozen("low")


def test_to_push_back_is_the_step_and_nobody_else_is_held_with_it() -> None:
    kernel = host(200, 200, high=16)
    kernel.begin("high", "i", 16 * MIB)
    kernel.grow("high", "h", 200 * MIB)
    kernel.grow("high", "i", 190 * MIB)  # 990: no room at all, and all four weigh something
    stall(kernel)
    assert kernel.frozen("low") == {"a", "b"}
    assert not kernel.frozen("high")
    assert not kernel.throttled("high")


def test_with_some_room_again_it_does_not_last_longer_than_with_little() -> None:
    kernel = host(270, 260, high=220)
    stall(kernel)
    kernel.grow("high", "h", 190 * MIB)  # 920: neither tight nor calm
    kernel.pass_time(SETTINGS.push_s + SETTINGS.thaw_every_s + 0.01)
    assert not kernel.frozen("low")
    assert not kernel.throttled("low")


def test_room_again_lets_them_go_without_a_brake() -> None:
    kernel = host(270, 260, high=220)
    stall(kernel)
    kernel.end("high", "h")
    kernel.pass_time(1)
    assert not kernel.frozen("low")
    assert not kernel.throttled("low")


def test_however_long_it_stalls_nobody_is_held_beyond_the_bounds() -> None:
    kernel = host(270, 260, high=220)
    for _ in range(2400):  # 120 s; the tiny kernel checks the bounds with each
        stall(kernel)
        kernel.pass_time(0.05)
    assert kernel.actions(Thaw)
    assert not kernel.actions(Kill)


def test_a_stall_is_as_good_as_psi_for_those_who_share_a_rank() -> None:
    kernel = FakeKernel()
    kernel.session("s", Priority.NORMAL, GIB)
    kernel.begin("s", "a", 450 * MIB)
    kernel.begin("s", "b", 480 * MIB)
    kernel.pass_time(0.3)
    assert kernel.throttled()
    assert not kernel.frozen()
    stall(kernel, "s", "a", "s")
    assert len(kernel.frozen()) == 1


@pytest.mark.parametrize("name", ["none", "static", "user-space"])
def test_the_other_policies_take_no_notice(name: str) -> None:
    from agentcgroup.policy.registry import policy

    kernel = host(350, 350)
    decision = policy(name).decide(kernel.world(), Short("high", CallId("high", "h"), None))
    assert decision.actions == ()


def _short(session: str, name: str | None, on_host: bool) -> Step:
    id_ = None if name is None else CallId(session, name)
    return lambda kernel: kernel.tell(Short(session, id_, None if on_host else session))


def histories(sizes: st.SearchStrategy[int], most: int) -> st.SearchStrategy[list[Step]]:
    short = st.builds(_short, st.sampled_from(SESSIONS), st.none() | st.sampled_from(NAMES), st.booleans())
    return st.lists(steps(sizes) | short | short, min_size=20, max_size=most)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from((1, 2, 4)), histories(BIG, 120))
def test_bounds_hold_whoever_stalls(gib: int, history: list[Step]) -> None:
    kernel = world(gib * GIB, SHORT)
    for step in history:
        step(kernel)
    kernel.pass_time(SHORT.hold_s + SHORT.freeze_s)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories(SMALL, 120))
def test_nobody_is_held_while_there_is_memory_whoever_stalls(history: list[Step]) -> None:
    kernel = world(64 * GIB, LadderSettings(unknown_bytes=MIB))
    for step in history:
        step(kernel)
        assert not kernel.requests
    assert not kernel.actions(Freeze) + kernel.actions(Kill) + kernel.actions(Limit)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories(BIG, 80))
def test_when_the_pressure_is_over_everybody_is_let_go(history: list[Step]) -> None:
    kernel = world(2 * GIB, SHORT)
    for step in history:
        step(kernel)
    for id_ in list(kernel.calls):
        kernel.calls[id_] = kernel.calls[id_].__class__(id_, kernel.calls[id_].priority, 0.0, MIB)
    kernel.pass_time(SHORT.hold_s)
    assert not kernel.frozen_s
    assert not kernel.high_s
    assert not kernel.requests
