"""Cgroup on the real unified hierarchy; no controller is needed for any of this."""

import errno
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.errors import CgroupError
from agentcgroup.kernel.cgroup import Cgroup, CgroupFileError, check_name
from agentcgroup.kernel.hierarchy import locate, own_cgroup
from agentcgroup.model import Limits, UsageSource
from tests.kernel.conftest import Spawn


def wait_for_pids(cgroup: Cgroup, count: int) -> list[int]:
    deadline = time.monotonic() + 5
    while len(cgroup.procs()) < count and time.monotonic() < deadline:
        time.sleep(0.005)
    return cgroup.procs()


@pytest.mark.parametrize("name", ["session-1", "c000001", "ä b", "x" * 255, "agent", "memoryless", "a.b"])
def test_names_that_work_are_created_as_they_are(cgroup: Cgroup, name: str) -> None:
    made = cgroup.create(name)
    assert made.path.parent == cgroup.path
    assert made.exists
    assert made in cgroup.children()


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "a/b", "../up", "/abs", "a\0b", "new\nline", ".hidden", "x" * 256, "ä" * 128, "\ud800"),
        *("memory.max", "cgroup.procs", "cpu.weight", "pids.x", "io.latency"),
    ],
)
def test_names_that_could_clash_or_escape_are_refused(cgroup: Cgroup, name: str) -> None:
    with pytest.raises(CgroupError, match="cannot name a cgroup"):
        cgroup.create(name)
    assert cgroup.children() == []


@given(st.text() | st.text("./\0\ud800ma", max_size=4))
def test_a_checked_name_is_one_component_of_its_parent(name: str) -> None:
    try:
        checked = check_name(name)
    except CgroupError:
        return
    path = Path("/top") / checked
    assert path.parent == Path("/top")
    assert os.path.normpath(path) == str(path)


def test_create_twice(cgroup: Cgroup) -> None:
    cgroup.create("a")
    with pytest.raises(CgroupFileError, match="exists already") as caught:
        cgroup.create("a")
    assert caught.value.errno == errno.EEXIST
    assert cgroup.create("a", exist_ok=True).exists


def test_attach_moves_a_process_and_proc_agrees(cgroup: Cgroup, spawn: Spawn) -> None:
    leaf = cgroup.create("leaf")
    process = spawn("sleep", "100")
    assert not cgroup.populated()
    leaf.attach(process.pid)
    assert leaf.procs() == [process.pid]
    assert leaf.threads() == [process.pid]
    assert cgroup.procs() == []
    assert cgroup.populated()
    assert locate(own_cgroup(process.pid)) == leaf.path


def test_attach_of_an_ended_process_says_so(cgroup: Cgroup) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    with pytest.raises(CgroupFileError, match="has ended") as caught:
        cgroup.attach(ended.pid)
    assert caught.value.errno == errno.ESRCH


def test_files_that_are_not_there_read_as_none(cgroup: Cgroup) -> None:
    assert cgroup.read("memory.no_such_file") is None
    assert cgroup.read_int("memory.no_such_file") is None
    assert cgroup.read_keyed("memory.no_such_file") == {}
    gone = cgroup.child("gone")
    assert gone.read("cgroup.procs") is None
    assert gone.procs() == []
    assert gone.children() == []
    assert not gone.exists
    assert not gone.populated()


@pytest.mark.parametrize("file", ["../cgroup.procs", "a/b.c", "plain", ".hidden"])
def test_only_interface_files_are_opened(cgroup: Cgroup, file: str) -> None:
    with pytest.raises(CgroupError, match="not the name of a cgroup interface file"):
        cgroup.read(file)
    with pytest.raises(CgroupError, match="not the name of a cgroup interface file"):
        cgroup.write(file, 1)


def test_write_creates_no_file_and_explains(cgroup: Cgroup) -> None:
    with pytest.raises(CgroupFileError, match="does not exist"):
        cgroup.write("memory.no_such_file", 1)
    with pytest.raises(CgroupFileError, match="does not accept this value"):
        cgroup.write("cgroup.freeze", 7)
    cgroup.write("cgroup.max.descendants", 3)
    assert cgroup.read_max("cgroup.max.descendants") == 3
    cgroup.write("cgroup.max.descendants", "max")
    assert cgroup.read_max("cgroup.max.descendants") is None


def test_too_many_cgroups_names_the_limit(cgroup: Cgroup) -> None:
    cgroup.write("cgroup.max.descendants", 1)
    cgroup.create("one")
    with pytest.raises(CgroupFileError, match=r"raise cgroup\.max\.descendants") as caught:
        cgroup.create("two")
    assert caught.value.errno == errno.EAGAIN


def test_a_controller_that_is_not_there_is_left_out_by_enable_and_explained_by_write(cgroup: Cgroup) -> None:
    leaf = cgroup.create("leaf")
    below = leaf.create("below")
    assert "rdma" not in leaf.enable(["no-such-controller"])
    assert below.enable(["no-such-controller"]) == frozenset()
    with pytest.raises(CgroupFileError, match=r"not delegated to it \(cgroup.controllers: "):
        below.write("cgroup.subtree_control", "+memory")


def test_limits_whose_controller_is_missing_are_named(cgroup: Cgroup) -> None:
    leaf = cgroup.create("leaf").create("deeper")  # nothing is enabled at this level
    limits = Limits(
        memory_max_bytes=1 << 30, memory_high_bytes=1 << 29, memory_oom_group=True, pids_max=5, cpu_weight=50
    )
    assert leaf.apply(limits) == ["memory.oom.group", "pids.max", "cpu.weight", "memory.high", "memory.max"]
    assert leaf.apply(Limits()) == []


def test_usage_without_controllers_has_cpu_time_and_says_so(cgroup: Cgroup, spawn: Spawn) -> None:
    leaf = cgroup.create("leaf").create("deeper")
    burner = spawn("sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done", into=leaf)
    assert burner.wait() == 0
    usage = leaf.usage()
    assert usage.source is UsageSource.CGROUP_CPU
    assert usage.memory_peak_bytes is None
    assert usage.pids_peak is None
    assert usage.cpu_time_us is not None
    assert usage.cpu_time_us > 1000
    assert (usage.cpu_user_us or 0) + (usage.cpu_system_us or 0) == pytest.approx(usage.cpu_time_us, abs=2000)


def test_freeze_is_confirmed_and_stops_the_work(cgroup: Cgroup, spawn: Spawn) -> None:
    leaf = cgroup.create("leaf")
    for _ in range(2):
        spawn("sh", "-c", "while :; do :; done", into=leaf)
    wait_for_pids(leaf, 2)
    assert not leaf.wait_frozen(0.01)
    leaf.freeze()
    assert leaf.wait_frozen(5)
    before = leaf.usage().cpu_time_us
    time.sleep(0.05)
    assert leaf.usage().cpu_time_us == before
    leaf.thaw()
    assert leaf.read_keyed("cgroup.events")["frozen"] == 0
    time.sleep(0.05)
    assert (leaf.usage().cpu_time_us or 0) > (before or 0)


def test_wait_empty_wakes_when_the_last_process_ends(cgroup: Cgroup, spawn: Spawn) -> None:
    leaf = cgroup.create("leaf")
    process = spawn("sleep", "100", into=leaf)
    wait_for_pids(leaf, 1)
    assert not leaf.wait_empty(0.02)
    threading.Timer(0.05, process.kill).start()
    started = time.monotonic()
    assert leaf.wait_empty(10)
    assert time.monotonic() - started < 5
    assert cgroup.child("gone").wait_empty(1)
    assert not cgroup.child("gone").wait_frozen(1)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("way", ["cgroup.kill", "one by one"])
def test_kill_takes_the_whole_tree_with_its_forks(cgroup: Cgroup, spawn: Spawn, way: str, frozen: bool) -> None:
    leaf = cgroup.create("leaf")
    inner = leaf.create("inner")
    parent = spawn("sh", "-c", "for i in 1 2 3 4; do setsid sleep 100 & done; wait", into=leaf)
    deep = spawn("sleep", "100", into=inner)
    wait_for_pids(leaf, 5)
    wait_for_pids(inner, 1)
    if frozen:
        leaf.freeze()
        assert leaf.wait_frozen(5)
    if way == "cgroup.kill":
        leaf.kill()
    else:
        leaf._kill_one_by_one()  # what kernels before 5.14 get
    assert leaf.wait_empty(5)
    assert parent.wait() == deep.wait() == -signal.SIGKILL


def test_the_loop_for_old_kernels_outruns_a_forking_process(cgroup: Cgroup, spawn: Spawn) -> None:
    leaf = cgroup.create("leaf")
    spawn("sh", "-c", "while :; do sleep 0.2 & done", into=leaf)
    wait_for_pids(leaf, 20)
    leaf._kill_one_by_one()
    assert leaf.wait_empty(5)


def test_the_root_of_the_hierarchy_is_never_killed(unified: Path) -> None:
    if (unified / "cgroup.type").exists():
        pytest.skip("this machine shows us a cgroup namespace, not the real root")
    with pytest.raises(CgroupError, match="is the root of the hierarchy"):
        Cgroup(unified).kill()


def test_remove_says_what_is_in_the_way(cgroup: Cgroup, spawn: Spawn) -> None:
    leaf = cgroup.create("leaf")
    process = spawn("sleep", "100", into=leaf)
    wait_for_pids(leaf, 1)
    with pytest.raises(CgroupFileError, match=rf"processes \(.*{process.pid} s(leep|h)") as caught:
        leaf.remove()
    assert caught.value.errno == errno.EBUSY
    with pytest.raises(CgroupFileError, match="cgroups, or processes that end"):
        cgroup.remove()
    process.kill()
    process.wait()
    leaf.remove()
    leaf.remove()  # gone already: nothing to do


def test_remove_tree_kills_and_removes_all(cgroup: Cgroup, spawn: Spawn) -> None:
    top = cgroup.create("top")
    for name in ("a", "b"):
        leaf = top.create(name).create("leaf")
        spawn("sh", "-c", "trap '' TERM; sleep 100 & sleep 100", into=leaf)
        wait_for_pids(leaf, 2)
    assert [c.path.name for c in top.subtree()] == ["leaf", "a", "leaf", "b", "top"]
    started = time.monotonic()
    top.remove_tree()
    assert not top.exists
    assert time.monotonic() - started < 5
    top.remove_tree()


def test_a_thousand_leaves_leave_nothing(cgroup: Cgroup) -> None:
    for number in range(1000):
        leaf = cgroup.create(f"c{number:06d}")
        leaf.remove()
    assert cgroup.children() == []


def test_refusals_name_the_domain_type(cgroup: Cgroup) -> None:
    threaded = cgroup.create("no-controllers").create("threaded")
    threaded.write("cgroup.type", "threaded")
    with pytest.raises(CgroupFileError, match=r"cgroup\.type is 'threaded'") as caught:
        threaded.procs()
    assert caught.value.errno == errno.EOPNOTSUPP
