"""Stalls as signals, and which enforcer there is where the kernel does not let us look."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.cli.run import command
from agentcgroup.controller.detection import Detection, Opened, available, opened, shorts
from agentcgroup.enforce.choice import AUTO, ENFORCERS, Choice
from agentcgroup.kernel.pressure import Stall, Where
from agentcgroup.policy.world import CallId, Short
from tests.conftest import memory_controller

NO_PROGRAMS = {"memcg_bpf": "no such kernel", "scx": "no scheduler", "bpf": "no right", "cgroup": None}


def stall(where: Where, call: str = "c1", agent: bool = False) -> Stall:
    return Stall(1, 2, 3, where, 1, agent, "named-otherwise-in-the-kernel", call)


@pytest.mark.parametrize(
    ("where", "scope"), [(Where.CALLS, "s"), (Where.SESSION, "s"), (Where.ABOVE, None), (Where.HOST, None)]
)
def test_a_stall_is_for_the_room_of_its_session_or_of_the_host(where: Where, scope: str | None) -> None:
    assert shorts([stall(where)], "s") == [Short("s", CallId("s", "c1"), scope)]
    assert shorts([stall(where, "agent", agent=True)], "s") == [Short("s", None, scope)]


def test_a_call_at_its_own_limit_is_nobody_elses_affair() -> None:
    assert shorts([stall(Where.OWN), stall(Where.OWN, "agent", agent=True)], "s") == []


@given(st.lists(st.builds(stall, st.sampled_from(Where), st.sampled_from(("c1", "c2", "c3")), st.booleans())))
def test_each_signal_is_there_once_and_in_the_order_of_the_stalls(stalls: Sequence[Stall]) -> None:
    found = shorts(stalls, "s")
    assert len(found) == len(set(found))
    each = [short for one in stalls for short in shorts([one], "s")]
    assert found == list(dict.fromkeys(each))


def test_without_programs_it_is_cgroup_and_nothing_is_opened() -> None:
    found = opened("auto", NO_PROGRAMS)
    assert (found.choice.enforcer, found.detector) == ("cgroup", None)
    assert "no right" in found.choice.why
    found.close()


@pytest.mark.skipif(memory_controller() and os.geteuid() == 0, reason="this kernel does let us")
def test_what_looked_well_and_is_refused_is_chosen_no_more() -> None:
    found = opened("bpf", {**NO_PROGRAMS, "scx": None, "bpf": None})
    assert (found.choice.enforcer, found.detector) == ("cgroup", None)
    assert found.choice.why.startswith("bpf was asked for; no bpf: ")


def test_the_command_offers_all_enforcers() -> None:
    (option,) = (option for option in command.params if option.name == "enforcer")
    assert isinstance(option.type, click.Choice)
    assert tuple(option.type.choices) == (AUTO, *ENFORCERS)


def test_what_is_asked_for_by_name_is_looked_for_only_if_it_has_to_be() -> None:
    assert available("cgroup", scheduled=False) == {"cgroup": None}
    assert tuple(available("auto", scheduled=False)) == ENFORCERS
    assert available("auto", scheduled=False)["scx"] is not None


def _detection(wanted: str, choice: Choice, elsewhere: list[bool]) -> tuple[list[str], list[str], list[int]]:
    notes: list[str] = []
    said: list[str] = []
    closed: list[int] = []

    async def session() -> None:
        detection = Detection(
            "s",
            wanted,
            lambda: Opened(choice, None, lambda: closed.append(1)),
            elsewhere=lambda: elsewhere.pop() if elsewhere else False,
            submit=lambda signal: None,
            note=notes.append,
            say=said.append,
        )
        detection.start()
        await asyncio.get_running_loop().shutdown_default_executor()
        await asyncio.sleep(0)
        detection.close()

    asyncio.run(session())
    return notes, said, closed


@pytest.mark.parametrize(
    ("wanted", "says"), [("auto", []), ("cgroup", []), ("bpf", ["the enforcer is cgroup: bpf was asked for; no right"])]
)
def test_the_choice_is_recorded_and_the_user_told_only_of_what_was_asked_for(wanted: str, says: list[str]) -> None:
    notes, said, closed = _detection(wanted, Choice("cgroup", "bpf was asked for; no right"), [])
    assert notes == ["cgroup: bpf was asked for; no right"]
    assert said == says
    assert closed == [1]


def test_while_a_daemon_decides_nothing_is_opened() -> None:
    assert _detection("bpf", Choice("bpf", "it was asked for"), [True]) == ([], [], [])
