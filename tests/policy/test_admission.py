"""Who begins, who waits, and for how long."""

from __future__ import annotations

from agentcgroup.model import Priority
from agentcgroup.policy.settings import LadderSettings
from agentcgroup.policy.world import Admit, Refuse
from tests.policy.fake_kernel import GIB, MIB, FakeKernel


def one_session(limit: int = GIB, **settings: float) -> FakeKernel:
    kernel = FakeKernel(16 * GIB, LadderSettings(**settings))  # type: ignore[arg-type]
    kernel.session("s", Priority.NORMAL, limit)
    return kernel


def admitted(kernel: FakeKernel) -> list[str]:
    return [action.id.call for action in kernel.actions(Admit) if isinstance(action, Admit)]


def test_what_fits_begins_at_once_and_what_does_not_waits_for_an_end() -> None:
    kernel = one_session()
    for name in "abcdef":
        kernel.ask("s", name, 200 * MIB)
    assert admitted(kernel) == ["a", "b", "c", "d"]
    kernel.end("s", "b")
    assert admitted(kernel) == ["a", "b", "c", "d", "e"]


def test_an_only_call_never_waits_however_much_it_needs() -> None:
    kernel = one_session()
    kernel.ask("s", "a", 64 * GIB)
    assert admitted(kernel) == ["a"]


def test_a_modest_request_passes_a_big_one_that_waits() -> None:
    kernel = one_session()
    kernel.ask("s", "a", 600 * MIB)
    kernel.ask("s", "big", 600 * MIB)
    kernel.ask("s", "ls", 10 * MIB)
    kernel.ask("s", "second", 200 * MIB)
    assert admitted(kernel) == ["a", "ls"]


def test_higher_priority_goes_first_and_waiting_raises_it() -> None:
    kernel = one_session(ageing_s=1.0)
    kernel.ask("s", "a", 900 * MIB)
    kernel.ask("s", "low", 500 * MIB, Priority.LOW)
    kernel.ask("s", "high", 500 * MIB, Priority.HIGH)
    kernel.end("s", "a")
    assert admitted(kernel) == ["a", "high"]
    kernel = one_session(ageing_s=1.0)
    kernel.ask("s", "a", 900 * MIB)
    kernel.ask("s", "low", 500 * MIB, Priority.LOW)
    kernel.pass_time(5)
    kernel.ask("s", "high", 500 * MIB, Priority.HIGH)
    kernel.end("s", "a")
    assert admitted(kernel) == ["a", "low"]


def test_at_the_deadline_a_few_begin_anyway_and_the_rest_is_refused() -> None:
    kernel = one_session(queue_s=5.0)
    for index in range(9):
        kernel.ask("s", f"c{index}", 900 * MIB)
    kernel.pass_time(6)
    assert len(admitted(kernel)) == 1 + 4
    refused = [action for action in kernel.actions(Refuse) if isinstance(action, Refuse)]
    assert len(refused) == 4
    assert "try again later, or with less at a time" in refused[0].reason


def test_by_setting_the_answer_at_the_deadline_is_a_refusal() -> None:
    kernel = one_session(queue_s=5.0, refuse=True)
    kernel.ask("s", "a", 900 * MIB)
    kernel.ask("s", "b", 900 * MIB)
    kernel.pass_time(6)
    assert admitted(kernel) == ["a"]
    assert len(kernel.actions(Refuse)) == 1


def test_a_stampede_of_unknown_need_goes_in_eighths_until_it_is_known() -> None:
    kernel = one_session(2 * GIB)
    kernel.begin("s", "first", 1 * MIB)
    for index in range(40):
        kernel.ask("s", f"c{index}")
    assert len(admitted(kernel)) == 7
    for index in range(7):
        kernel.grow("s", f"c{index}", 20 * MIB)
    kernel.pass_time(60)
    assert len(admitted(kernel)) == 40, "they turned out to be small"


def test_a_few_calls_of_unknown_need_begin_together() -> None:
    kernel = one_session()
    for index in range(8):
        kernel.ask("s", f"c{index}")
    assert len(admitted(kernel)) == 8


def test_room_that_comes_free_belongs_to_whoever_is_held_for_want_of_it() -> None:
    kernel = FakeKernel(GIB)
    kernel.session("high", Priority.HIGH, None)
    kernel.session("low", Priority.LOW, None)
    kernel.begin("high", "h", 100 * MIB)
    kernel.begin("high", "i", 100 * MIB)
    kernel.pass_time(5)
    for size in range(200, 900, 50):
        kernel.grow("high", "h", size * MIB)
        kernel.pass_time(0.05)
    assert kernel.frozen("high") | kernel.throttled("high")
    kernel.ask("low", "late", 40 * MIB)
    assert "late" not in admitted(kernel)
