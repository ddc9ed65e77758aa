"""What a host seems to offer, on made-up hosts that lack one thing each, and in the lab."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentcgroup.enforce.choice import AUTO, ENFORCERS, choose
from agentcgroup.enforce.offers import offers
from tests.kernel.hosts import UNIFIED_LINE, make_host
from tests.kernel.made_btf import FIRST, kernel_with

RW = UNIFIED_LINE.format(options="rw")
BTF, STATUS, STATE = "sys/kernel/btf/vmlinux", "proc/self/status", "sys/kernel/sched_ext/state"
OPS, BELOW = "sys/kernel/sched_ext/root/ops", "sys/kernel/sched_ext/root/sub"
ROOT, USER = "CapEff:\t000001ffffffffff\n", "CapEff:\t0000000000000000\n"
OTHER = kernel_with(FIRST, name="other_bpf_ops")


def test_without_cgroups_nothing_is_offered_and_all_say_the_same(tmp_path: Path) -> None:
    found = offers(make_host(tmp_path))
    assert set(found) == set(ENFORCERS)
    assert {why for why in found.values() if why is not None} == {found["cgroup"]}
    assert "not mounted" in str(found["cgroup"])


def test_a_user_has_the_files_and_is_told_what_programs_need(tmp_path: Path) -> None:
    found = offers(make_host(tmp_path, mountinfo=RW, files={BTF: OTHER, STATUS: USER, STATE: "disabled\n"}))
    assert found["cgroup"] is None
    assert found["scx"] == found["bpf"]
    assert "CAP_BPF and CAP_PERFMON" in str(found["bpf"])
    assert "no release has" in str(found["memcg_bpf"])  # not what could be mended in vain
    choice = choose(AUTO, found)
    assert choice.enforcer == "cgroup"
    assert choice.why.startswith("no memcg_bpf: this kernel has no memcg_bpf_ops")
    assert "no bpf or scx: this process may not load" in choice.why


def test_capabilities_in_a_user_namespace_do_not_count(tmp_path: Path) -> None:
    found = offers(make_host(tmp_path, mountinfo=RW, files={BTF: OTHER, STATUS: ROOT, "proc/self/ns/user": ""}))
    assert "user namespace" in str(found["bpf"])


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "this kernel has no sched_ext"),
        ({STATE: "enabled\n", OPS: "lavd\n"}, "another sched_ext scheduler (lavd) is enabled and lets none attach"),
        ({STATE: "enabling\n"}, "another sched_ext scheduler (?) is enabled"),
        ({STATE: "enabled\n", OPS: "qmap\n", f"{BELOW}/one/ops": "x\n"}, "this process may not load BPF programs"),
    ],
)
def test_a_scheduler_needs_a_kernel_that_has_no_other_or_one_that_lets_it_in(
    tmp_path: Path, files: dict[str, str], says: str
) -> None:
    found = offers(make_host(tmp_path, mountinfo=RW, files={BTF: OTHER, STATUS: USER, **files}))
    assert str(found["scx"]).startswith(says)


def test_a_kernel_that_has_the_type_is_asked_for_the_rest(tmp_path: Path) -> None:
    found = offers(make_host(tmp_path, mountinfo=RW, files={BTF: kernel_with(FIRST), STATUS: USER}))
    assert "may not load BPF programs" in str(found["memcg_bpf"])


@pytest.mark.parametrize("content", [b"", b"\x9f\xeb", None])
def test_an_odd_host_is_an_answer(tmp_path: Path, content: bytes | None) -> None:
    make_host(tmp_path, mountinfo=RW, files={STATUS: USER})
    path = tmp_path / BTF
    path.parent.mkdir(parents=True)
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    found = offers(tmp_path)
    assert found["cgroup"] is None
    assert found["memcg_bpf"]
    assert found["bpf"]


@pytest.mark.kernel
def test_the_lab_offers_all_but_what_no_kernel_has() -> None:
    found = offers()
    assert {name for name, why in found.items() if why is None} == {"scx", "bpf", "cgroup"}
    assert "no release has" in str(found["memcg_bpf"])
