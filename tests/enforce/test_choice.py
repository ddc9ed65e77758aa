"""The choice of the enforcer: the best there is, what was asked for, and what is said when that is not there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.enforce.choice import AUTO, ENFORCERS, LAST, choose
from agentcgroup.errors import UsageError

ALL = dict.fromkeys(ENFORCERS)
NO_TYPE = "this kernel has no memcg_bpf_ops"
NO_CAPABILITY = "this process may not load BPF programs"


def test_the_best_is_taken_and_what_is_better_is_accounted_for() -> None:
    assert choose(AUTO, ALL).enforcer == "memcg_bpf"
    choice = choose(AUTO, {**ALL, "memcg_bpf": NO_TYPE})
    assert choice.enforcer == "bpf"
    assert choice.why == f"no memcg_bpf: {NO_TYPE}"


def test_one_reason_is_said_once() -> None:
    choice = choose(AUTO, {"memcg_bpf": NO_TYPE, "scx": NO_CAPABILITY, "bpf": NO_CAPABILITY, "cgroup": None})
    assert choice.enforcer == "cgroup"
    assert choice.why == f"no memcg_bpf: {NO_TYPE}; no bpf or scx: {NO_CAPABILITY}"


def test_one_that_was_asked_for_is_taken_though_a_better_one_is_there() -> None:
    assert [choose(name, ALL).enforcer for name in ENFORCERS] == list(ENFORCERS)


def test_one_that_was_asked_for_and_is_not_there_is_named_with_its_reason_and_no_other() -> None:
    choice = choose("scx", {"memcg_bpf": NO_TYPE, "scx": "another sched_ext scheduler is enabled", "bpf": None})
    assert choice.enforcer == "bpf"
    assert choice.why == "scx was asked for; no scx: another sched_ext scheduler is enabled"


@pytest.mark.parametrize("wanted", [AUTO, *ENFORCERS])
def test_without_anything_the_files_are_left_and_nobody_is_told_that_all_is_well(wanted: str) -> None:
    for available in ({}, dict.fromkeys(ENFORCERS, "no cgroup v2")):
        choice = choose(wanted, available)
        assert choice.enforcer == LAST
        assert choice.why.startswith("no " if wanted == AUTO else f"{wanted} was asked for; no {wanted}: ")


@given(
    st.sampled_from([AUTO, *ENFORCERS]),
    st.dictionaries(st.sampled_from(ENFORCERS), st.none() | st.sampled_from(["a", "b"])),
)
def test_what_cannot_be_had_is_never_chosen_while_something_can(wanted: str, available: dict[str, str | None]) -> None:
    choice = choose(wanted, available)
    offered = [name for name in ENFORCERS if name in available and available[name] is None]
    assert choice.why
    assert choice.enforcer == (wanted if wanted in offered else offered[0] if offered else LAST)


@pytest.mark.parametrize("wanted", ["", "memcg-bpf", "SCX", "bpf,cgroup"])
def test_another_word_is_a_usage_error_that_names_them_all(wanted: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose(wanted, ALL)
    assert all(name in caught.value.fix for name in (AUTO, *ENFORCERS))
