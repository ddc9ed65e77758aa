"""What is known of each call, and what is learnt from those that ended."""

from __future__ import annotations

from agentcgroup.controller.cases import Casebook
from agentcgroup.model import Limits, Priority, Usage

MIB = 1 << 20


def book() -> Casebook:
    return Casebook(Limits(), 1024 * MIB, None, 8192 * MIB)


def test_what_waits_is_no_stranger_once_the_same_command_has_ended() -> None:
    cases = book()
    first = cases.open("c1", ("bash", "-c", "pytest tests"), "")
    same = cases.open("c2", ("bash", "-c", "pytest tests"), "")
    other = cases.open("c3", ("bash", "-c", "make all"), "")
    first.begun = True
    assert first.need_bytes is same.need_bytes is None
    cases.close("c1", Usage(memory_peak_bytes=100 * MIB), 2.0)
    assert same.need_bytes is not None
    assert same.need_bytes >= 100 * MIB
    assert other.need_bytes is None


def test_a_declared_need_is_not_replaced_by_what_others_needed() -> None:
    cases = book()
    first = cases.open("c1", ("bash", "-c", "pytest a"), "")
    declared = cases.open("c2", ("bash", "-c", "AGENT_RESOURCE_HINT=memory:300m pytest a"), "")
    first.begun = True
    cases.close("c1", Usage(memory_peak_bytes=10 * MIB), 2.0)
    assert declared.need_bytes == 300 * MIB


def test_what_the_agent_declares_holds_for_commands_that_do_not_inherit_it() -> None:
    cases = Casebook(Limits(), 1024 * MIB, None, 8192 * MIB, "memory:200m,priority:low")
    assert cases.open("c1", ("bash", "-c", "ls"), "").need_bytes == 200 * MIB
    own = cases.open("c2", ("bash", "-c", "AGENT_RESOURCE_HINT=memory:300m ls"), "")
    assert own.need_bytes == 300 * MIB
    assert own.priority is Priority.LOW


def test_problems_of_the_environments_hint_are_told_once_and_those_of_a_command_each_time() -> None:
    cases = book()
    environment = cases.open("c1", ("bash", "-c", "ls"), "memory:lots")
    assert environment.problems
    assert not cases.open("c2", ("bash", "-c", "ls"), "memory:lots").problems
    for call in ("c3", "c4"):
        assert cases.open(call, ("bash", "-c", "AGENT_RESOURCE_HINT=cpu:many ls"), "memory:lots").problems


def test_when_it_will_be_over_by_its_own_word() -> None:
    cases = book()
    declared = cases.open("c1", ("bash", "-c", "AGENT_RESOURCE_HINT=time:2m make"), "")
    assert declared.ends_s(100.0) == 220.0
    declared.frozen.total_s, declared.held.total_s = 10.0, 5.0
    assert declared.ends_s(100.0) == 235.0
    assert cases.open("c2", ("bash", "-c", "make"), "").ends_s(100.0) is None
