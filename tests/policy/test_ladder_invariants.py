"""What must hold of the ladder in every world: long random histories against a tiny kernel that checks each step."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentcgroup.model import Priority
from agentcgroup.policy.settings import LadderSettings
from agentcgroup.policy.world import CallId, Freeze, Kill, Limit, Moved, Stalled
from tests.policy.fake_kernel import GIB, MIB, FakeKernel

SESSIONS = ("high", "low", "middle", "unlimited")
NAMES = tuple("abcdefgh")
SHORT = LadderSettings(freeze_s=5, hold_s=12, queue_s=6, throttle_s=2, kill_s=0.5, run_s=0.5)

Step = Callable[[FakeKernel], object]


def world(host_bytes: int, ladder: LadderSettings) -> FakeKernel:
    kernel = FakeKernel(host_bytes, ladder)
    kernel.session("high", Priority.HIGH, 2 * GIB)
    kernel.session("low", Priority.LOW, GIB)
    kernel.session("middle", Priority.NORMAL, 512 * MIB)
    kernel.session("unlimited", Priority.LOW, None)
    return kernel


def steps(sizes: st.SearchStrategy[int]) -> st.SearchStrategy[Step]:
    session, name = st.sampled_from(SESSIONS), st.sampled_from(NAMES)
    priority = st.sampled_from(list(Priority))
    expected = st.none() | sizes

    def begin(s: str, n: str, size: int, p: Priority, e: int | None, cache: int, back: bool) -> Step:
        def step(kernel: FakeKernel) -> None:
            if CallId(s, n) not in kernel.calls and CallId(s, n) not in kernel.requests:
                kernel.begin(s, n, size, p, e, min(cache, size), back)

        return step

    def ask(s: str, n: str, e: int | None, p: Priority) -> Step:
        def step(kernel: FakeKernel) -> None:
            if CallId(s, n) not in kernel.calls and CallId(s, n) not in kernel.requests:
                kernel.ask(s, n, e, p)

        return step

    def stall(s: str | None, us: int) -> Step:
        return lambda kernel: kernel.tell(Stalled(s, us, 1_000_000))

    def move(s: str, n: str | None, count: int) -> Step:
        return lambda kernel: kernel.tell(Moved(s, None if n is None else CallId(s, n), high=count))

    return st.one_of(
        st.builds(begin, session, name, sizes, priority, expected, sizes, st.booleans()),
        st.builds(ask, session, name, expected, priority),
        st.builds(lambda s, n, size: lambda kernel: kernel.grow(s, n, size), session, name, sizes),
        st.builds(lambda s, n: lambda kernel: kernel.end(s, n), session, name),
        st.builds(stall, st.none() | session, st.integers(0, 1_000_000)),
        st.builds(move, session, st.none() | name, st.integers(0, 9)),
        st.builds(lambda t: lambda kernel: kernel.pass_time(t), st.sampled_from((0.001, 0.05, 0.3, 1.0, 4.0, 20.0))),
    )


BIG = st.integers(0, 1200).map(lambda mib: mib * MIB)
SMALL = st.integers(0, 12).map(lambda mib: mib * MIB)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from((1, 2, 4)), st.lists(steps(BIG), min_size=20, max_size=120))
def test_bounds_hold_under_pressure(gib: int, history: list[Step]) -> None:
    kernel = world(gib * GIB, SHORT)
    for step in history:
        step(kernel)
    kernel.pass_time(SHORT.hold_s + SHORT.freeze_s)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps(SMALL), min_size=20, max_size=120))
def test_nobody_is_slowed_while_there_is_memory(history: list[Step]) -> None:
    kernel = world(64 * GIB, LadderSettings(unknown_bytes=MIB))
    for step in history:
        step(kernel)
        assert not kernel.requests, "queued, with all the memory in the world"
    assert not kernel.actions(Freeze)
    assert not kernel.actions(Kill)
    assert not kernel.actions(Limit)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps(BIG), min_size=20, max_size=80))
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
