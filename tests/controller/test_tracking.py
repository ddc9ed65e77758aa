"""What is kept of the programs of each call: bounded, in order, once each."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.controller.tracking import Programs

NAMES = st.lists(st.sampled_from("abcdefgh") | st.text("xyz/", max_size=3), max_size=60)


@given(NAMES, NAMES)
def test_each_program_once_in_order_and_never_too_many(paths: list[str], earlier: list[str]) -> None:
    programs = Programs()
    for path in paths:
        programs.note(7, path)
        programs.note(8, "/bin/other")
    names = [path.rpartition("/")[2] for path in paths]
    if earlier:
        programs.note_earlier(7, earlier)
    before = [path.rpartition("/")[2] for path in earlier]
    assert programs.take(7) == tuple(dict.fromkeys([*before, *names]))[:32]
    assert programs.take(7) == ()
    assert programs.take(8) == (("other",) if paths else ())


def test_of_too_many_calls_the_first_is_forgotten() -> None:
    programs = Programs()
    for cgroup in range(1025):
        programs.note(cgroup, f"/bin/{cgroup}")
    assert programs.take(0) == ()
    assert programs.take(1) == ("1",)
    assert programs.take(1024) == ("1024",)
