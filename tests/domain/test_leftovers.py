"""The rule of what may stay: the cases of its docstring, and a property over any process tree."""

from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.domain.leftovers import Leftover, kept

COMMAND_SID = 100


def test_a_plain_background_process_does_not_stay() -> None:
    assert kept([Leftover(1, 0, COMMAND_SID, False)], COMMAND_SID, False) == frozenset()


def test_nohup_stays_unless_the_command_ignored_hangups_itself() -> None:
    left = [Leftover(1, 0, COMMAND_SID, True)]
    assert kept(left, COMMAND_SID, False) == {1}
    assert kept(left, COMMAND_SID, True) == frozenset()


def test_setsid_stays_with_all_below_it() -> None:
    left = [
        Leftover(3, 2, 2, False),
        Leftover(2, 1, 2, False),
        Leftover(4, 3, COMMAND_SID, False),  # a child that kept the old session id in this contrived list
        Leftover(5, 1, COMMAND_SID, False),
    ]
    assert kept(left, COMMAND_SID, False) == {2, 3, 4}


leftover = st.builds(
    Leftover,
    pid=st.integers(1, 30),
    ppid=st.integers(0, 30),
    sid=st.sampled_from([COMMAND_SID, 7]),
    ignores_hangup=st.booleans(),
)


@given(st.lists(leftover, unique_by=lambda process: process.pid), st.booleans())
def test_children_of_the_kept_are_kept_and_nobody_else(left: list[Leftover], ignored: bool) -> None:
    stay = kept(left, COMMAND_SID, ignored)
    for process in left:
        own = process.sid != COMMAND_SID or (process.ignores_hangup and not ignored)
        assert (process.pid in stay) == (own or (process.ppid in stay and process.ppid != process.pid) or own)
