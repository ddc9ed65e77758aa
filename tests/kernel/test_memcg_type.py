"""What of memcg_bpf_ops is understood in kernels of no, the first, the newer and an unknown generation."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.errors import HostError
from agentcgroup.kernel import btf, struct_ops
from agentcgroup.kernel.libbpf import BpfError, Obstacle
from agentcgroup.kernel.memcg_ops import PROGRAMS, MemcgOps
from agentcgroup.kernel.memcg_type import CALLBACKS, Generation, may_be_here, understand
from tests.kernel.made_btf import FIRST, NEWER, Types, kernel_with


def test_the_first_generation_delays_and_protects() -> None:
    found = understand(kernel_with(FIRST))
    assert found.generation is Generation.FIRST
    assert found.callbacks == set(FIRST)
    assert (found.delays, found.protects, found.others) == ("get_high_delay_ms", True, ())
    assert str(found) == "memcg_bpf_ops, first generation: delays and protection"


def test_the_newer_generation_delays_where_a_charge_returns_what_cannot_be_an_error() -> None:
    found = understand(kernel_with(NEWER))
    assert found.generation is Generation.NEWER
    assert (found.delays, found.protects, found.others) == ("memcg_charged", True, ("memcg_uncharged",))
    for returns in ("int", "void", "bool"):
        found = understand(kernel_with(NEWER, charged_returns=returns))
        assert (found.delays, found.protects) == ("", True)
    assert str(found) == "memcg_bpf_ops, newer generation: protection; not used: memcg_uncharged"


def test_a_kernel_of_both_is_not_asked_for_two_delays() -> None:
    assert understand(kernel_with((*FIRST, "memcg_charged"))).delays == "get_high_delay_ms"


def test_a_member_that_came_later_is_left_alone_and_said() -> None:
    found = understand(kernel_with((*FIRST, "not_known")))
    assert found.callbacks == set(FIRST)
    assert found.others == ("not_known",)
    assert "not used: not_known" in str(found)


@pytest.mark.parametrize("members", [("not_known",), ("handle_cgroup_online", "memcg_uncharged"), ()])
def test_a_generation_that_can_do_nothing_for_us_is_none(members: tuple[str, ...]) -> None:
    with pytest.raises(BpfError, match="generation that is not known") as caught:
        understand(kernel_with(members))
    assert caught.value.obstacle is Obstacle.NO_BTF
    assert caught.value.fix


def test_without_the_type_the_sentence_says_that_no_release_has_it() -> None:
    with pytest.raises(BpfError, match="no release has"):
        understand(kernel_with(FIRST, name="other_bpf_ops"))


def test_a_name_with_another_prototype_is_not_taken_for_what_it_was() -> None:
    made = Types()
    memcg = made.pointer(made.struct("mem_cgroup", 8, {}))
    yes, number = made.number("_Bool", 1, 4), made.number("int", 4, 1)
    members = {
        "below_low": made.callback(number, memcg),  # an int: three answers, not two
        "below_min": made.callback(yes, number, memcg),  # the cgroup is not the first
        "handle_cgroup_online": memcg,  # no function at all
        "get_high_delay_ms": made.callback(made.const(number), made.const(memcg)),  # the same to a caller
    }
    made.callbacks("memcg_bpf_ops", members)
    found = understand(made.blob())
    assert found.callbacks == {"get_high_delay_ms"}
    assert found.others == ("below_low", "below_min", "handle_cgroup_online")


@given(st.lists(st.sampled_from([*CALLBACKS, "memcg_uncharged", "other"]), unique=True))
def test_any_mixture_is_used_as_far_as_it_goes(members: list[str]) -> None:
    blob = kernel_with(tuple(members))
    try:
        found = understand(blob)
    except BpfError:
        assert not {"below_low", "get_high_delay_ms", "memcg_charged"} & set(members)
        return
    assert found.callbacks == CALLBACKS.keys() & set(members)
    assert {*found.callbacks, *found.others} == set(members)
    assert found.delays or found.protects
    value = struct_ops.value_of(blob, "memcg_bpf_ops", dict.fromkeys(found.callbacks, 7))
    filled = [int.from_bytes(value[at : at + 8], "little") for at in range(64, len(value), 8)]
    assert filled == [7 if name in found.callbacks else 0 for name in members]
    assert not any(value[:64])


@given(st.integers(0, len(kernel_with(FIRST)) - 1), st.integers(0, 255))
def test_damaged_type_information_is_an_answer_or_one_error(place: int, value: int) -> None:
    blob = bytearray(kernel_with(FIRST))
    blob[place] = value
    try:
        understand(bytes(blob))
    except HostError:
        return


def test_a_type_that_nothing_may_implement(tmp_path: Path) -> None:
    made = Types()
    made.callbacks("memcg_bpf_ops", {})
    with pytest.raises(BpfError, match="BPF cannot implement memcg_bpf_ops"):
        struct_ops.value_of(made.blob(), "memcg_bpf_ops", {})


def test_whether_it_may_be_there_is_told_from_the_strings(tmp_path: Path) -> None:
    path = tmp_path / btf.KERNEL_BTF
    path.parent.mkdir(parents=True)
    path.write_bytes(kernel_with(FIRST))
    assert may_be_here(tmp_path) is True
    path.write_bytes(kernel_with(FIRST, name="no_memcg_bpf_ops_here"))
    assert may_be_here(tmp_path) is False
    path.write_bytes(b"\x9f\xeb")
    with pytest.raises(HostError, match="not sound BTF"):
        may_be_here(tmp_path)


def test_every_callback_has_a_program_and_this_kernel_says_why_it_has_no_use_for_them() -> None:
    assert list(PROGRAMS) == list(CALLBACKS)
    if not (Path("/") / btf.KERNEL_BTF).exists():
        pytest.skip("this kernel has no BTF")
    with pytest.raises(BpfError, match="this kernel has no memcg_bpf_ops"):
        MemcgOps()
    for delay in (-1, 2001):
        with pytest.raises(ValueError, match="0 to 2000 ms"):
            MemcgOps(delay_ms=delay)
