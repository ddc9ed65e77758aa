"""What has been done can be taken back, and only that."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.daemon.undo import Undo
from agentcgroup.model import Priority
from agentcgroup.policy.world import Action, Admit, CallId, CallState, Freeze, Kill, Limit, Reclaim, Thaw, Tripwire

_CALLS = [CallId("s1", f"c{number}") for number in range(4)]
_sizes = st.none() | st.integers(1, 3)
_calls = st.sampled_from(_CALLS)
_actions = st.one_of(
    st.builds(Freeze, _calls, st.just("")),
    st.builds(Thaw, _calls, st.just("")),
    st.builds(Limit, _calls, _sizes, _sizes, st.just("")),
    st.builds(Reclaim, _calls, st.just(1), st.just("")),
    st.builds(Kill, _calls, st.just(""), st.just("")),
    st.builds(Tripwire, st.just("s1"), _sizes, st.just("")),
)


class _Kernel:
    """What actions do."""

    def __init__(self, limits: list[tuple[int | None, int | None]]) -> None:
        self.tripwire: int | None = None
        self.calls = {
            call: CallState(call, Priority.NORMAL, 0.0, 1, high_bytes=high, max_bytes=most)
            for call, (high, most) in zip(_CALLS, limits, strict=True)
        }

    def carry_out(self, action: Action) -> None:
        if isinstance(action, Tripwire):
            self.tripwire = action.high_bytes
        elif not isinstance(action, Limit | Freeze | Thaw | Kill) or action.id not in self.calls:
            return
        elif isinstance(action, Kill):
            del self.calls[action.id]
        elif isinstance(action, Limit):
            changed = replace(self.calls[action.id], high_bytes=action.high_bytes, max_bytes=action.max_bytes)
            self.calls[action.id] = changed
        else:
            self.calls[action.id] = replace(self.calls[action.id], frozen=isinstance(action, Freeze))


@given(
    st.lists(st.tuples(_sizes, _sizes), min_size=4, max_size=4), st.lists(st.lists(_actions, max_size=4), max_size=6)
)
def test_all_is_as_it_was(limits: list[tuple[int | None, int | None]], batches: list[list[Action]]) -> None:
    kernel, undo = _Kernel(limits), Undo()
    before = dict(kernel.calls)
    for batch in batches:
        undo.note(batch, kernel.calls.values())
        for action in batch:
            kernel.carry_out(action)
        undo.keep(kernel.calls.values())
    for action in undo.take("over"):
        kernel.carry_out(action)
    assert kernel.calls == {call: before[call] for call in kernel.calls}
    assert kernel.tripwire is None
    assert undo.take("again") == ()
    assert len(undo) == 0


def test_limits_of_a_call_that_does_not_run_yet_are_where_it_starts() -> None:
    undo = Undo()
    undo.note([Limit(_CALLS[0], 1, 2, ""), Admit(_CALLS[0])], [])
    assert undo.take("over") == ()


def test_a_call_that_has_ended_is_forgotten() -> None:
    undo = Undo()
    undo.note([Freeze(_CALLS[0], "")], [])
    assert len(undo) == 1
    undo.keep([])
    assert len(undo) == 0
