"""Event files of real cgroups, watched through one descriptor."""

import asyncio
import os
import select
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.events import Change, EventWatch
from agentcgroup.kernel.hierarchy import find_unified_mount
from tests.kernel.conftest import Spawn

EVENTS = ("cgroup.events",)


def wait_for(watch: EventWatch, seconds: float = 10) -> list[Change]:
    """The first changes that come; empty after ``seconds``."""
    poll = select.poll()
    poll.register(watch, select.POLLIN)
    while poll.poll(seconds * 1000):
        if changes := watch.changes():
            return changes
    return []


def test_reports_what_moved_and_by_how_much(cgroup: Cgroup) -> None:
    leaf, other = cgroup.create("leaf"), cgroup.create("other")
    with EventWatch() as watch:
        assert watch.add(leaf, EVENTS) == EVENTS
        assert watch.add(other, EVENTS, fresh=True) == EVENTS
        assert watch.changes() == []
        leaf.freeze()
        assert wait_for(watch) == [Change(leaf, "cgroup.events", {"frozen": 1})]
        assert watch.values(leaf, "cgroup.events") == {"populated": 0, "frozen": 1}
        leaf.thaw()
        assert wait_for(watch) == [Change(leaf, "cgroup.events", {"frozen": -1})]
        other.freeze()
        assert wait_for(watch) == [Change(other, "cgroup.events", {"frozen": 1})]
        assert watch.changes() == []


def test_what_was_there_before_is_not_news(cgroup: Cgroup, spawn: Spawn) -> None:
    leaf = cgroup.create("leaf")
    leaf.freeze()
    with EventWatch() as watch:
        watch.add(leaf, EVENTS)
        assert watch.values(leaf, "cgroup.events")["frozen"] == 1
        leaf.thaw()
        assert wait_for(watch) == [Change(leaf, "cgroup.events", {"frozen": -1})]


def test_adding_again_keeps_what_is_known(cgroup: Cgroup) -> None:
    leaf = cgroup.create("leaf")
    with EventWatch() as watch:
        watch.add(leaf, EVENTS, fresh=True)
        leaf.freeze()
        watch.add(leaf, EVENTS)
        assert len(watch) == 1
        assert wait_for(watch) == [Change(leaf, "cgroup.events", {"frozen": 1})]


def test_files_that_are_not_offered_are_left_out(cgroup: Cgroup) -> None:
    leaf = cgroup.create("leaf")
    with EventWatch() as watch:
        assert watch.add(leaf, ("none.events", "cgroup.events")) == EVENTS
        assert watch.add(cgroup.child("gone"), ("cgroup.events",)) == ()
        assert len(watch) == 1
        assert watch.values(leaf, "none.events") == {}


def test_removed_means_silent(cgroup: Cgroup) -> None:
    leaf = cgroup.create("leaf")
    with EventWatch() as watch:
        watch.add(leaf, EVENTS)
        leaf.freeze()
        watch.remove(leaf)
        watch.remove(leaf)
        assert wait_for(watch, 0.1) == []
        assert len(watch) == 0
        assert watch.values(leaf, "cgroup.events") == {}


def test_a_cgroup_that_vanishes_with_news_is_told_once(cgroup: Cgroup) -> None:
    leaf = cgroup.create("leaf")
    with EventWatch() as watch:
        watch.add(leaf, EVENTS)
        leaf.freeze()
        leaf.remove()
        assert wait_for(watch) == [Change(leaf, "cgroup.events", {}, gone=True)]
        assert len(watch) == 0
        assert wait_for(watch, 0.05) == []
        again = cgroup.create("leaf")
        watch.add(again, EVENTS, fresh=True)
        again.freeze()
        assert wait_for(watch) == [Change(again, "cgroup.events", {"frozen": 1})]


def test_a_cgroup_that_vanishes_in_silence_is_no_error(cgroup: Cgroup) -> None:
    leaf = cgroup.create("leaf")
    with EventWatch() as watch:
        watch.add(leaf, EVENTS)
        leaf.remove()
        assert wait_for(watch, 0.1) in ([], [Change(leaf, "cgroup.events", {}, gone=True)])  # newer kernels say so
        watch.remove(leaf)
        assert len(watch) == 0


def test_hundreds_at_once_all_arrive(cgroup: Cgroup) -> None:
    leaves = [cgroup.create(f"c{number:04d}") for number in range(700)]
    with EventWatch() as watch:
        for leaf in leaves:
            watch.add(leaf, EVENTS, fresh=True)
        for leaf in leaves:
            leaf.freeze()
        seen: list[Path] = []
        while changes := wait_for(watch, 1 if len(seen) == len(leaves) else 10):
            assert len(changes) <= 512  # others have their turn
            assert all(change.by == {"frozen": 1} for change in changes)
            seen += [change.cgroup.path for change in changes]
    assert sorted(seen) == [leaf.path for leaf in leaves]


def test_more_notices_than_the_kernel_keeps(cgroup: Cgroup) -> None:
    """The queue overflows; then everything is looked at, and nothing is lost."""
    limit = Path("/proc/sys/fs/inotify/max_queued_events")
    kept = limit.read_text()
    if not os.access(limit, os.W_OK):
        pytest.skip("may not set fs.inotify.max_queued_events")
    leaves = [cgroup.create(f"c{number:02d}") for number in range(40)]
    try:
        limit.write_text("8")
        watch = EventWatch()
    finally:
        limit.write_text(kept)
    with watch:
        for leaf in leaves:
            watch.add(leaf, EVENTS, fresh=True)
        for leaf in leaves:
            leaf.freeze()
        seen: set[Path] = set()
        while len(seen) < len(leaves) and (changes := wait_for(watch, 5)):
            seen |= {change.cgroup.path for change in changes}
    assert seen == {leaf.path for leaf in leaves}


def test_an_asyncio_loop_is_called_and_does_not_spin(cgroup: Cgroup) -> None:
    async def run() -> tuple[list[Change], int]:
        turns = 0
        seen: list[Change] = []
        done = asyncio.Event()

        def look() -> None:
            nonlocal turns
            turns += 1
            seen.extend(watch.changes())
            done.set()

        loop = asyncio.get_running_loop()
        loop.add_reader(watch, look)
        leaf.freeze()
        await asyncio.wait_for(done.wait(), 10)
        await asyncio.sleep(0.05)
        loop.remove_reader(watch)
        return seen, turns

    leaf = cgroup.create("leaf")
    with EventWatch() as watch:
        watch.add(leaf, EVENTS)
        seen, turns = asyncio.run(run())
    assert seen == [Change(leaf, "cgroup.events", {"frozen": 1})]
    assert turns <= 2


# In a user namespace of its own, whose limits are nobody else's.
TOO_MANY = """
import sys
from pathlib import Path
from agentcgroup.errors import HostError
from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.events import EventWatch
from agentcgroup.kernel.namespace import CLONE_NEWUSER, unshare
cgroup, limits = Cgroup(Path(sys.argv[1])), Path("/proc/sys/user")
try:
    unshare(CLONE_NEWUSER)
    (limits / "max_inotify_watches").write_text("1")
except (HostError, OSError):
    sys.exit(77)
watch = EventWatch()
assert watch.add(cgroup.child("a"), ("cgroup.events",)) == ("cgroup.events",)
try:
    watch.add(cgroup.child("b"), ("cgroup.events",))
except HostError as error:
    print(error)
assert len(watch) == 1
watch.remove(cgroup.child("a"))
assert watch.add(cgroup.child("b"), ("cgroup.events",)) == ("cgroup.events",)
(limits / "max_inotify_instances").write_text("1")
try:
    EventWatch()
except HostError as error:
    print(error)
"""


def test_too_many_watches_say_what_to_raise(cgroup: Cgroup) -> None:
    cgroup.create("a")
    cgroup.create("b")
    argv = [sys.executable, "-c", TOO_MANY, str(cgroup.path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("no user namespaces here")
    assert done.returncode == 0, done.stderr
    watches, instances = done.stdout.splitlines()
    assert "max_user_watches" in watches
    assert "max_user_instances" in instances


def test_closed_is_closed() -> None:
    watch = EventWatch()
    watch.close()
    watch.close()
    assert watch.fileno() == -1
    assert len(watch) == 0


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["freeze", "thaw", "look"])), max_size=30))
def test_the_changes_add_up(steps: list[tuple[int, str]]) -> None:
    """Whenever one looks, the sum of what was reported is what the files say in the end."""
    mount = find_unified_mount()
    assert mount is not None
    top = Cgroup(mount).create(f"agentcgroup-test-{os.getpid()}-sums", exist_ok=True)
    leaves = [top.create(f"c{number}") for number in range(3)]
    sums = dict.fromkeys(range(3), 0)
    try:
        with EventWatch() as watch:
            for leaf in leaves:
                watch.add(leaf, EVENTS, fresh=True)

            def take(changes: list[Change]) -> None:
                for change in changes:
                    sums[leaves.index(change.cgroup)] += change.by.get("frozen", 0)

            for number, step in steps:
                if step == "look":
                    take(watch.changes())
                else:
                    getattr(leaves[number], step)()
            wanted = {number: leaf.read_keyed("cgroup.events")["frozen"] for number, leaf in enumerate(leaves)}
            while sums != wanted and (changes := wait_for(watch, 2)):
                take(changes)
    finally:
        top.remove_tree()
    assert sums == wanted


@pytest.mark.kernel
def test_counters_of_memory_and_processes(cgroup: Cgroup, spawn: Spawn) -> None:
    """What a call does at its limits, as increases of the counters."""
    leaf = cgroup.create("leaf")
    leaf.write("pids.max", 3)
    leaf.write("memory.high", 28 << 20)
    leaf.write("memory.max", 32 << 20)
    leaf.write("memory.oom.group", 1)
    increases: dict[str, int] = {}
    with EventWatch() as watch:
        assert watch.add(leaf, ("memory.events", "pids.events"), fresh=True) == ("memory.events", "pids.events")
        spawn("sh", "-c", "sleep 9 & sleep 9 & sleep 9 & wait", into=leaf, stderr=-3)
        assert wait_for(watch)[0].by["max"] >= 1
        leaf.kill()
        assert leaf.wait_empty(10)
        leaf.write("pids.max", "max")
        process = spawn(sys.executable, "-S", "-c", "bytearray(64 << 20)", into=leaf)
        while increases.get("oom_kill", 0) < 1 and (changes := wait_for(watch, 30)):
            for change in changes:
                assert min(change.by.values()) > 0
                for key, by in change.by.items():
                    increases[key] = increases.get(key, 0) + by
        process.wait()
    assert increases["high"] >= 1
    assert increases["max"] >= 1
    assert increases["oom_kill"] >= 1
