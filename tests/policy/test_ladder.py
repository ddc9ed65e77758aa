"""The rungs of the ladder, one story each, against the tiny kernel."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agentcgroup.errors import UsageError
from agentcgroup.model import Priority
from agentcgroup.policy.ladder import Ladder
from agentcgroup.policy.settings import LadderSettings
from agentcgroup.policy.world import (
    Began,
    CallId,
    CallState,
    Freeze,
    Kill,
    Limit,
    Moved,
    Reclaim,
    SessionState,
    Signal,
    Stalled,
    Thaw,
    Woken,
    World,
)
from tests.policy.fake_kernel import GIB, MIB, FakeKernel


def crowd(*sizes: int, limit: int = GIB, host: int = 16 * GIB) -> FakeKernel:
    """One session whose calls a, b, c … have these sizes and have been there for long."""
    kernel = FakeKernel(host)
    kernel.session("s", Priority.NORMAL, limit)
    for name, size in zip("abcdefgh", sizes, strict=False):
        kernel.begin("s", name, size)
    kernel.pass_time(20)
    return kernel


def test_growth_in_a_tight_session_throttles_whoever_grew_most() -> None:
    kernel = crowd(200 * MIB, 300 * MIB, 100 * MIB)
    kernel.pass_time(1)
    kernel.grow("s", "c", 430 * MIB)
    kernel.tell(Moved("s", None, high=1))
    assert kernel.throttled() == {"c"}
    limit = next(action for action in kernel.actions(Limit) if isinstance(action, Limit))
    assert limit.high_bytes == 430 * MIB
    assert limit.reason == "the calls of the session are short of room"
    assert not kernel.actions(Freeze)


def test_a_stall_turns_the_throttle_into_a_freeze_and_calm_ends_both() -> None:
    kernel = crowd(200 * MIB, 300 * MIB, 100 * MIB)
    kernel.grow("s", "c", 430 * MIB)
    kernel.tell(Moved("s", None, high=1))
    kernel.pass_time(0.3)
    kernel.tell(Stalled("s", 100_000, 500_000))
    assert len(kernel.frozen()) == 1
    frozen = next(iter(kernel.frozen()))
    for name in {"a", "b", "c"} - {frozen}:
        kernel.end("s", name)
    kernel.pass_time(0.5)
    assert not kernel.frozen()
    assert not kernel.throttled()
    assert [type(action) for action in kernel.actions(Thaw)] == [Thaw]


def test_a_freeze_is_soft_while_there_is_some_room_and_hard_from_when_there_is_none() -> None:
    kernel = crowd(200 * MIB, 300 * MIB, 100 * MIB)
    kernel.grow("s", "c", 430 * MIB)
    kernel.tell(Moved("s", None, high=1))
    kernel.pass_time(0.3)
    kernel.tell(Stalled("s", 100_000, 500_000))
    (first,) = kernel.actions(Freeze)
    assert isinstance(first, Freeze)
    assert (first.id.call, first.soft) == ("c", True)
    kernel.grow("s", "b", 380 * MIB)
    kernel.tell(Moved("s", None, high=1))
    again = [action for action in kernel.actions(Freeze) if isinstance(action, Freeze) and action.id == first.id]
    assert [action.soft for action in again] == [True, False]
    for name in ("a", "b"):
        kernel.end("s", name)
    kernel.pass_time(1)
    assert not kernel.frozen()


def test_no_room_at_all_freezes_half_of_them_at_once() -> None:
    kernel = crowd(240 * MIB, 250 * MIB, 250 * MIB, 20 * MIB)
    kernel.grow("s", "d", 260 * MIB)
    kernel.tell(Moved("s", None, high=1))
    assert len(kernel.frozen()) >= 2
    assert not any(action.soft for action in kernel.actions(Freeze) if isinstance(action, Freeze))
    kernel.pass_time(120)
    assert all(action.rule for action in kernel.actions(Kill) if isinstance(action, Kill))


def test_growth_that_would_use_up_the_rest_is_stopped_ahead_of_time() -> None:
    kernel = crowd(300 * MIB, 300 * MIB, 100 * MIB)
    for size in (200, 250, 330):
        kernel.pass_time(0.05)
        kernel.grow("s", "c", size * MIB)
        kernel.tell(Moved("s", None, high=1))
    # 930 of 1024 MiB is tight only; but it grows by 1.4 GiB/s
    assert "c" in kernel.frozen()


def test_a_lone_call_is_left_to_its_own_limit() -> None:
    kernel = crowd(1000 * MIB)
    kernel.tell(Stalled("s", 400_000, 500_000))
    kernel.pass_time(60)
    assert not kernel.actions(Freeze) + kernel.actions(Kill) + kernel.actions(Limit)


def test_a_big_call_of_low_priority_gives_way_to_a_small_one_of_high() -> None:
    kernel = FakeKernel(GIB)
    kernel.session("high", Priority.HIGH, None)
    kernel.session("low", Priority.LOW, None)
    kernel.begin("high", "small", 4 * MIB)
    kernel.begin("low", "hog", 100 * MIB)
    kernel.pass_time(5)
    kernel.grow("low", "hog", 800 * MIB)
    kernel.tell(Stalled(None, 100_000, 500_000))
    kernel.pass_time(0.5)
    assert kernel.frozen("low") == {"hog"}
    assert not kernel.frozen("high")


def test_cache_is_taken_back_from_the_first_victim() -> None:
    kernel = FakeKernel()
    kernel.session("s", Priority.NORMAL, GIB)
    kernel.begin("s", "a", 500 * MIB)
    kernel.begin("s", "b", 480 * MIB, reclaimable=200 * MIB)
    kernel.tell(Stalled("s", 100_000, 500_000))
    reclaimed = [action for action in kernel.actions(Reclaim) if isinstance(action, Reclaim)]
    assert [(action.id.call, action.bytes <= 200 * MIB) for action in reclaimed[:1]] == [("b", True)]


def test_a_kill_comes_last_and_says_why() -> None:
    kernel = crowd(330 * MIB, 330 * MIB, 30 * MIB)
    kernel.grow("s", "c", 350 * MIB)
    for _ in range(20):
        kernel.tell(Stalled("s", 100_000, 500_000))
        kernel.pass_time(0.5)
    kinds = [type(action) for _, action in kernel.log]
    assert Kill in kinds
    assert kinds.index(Freeze) < kinds.index(Kill)
    kill = next(action for action in kernel.actions(Kill) if isinstance(action, Kill))
    assert kill.rule == "session-out-of-room"
    assert "freezing others did not help" in kill.reason


def test_braked_for_good_behind_frozen_ones_is_a_dead_end_that_ends() -> None:
    """High is braked, low is frozen and keeps its memory: without a kill nobody would ever go on."""
    kernel = FakeKernel(2 * GIB)
    kernel.session("high", Priority.HIGH, None)
    kernel.session("low", Priority.LOW, None)
    kernel.begin("high", "h", 300 * MIB)
    kernel.begin("low", "l", 700 * MIB)
    kernel.pass_time(10)
    for size in range(400, 1140, 20):
        kernel.grow("high", "h", size * MIB)
        kernel.tell(Stalled(None, 100_000, 500_000))
        kernel.pass_time(0.02)
    assert kernel.frozen("low") == {"l"}
    for _ in range(4):
        kernel.tell(Stalled(None, 100_000, 500_000))
        kernel.pass_time(0.5)
    assert [action.id.session for action in kernel.actions(Kill) if isinstance(action, Kill)] == ["low"]


def test_a_killed_call_that_takes_its_time_is_left_to_die_and_none_dies_in_its_stead() -> None:
    kernel = crowd(330 * MIB, 330 * MIB, 30 * MIB)
    kernel.slow_death = True
    kernel.grow("s", "c", 350 * MIB)
    while not kernel.actions(Kill):
        kernel.tell(Stalled("s", 100_000, 500_000))
        kernel.pass_time(0.1)
        assert kernel.now_s < 60
    for _ in range(40):  # as long as a call may take: no second kill, nothing done to the first (fake_kernel checks)
        kernel.tell(Stalled("s", 100_000, 500_000))
        kernel.pass_time(0.1)
    assert len(kernel.actions(Kill)) == 1
    for _ in range(100):  # it has survived, somehow: then another must go
        kernel.tell(Stalled("s", 100_000, 500_000))
        kernel.pass_time(0.1)
        kernel.dying.clear()
    assert len(kernel.actions(Kill)) > 1


def test_on_a_full_host_that_stands_still_a_call_is_not_killed_for_the_stalls_of_its_own_brake() -> None:
    kernel = FakeKernel(16 * GIB)
    kernel.session("s", Priority.NORMAL, None)
    kernel.begin("s", "a", 500 * MIB)
    kernel.pass_time(10)
    agent = replace(kernel.sessions["s"], agent_bytes=16 * GIB - 500 * MIB - 600 * MIB)  # less than half of the reserve
    kernel.sessions["s"] = agent
    for _ in range(80):
        kernel.tell(Stalled(None, 100_000, 500_000))
        kernel.pass_time(0.1)
    assert not kernel.actions(Kill)
    for _ in range(20):  # what is left would be gone in 6 s
        agent = replace(agent, agent_bytes=agent.agent_bytes + 10 * MIB)
        kernel.sessions["s"] = agent
        kernel.tell(Stalled(None, 100_000, 500_000))
        kernel.pass_time(0.1)
    assert kernel.actions(Kill)


def test_calls_found_frozen_are_let_go_within_the_bound() -> None:
    """A controller died while it held them; the next one knows nothing of it."""
    kernel = crowd(30 * MIB, 30 * MIB)
    id_ = CallId("s", "a")
    kernel.calls[id_] = replace(kernel.calls[id_], frozen=True)
    kernel.frozen_s[id_] = kernel.now_s
    kernel.policy = Ladder(kernel.settings)
    kernel.tell(Woken())
    kernel.pass_time(1)
    assert not kernel.frozen()


@pytest.mark.parametrize("signal", [Began(CallId("s7", "a")), Moved("s7", None, high=1), Stalled("s7", 0, 500_000)])
def test_without_pressure_only_the_session_of_the_signal_is_looked_at(signal: Signal) -> None:
    """What keeps a decision cheap with thousands of calls: the calls of the others are never gone through."""
    sessions = [session(f"s{index}", index != 7) for index in range(10)]
    world = World(5.0, 64 * GIB, 60 * GIB, tuple(sessions))
    first = Ladder().decide(replace(world, sessions=tuple(session(f"s{index}", False) for index in range(10))), Woken())
    first.policy.decide(replace(world, now_s=5.1), signal)


class Untouchable(tuple[CallState, ...]):
    """Calls that may be counted and not looked at."""

    def __iter__(self) -> object:  # type: ignore[override]
        raise AssertionError("the calls of a session that this is not about were looked at")


def session(name: str, untouchable: bool) -> SessionState:
    calls = (CallState(CallId(name, "a"), Priority.NORMAL, 1.0, 20 * MIB),)
    kept = Untouchable(calls) if untouchable else calls
    return SessionState(name, Priority.NORMAL, 120 * MIB, 2 * GIB, 1800 * MIB, 100 * MIB, kept)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"calm_share": 0.95}, "must rise"),
        ({"hold_s": 30}, "below queue_s"),
        ({"freeze_s": 0}, "must be above 0"),
        ({"stall_share": 1.5}, "from 0 to below 1"),
    ],
)
def test_settings_that_do_not_hold_together_are_refused(wrong: dict[str, float], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        LadderSettings(**wrong)  # type: ignore[arg-type]


def test_before_a_kill_those_that_are_frozen_have_their_turns() -> None:
    kernel = crowd(330 * MIB, 330 * MIB, 30 * MIB)
    kernel.grow("s", "c", 350 * MIB)
    while len(kernel.frozen()) < 2:
        kernel.tell(Stalled("s", 100_000, 500_000))
        kernel.pass_time(0.1)
    (first, second) = kernel.frozen()
    done = len(kernel.log)
    for _ in range(25):
        kernel.tell(Stalled("s", 100_000, 500_000))
        kernel.pass_time(0.5)
        if kernel.actions(Kill):
            break
    turns = [action.id.call for _, action in kernel.log[done:] if isinstance(action, Thaw)]
    assert set(turns) == {first, second}
    assert len(kernel.actions(Kill)) == 1
