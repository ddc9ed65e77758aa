"""The memcg object, as far as a kernel without memcg_bpf_ops lets it be seen.

Checked here: libbpf finds the type, every member and every field in type information that has them (made, and put in
place of the kernel's), and comes as far as the kernel's own refusal of a type that it does not have; the kernel's
verifier takes every program at another place with the same argument, and there each decides as it should; operations
are given to a kernel and linked by our own code (with those of sched_ext, which it has).

Not checked, as no kernel at hand can: that the kernel registers these operations, whether its verifier lets them
return what they return, that it asks them, and that it links them to one cgroup.
"""

from __future__ import annotations

import json
import mmap
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple
from pathlib import Path

import pytest

from agentcgroup.kernel import btf, struct_ops
from agentcgroup.kernel.bpf import BpfObject
from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.memcg_ops import PROGRAMS, Counters, counters
from agentcgroup.kernel.pressure import Detector
from agentcgroup.model import Priority
from tests.kernel.conftest import Spawn
from tests.kernel.made_btf import FIRST, NEWER, PLACES, kernel_with
from tests.kernel.memcg_elsewhere import Elsewhere

pytestmark = pytest.mark.kernel

_MOUNT = 'mount --bind "$1" /sys/kernel/btf/vmlinux && shift && exec "$@"'
_SECOND = 10**9
LOW, NORMAL, HIGH = Priority.LOW, Priority.NORMAL, Priority.HIGH


def loaded_where(blob: bytes, folder: Path) -> tuple[str, list[str]]:
    """The error and libbpf's words when the object is loaded in a kernel that says to have these types."""
    made = folder / "made.btf"
    made.write_bytes(blob)
    inside = [sys.executable, "-m", "tests.kernel.memcg_job"]
    argv = ["unshare", "--mount", "sh", "-c", _MOUNT, "sh", str(made), *inside]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    return told["error"], told["lines"]


@pytest.mark.parametrize("members", [FIRST, NEWER], ids=["first", "newer"])
def test_all_is_found_in_a_kernel_that_has_the_type_up_to_its_own_refusal(
    members: tuple[str, ...], tmp_path: Path
) -> None:
    error, lines = loaded_where(kernel_with(members), tmp_path)
    text = "\n".join(lines)
    set_to = dict(re.findall(r"func ptr (\w+) is set to prog (\w+) from data", text))
    assert set_to == {member: PROGRAMS[member] for member in members if member in PROGRAMS}
    # Every field that any program reads is patched to where this kernel has it, and none was looked for in vain.
    assert "no matching targets found" not in text
    to = {int(offset) for offset in re.findall(r"patched insn #\d+ \(LDX/ST/STX\) off \d+ -> (\d+)", text)}
    memory, css = PLACES["mem_cgroup"]["memory"], PLACES["cgroup_subsys_state"]
    assert to == {
        PLACES["mem_cgroup"]["css"] + css["cgroup"],
        css["cgroup"],
        PLACES["cgroup"]["self"] + css["parent"],
        PLACES["cgroup"]["kn"],
        PLACES["kernfs_node"]["id"],
        *(memory + place for place in PLACES["page_counter"].values()),
    }
    # ENOTSUPP, from BPF_MAP_CREATE of the operations: the kernel itself does not have the type that its BTF told of.
    assert lines[-2].startswith("libbpf: map 'agentcgroup_memcg': failed to create")
    assert error.endswith("refuses to load memcg.bpf.o: it does not have that")


def test_without_the_type_nothing_is_tried(tmp_path: Path) -> None:
    error, lines = loaded_where(kernel_with(FIRST, name="other_bpf_ops"), tmp_path)
    assert error.startswith("this kernel has no memcg_bpf_ops")
    assert lines == []


# --- The decisions, at a tracepoint -----------------------------------------------------------------------------------


class Sessions:
    """Three sessions, one of each rank, each with a call that has memory, and a cgroup that is in none."""

    def __init__(self, top: Cgroup, spawn: Spawn) -> None:
        self.above = top
        self.top = {rank: top.create(rank.name.lower()) for rank in Priority}
        self.call = {}
        for rank, session in self.top.items():
            session.enable(("memory",))
            self.call[rank] = session.create("calls")
            self.call[rank].enable(("memory",))
            self.call[rank] = self.call[rank].create("call")
            spawn("sleep", "600", into=self.call[rank])
        self.outside = top.create("outside")
        spawn("sleep", "600", into=self.outside)
        every = (*self.call.values(), self.outside)
        while not all(cgroup.read_int("memory.current") for cgroup in every):
            time.sleep(0.01)


@pytest.fixture
def sessions(cgroup: Cgroup, spawn: Spawn) -> Sessions:
    return Sessions(cgroup, spawn)


@pytest.fixture
def run_elsewhere(sessions: Sessions) -> Iterator[Callable[..., Elsewhere]]:
    made: list[Elsewhere] = []

    def start(*programs: str, **settings: object) -> Elsewhere:
        made.append(elsewhere := Elsewhere(programs, **settings))  # type: ignore[arg-type]
        for rank, session in sessions.top.items():
            elsewhere.session(session.path, rank)
        return elsewhere

    yield start
    for elsewhere in made:
        elsewhere.close()


def asked(elsewhere: Elsewhere, cgroup: Cgroup) -> Counters:
    """What the programs decide when the kernel comes by with this cgroup."""
    before = astuple(counters(elsewhere.object))
    cgroup.read("memory.stat")
    return Counters(*(now - then for now, then in zip(astuple(counters(elsewhere.object)), before, strict=True)))


def in_s(seconds: float) -> int:
    return time.monotonic_ns() + int(seconds * _SECOND)


def test_the_rank_that_is_pressed_decides_who_is_delayed_and_who_is_protected(
    sessions: Sessions, run_elsewhere: Callable[..., Elsewhere]
) -> None:
    elsewhere = run_elsewhere("memcg_high_delay", "memcg_below_low", "memcg_below_min", delay_ms=700)

    def seen() -> str:
        """For each rank, and outside: delayed, protected or let alone."""
        letters = ""
        for cgroup in (*sessions.call.values(), sessions.outside):
            now = asked(elsewhere, cgroup)
            assert now.delay_ms == 700 * now.delays
            letters += {(0, 0): ".", (1, 0): "d", (0, 1): "p"}[(now.delays, now.low)]
            assert now.least == 0
        return letters

    assert seen() == "...."
    elsewhere.press(LOW, in_s(60))
    assert seen() == "...."  # nobody is there to give way to it
    elsewhere.press(NORMAL, in_s(60))
    assert seen() == "dpp."
    elsewhere.press(HIGH, in_s(60))
    assert seen() == "ddp."
    elsewhere.press(NORMAL, in_s(-1))
    assert seen() == "ddp."
    elsewhere.press(HIGH, in_s(-1))
    assert seen() == "...."


def test_a_delay_ends_with_the_pressure_and_has_a_bound_of_its_own(
    sessions: Sessions, run_elsewhere: Callable[..., Elsewhere]
) -> None:
    elsewhere = run_elsewhere("memcg_high_delay", delay_ms=100_000)  # more than user space may ask for
    elsewhere.press(HIGH, in_s(3600))
    assert asked(elsewhere, sessions.call[LOW]).delay_ms == 2000
    elsewhere.press(HIGH, in_s(1.5))
    assert 0 < asked(elsewhere, sessions.call[LOW]).delay_ms <= 1500
    time.sleep(1.5)
    assert asked(elsewhere, sessions.call[LOW]).delays == 0


def test_who_uses_no_more_than_its_protected_share_is_not_delayed(
    sessions: Sessions, run_elsewhere: Callable[..., Elsewhere]
) -> None:
    elsewhere = run_elsewhere("memcg_high_delay")
    elsewhere.press(HIGH, in_s(60))
    for file in ("memory.low", "memory.min"):
        sessions.call[LOW].write(file, 64 << 20)
        assert asked(elsewhere, sessions.call[LOW]).delays == 0
        sessions.call[LOW].write(file, mmap.PAGESIZE)
        assert asked(elsewhere, sessions.call[LOW]).delays == 1


def test_the_hard_protection_is_for_little_only(sessions: Sessions, run_elsewhere: Callable[..., Elsewhere]) -> None:
    elsewhere = run_elsewhere("memcg_below_min", least_pages=(64 << 20) // mmap.PAGESIZE)
    elsewhere.press(HIGH, in_s(60))
    assert asked(elsewhere, sessions.call[HIGH]).least == 1
    assert asked(elsewhere, sessions.call[LOW]).least == 0
    less = run_elsewhere("memcg_below_min", least_pages=1)
    less.press(HIGH, in_s(60))
    assert asked(less, sessions.call[HIGH]).least == 0


def test_the_newer_callback_delays_only_where_that_was_understood(
    sessions: Sessions, run_elsewhere: Callable[..., Elsewhere]
) -> None:
    for delays in (False, True):
        elsewhere = run_elsewhere("memcg_charged", charged_delays=delays)
        elsewhere.press(HIGH, in_s(60))
        assert asked(elsewhere, sessions.call[LOW]).delays == delays


def test_the_detector_says_who_is_pressed_without_user_space(
    sessions: Sessions, run_elsewhere: Callable[..., Elsewhere], spawn: Spawn
) -> None:
    with Detector(pressed_s=60) as detector:
        elsewhere = run_elsewhere("memcg_high_delay", pressed=detector.pressed)
        detector.add(sessions.top[HIGH].path, HIGH)
        assert asked(elsewhere, sessions.call[LOW]).delays == 0
        # Files that do not fit into what all sessions may have together.
        sessions.above.write("memory.max", (sessions.above.read_int("memory.current") or 0) + (8 << 20))
        reader = spawn("sh", "-c", "cat /usr/bin/* > /dev/null 2>&1", into=sessions.call[HIGH])
        while not detector.events() and reader.poll() is None:
            time.sleep(0.01)
        assert asked(elsewhere, sessions.call[LOW]).delays == 1


def test_a_cgroup_that_goes_is_forgotten_and_one_that_comes_is_counted(
    sessions: Sessions, run_elsewhere: Callable[..., Elsewhere]
) -> None:
    elsewhere = run_elsewhere("memcg_online", "memcg_offline")
    now = asked(elsewhere, sessions.top[LOW])
    assert now.online >= 1
    assert now.offline >= 1
    assert not elsewhere.knows(sessions.top[LOW].path)
    assert elsewhere.knows(sessions.top[HIGH].path)


# --- The link, with operations that this kernel has -------------------------------------------------------------------


@pytest.mark.parametrize("to_cgroup", [False, True], ids=["machine", "cgroup"])
def test_operations_are_linked_by_our_own_code_and_end_with_the_link(cgroup: Cgroup, to_cgroup: bool) -> None:
    state = Path("/sys/kernel/sched_ext/state")
    blob = btf.read()
    with BpfObject("sched") as sched:
        sched.load()
        members = btf.layouts(blob, ["sched_ext_ops"])["sched_ext_ops"].members
        programs = {name: sched.descriptor(f"sched_{name}") for name in members if f"sched_{name}" in sched.programs}
        value = bytearray(struct_ops.value_of(blob, "sched_ext_ops", programs))
        data = btf.layouts(blob, ["bpf_struct_ops_sched_ext_ops"])["bpf_struct_ops_sched_ext_ops"].members["data"]
        (partial,) = btf.enum_values(blob, "scx_ops_flags", "SCX_OPS_SWITCH_PARTIAL")
        for name, content in (("name", b"test"), ("flags", partial.to_bytes(8, "little"))):
            start = data.offset + members[name].offset
            value[start : start + len(content)] = content
        link = struct_ops.attach(sched.maps["agentcgroup_ops"], bytes(value), cgroup.path if to_cgroup else None)
        try:
            assert state.read_text().strip() == "enabled"
        finally:
            os.close(link)
        until = time.monotonic() + 5
        while state.read_text().strip() != "disabled" and time.monotonic() < until:
            time.sleep(0.01)
        assert state.read_text().strip() == "disabled"
