"""What waits for the policy is merged without loss."""

from __future__ import annotations

from agentcgroup.daemon.pending import Pending
from agentcgroup.policy.world import Asked, Began, CallId, Ended, Moved, Short, Stalled, Woken


def _call(number: int, session: str = "s1") -> CallId:
    return CallId(session, f"c{number}")


def test_counters_are_summed_up() -> None:
    pending = Pending()
    for _ in range(3):
        pending.add(Moved("s1", _call(1), high=2, oom_kill=1))
        pending.add(Moved("s1", None, max=1))
    assert pending.take() == [Moved("s1", _call(1), high=6, oom_kill=3), Moved("s1", None, max=3)]
    assert not pending


def test_the_worst_stall_of_a_place_is_kept() -> None:
    pending = Pending()
    for signal in (Stalled(None, 1, 10), Stalled(None, 50, 100), Stalled(None, 2, 10), Stalled("s1", 1, 10)):
        pending.add(signal)
    assert pending.take() == [Stalled(None, 50, 100), Stalled("s1", 1, 10)]


def test_a_task_that_stalls_comes_before_all_and_once() -> None:
    pending = Pending()
    short, other = Short("s1", _call(1), None), Short("s2", None, "s2")
    for signal in (Moved("s1", None, high=1), short, other, short):
        pending.add(signal)
    assert pending.take() == [short, other, Moved("s1", None, high=1)]
    assert not pending
    pending.add(short)
    pending.add(other)
    pending.drop("s1")
    assert pending.take() == [other]


def test_harm_comes_first_and_the_rest_in_order() -> None:
    pending = Pending()
    for signal in (Asked(_call(1)), Woken(), Woken(), Ended(_call(2)), Moved("s1", None, high=1)):
        pending.add(signal)
    assert pending.take() == [Moved("s1", None, high=1), Asked(_call(1)), Woken(), Ended(_call(2))]


def test_of_a_crowd_every_call_that_began_is_told() -> None:
    pending = Pending()
    for number in range(50):
        for signal in (Asked(_call(number)), Began(_call(number)), Ended(_call(number))):
            pending.add(signal)
    assert pending.take() == [*(Began(_call(number)) for number in range(50)), Woken()]


def test_a_session_that_has_left_says_nothing_any_more() -> None:
    pending = Pending()
    for session in ("s1", "s2"):
        pending.add(Asked(_call(1, session)))
        pending.add(Moved(session, None, high=1))
        pending.add(Stalled(session, 1, 10))
    pending.drop("s1")
    assert pending.take() == [Moved("s2", None, high=1), Stalled("s2", 1, 10), Asked(_call(1, "s2"))]
