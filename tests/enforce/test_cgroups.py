"""Actions on real cgroups: the freezer on this machine's hierarchy, memory in the lab."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from agentcgroup.enforce.cgroups import CgroupEnforcer
from agentcgroup.enforce.result import Result
from agentcgroup.kernel.cgroup import Cgroup
from tests.kernel.conftest import Spawn

MIB = 1 << 20
DONE = Result(True)


@pytest.fixture
def enforcer() -> Iterator[CgroupEnforcer]:
    with CgroupEnforcer() as made:
        yield made


def do(action: Awaitable[Result]) -> Result:
    async def run() -> Result:
        return await action

    return asyncio.run(run())


def wait_for_pids(leaf: Cgroup, count: int) -> None:
    until = time.monotonic() + 10
    while len(leaf.procs()) < count:
        assert time.monotonic() < until
        time.sleep(0.002)


def test_freeze_is_confirmed_and_thaw_lets_it_go_on(cgroup: Cgroup, spawn: Spawn, enforcer: CgroupEnforcer) -> None:
    leaf = cgroup.create("leaf")
    for _ in range(3):
        spawn("sh", "-c", "while :; do :; done", into=leaf)
    wait_for_pids(leaf, 3)
    assert do(enforcer.freeze(leaf, timeout_s=10)) == DONE
    assert leaf.read_keyed("cgroup.events")["frozen"] == 1
    assert do(enforcer.freeze(leaf, timeout_s=0)) == DONE  # as it is already
    assert do(enforcer.thaw(leaf, timeout_s=10)) == DONE
    assert leaf.read_keyed("cgroup.events")["frozen"] == 0


def test_a_frozen_call_is_killed_whole(cgroup: Cgroup, spawn: Spawn, enforcer: CgroupEnforcer) -> None:
    leaf = cgroup.create("leaf")
    process = spawn("sh", "-c", "trap '' TERM; setsid sleep 100 & sleep 100", into=leaf)
    wait_for_pids(leaf, 3)
    assert do(enforcer.freeze(leaf, timeout_s=10)) == DONE
    assert do(enforcer.kill(leaf, timeout_s=10)) == DONE
    assert not leaf.populated()
    assert process.wait(10) == -signal.SIGKILL
    assert do(enforcer.kill(leaf)) == DONE


def test_freezing_from_above_is_not_undone_below(cgroup: Cgroup, enforcer: CgroupEnforcer) -> None:
    leaf = cgroup.create("leaf")
    assert do(enforcer.freeze(cgroup, timeout_s=10)) == DONE
    thawed = do(enforcer.thaw(leaf, timeout_s=0.05))
    assert not thawed.done
    assert "above it is frozen" in thawed.why
    assert do(enforcer.thaw(cgroup, timeout_s=10)) == DONE


def test_many_at_once(cgroup: Cgroup, spawn: Spawn, enforcer: CgroupEnforcer) -> None:
    leaves = [cgroup.create(f"c{number:02d}") for number in range(30)]
    for leaf in leaves:
        spawn("sleep", "100", into=leaf)
        wait_for_pids(leaf, 1)

    async def run() -> list[Result]:
        frozen = await asyncio.gather(*(enforcer.freeze(leaf, timeout_s=20) for leaf in leaves))
        return [*frozen, *await asyncio.gather(*(enforcer.kill(leaf, timeout_s=20) for leaf in leaves))]

    assert asyncio.run(run()) == [DONE] * 60


Action = Callable[[CgroupEnforcer, Cgroup], Awaitable[Result]]
ACTIONS: dict[str, Action] = {
    "set_limits": lambda e, c: e.set_limits(c, MIB, MIB, MIB),
    "reclaim": lambda e, c: e.reclaim(c, MIB),
    "freeze": lambda e, c: e.freeze(c),
    "thaw": lambda e, c: e.thaw(c),
    "kill": lambda e, c: e.kill(c),
    "protect": lambda e, c: e.protect(c, MIB, MIB),
}


@pytest.mark.parametrize("name", ACTIONS)
def test_a_cgroup_that_is_gone_is_an_answer(cgroup: Cgroup, enforcer: CgroupEnforcer, name: str) -> None:
    result = do(ACTIONS[name](enforcer, cgroup.child("gone")))
    assert result == DONE if name == "kill" else (not result.done and result.gone)


@pytest.mark.parametrize("name", ["set_limits", "reclaim", "protect"])
def test_a_missing_file_says_what_it_needs(cgroup: Cgroup, enforcer: CgroupEnforcer, name: str) -> None:
    bare = cgroup.create("no-controllers").create("leaf")
    result = do(ACTIONS[name](enforcer, bare))
    assert not result.done
    assert not result.gone
    assert "memory controller" in result.why


# In a mount namespace of its own, in which cgroup v2 is read-only.
READ_ONLY = """
import asyncio, sys
from pathlib import Path
from agentcgroup.enforce.cgroups import CgroupEnforcer
from agentcgroup.errors import HostError
from agentcgroup.kernel import namespace as ns
from agentcgroup.kernel.cgroup import Cgroup
mount, leaf = sys.argv[1], Cgroup(Path(sys.argv[2]))
try:
    ns.unshare(ns.CLONE_NEWNS)
    ns.mount(None, "/", None, ns.MS_REC | ns.MS_PRIVATE)
    ns.mount(mount, mount, None, ns.MS_BIND)
    ns.mount(None, mount, None, ns.MS_BIND | ns.MS_REMOUNT | ns.MS_RDONLY)
except HostError:
    sys.exit(77)
async def run():
    with CgroupEnforcer() as e:
        for action in (e.freeze(leaf), e.thaw(leaf), e.kill(leaf)):
            result = await action
            print(result.done, result.gone, result.why)
asyncio.run(run())
"""


def test_a_read_only_tree_is_an_answer(unified: Path, cgroup: Cgroup) -> None:
    argv = [sys.executable, "-c", READ_ONLY, str(unified), str(cgroup.path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("may not make a mount namespace")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    for line in lines:
        assert line.startswith("False False ")
        assert "read-only" in line


def test_the_loop_goes_on_meanwhile_and_time_is_kept(enforcer: CgroupEnforcer, tmp_path: Path) -> None:
    """A write that blocks: memory.reclaim is a FIFO that nobody reads, in a folder that passes for a cgroup."""
    slow = Cgroup(tmp_path)
    os.mkfifo(slow.path / "memory.reclaim")
    (slow.path / "memory.current").write_text("5000000")

    async def run() -> tuple[Result, int]:
        turns = 0
        task = asyncio.ensure_future(enforcer.reclaim(slow, MIB, timeout_s=0.1))
        while not task.done():
            turns += 1
            await asyncio.sleep(0.01)
        with (slow.path / "memory.reclaim").open("rb"):  # lets the thread go
            return task.result(), turns

    result, turns = asyncio.run(run())
    assert not result.done
    assert "still reclaims" in result.why
    assert turns > 10


def test_what_was_not_begun_is_said_to_be_that(tmp_path: Path) -> None:
    """The only thread is busy."""
    slow = Cgroup(tmp_path)
    os.mkfifo(slow.path / "memory.reclaim")
    (slow.path / "memory.current").write_text("5000000")

    async def run() -> tuple[Result, Result]:
        with CgroupEnforcer(threads=1) as enforcer:
            first = asyncio.ensure_future(enforcer.reclaim(slow, MIB, timeout_s=0.1))
            await asyncio.sleep(0)
            second = await enforcer.set_limits(slow, MIB, None, timeout_s=0.1)
            answers = await first, second
            with (slow.path / "memory.reclaim").open("rb"):  # lets the thread go
                return answers

    first, second = asyncio.run(run())
    assert "still reclaims" in first.why
    assert second.why.startswith("not begun within 0.1 s")
    assert not (slow.path / "memory.high").exists()


# Touches so many MiB, says so, and does what it is told line by line.
HOLD = """
import sys
kept = bytearray(int(sys.argv[1]) << 20)
for at in range(0, len(kept), 4096): kept[at] = 1
print("held", flush=True)
sys.stdin.readline()
"""
READ = """
import sys
chunk = bytearray(1 << 20)
with open(sys.argv[1], "rb", buffering=0) as file:
    while file.readinto(chunk): pass
print("held", flush=True)
sys.stdin.readline()
"""


def holding(spawn: Spawn, leaf: Cgroup, code: str, argument: str) -> subprocess.Popen[bytes]:
    argv = (sys.executable, "-S", "-c", code, argument)
    process = spawn(*argv, into=leaf, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("high", "maximum", "ceiling", "expected"),
    [
        (10, 20, 30, (10, 20)),
        (10, 40, 30, (10, 30)),
        (40, 50, 30, (30, 30)),
        (None, None, 30, (None, 30)),
        (25, None, 30, (25, 30)),
        (None, None, None, (None, None)),
        (25, 20, None, (20, 20)),
    ],
)
def test_limits_stay_below_the_ceiling(
    cgroup: Cgroup,
    enforcer: CgroupEnforcer,
    high: int | None,
    maximum: int | None,
    ceiling: int | None,
    expected: tuple[int | None, int | None],
) -> None:
    def mib(value: int | None) -> int | None:
        return None if value is None else value * MIB

    leaf = cgroup.create("leaf")
    leaf.write("memory.high", 5 * MIB)
    assert do(enforcer.set_limits(leaf, mib(high), mib(maximum), mib(ceiling))) == DONE
    assert (leaf.read_max("memory.high"), leaf.read_max("memory.max")) == (mib(expected[0]), mib(expected[1]))


@pytest.mark.kernel
def test_a_limit_below_what_is_in_use_does_not_kill(cgroup: Cgroup, spawn: Spawn, enforcer: CgroupEnforcer) -> None:
    leaf = cgroup.create("leaf")
    process = holding(spawn, leaf, HOLD, "64")
    leaf.write("memory.max", 200 * MIB)
    result = do(enforcer.set_limits(leaf, 20 * MIB, 32 * MIB, 100 * MIB))
    assert not result.done
    assert "would kill" in result.why
    assert leaf.read_max("memory.high") == 20 * MIB
    assert leaf.read_max("memory.max") == 200 * MIB
    assert process.poll() is None
    assert leaf.read_keyed("memory.events")["oom_kill"] == 0
    assert do(enforcer.set_limits(leaf, None, 100 * MIB, 100 * MIB)) == DONE
    assert leaf.read_max("memory.max") == 100 * MIB


@pytest.mark.kernel
def test_reclaim_gives_back_page_cache(cgroup: Cgroup, spawn: Spawn, enforcer: CgroupEnforcer) -> None:
    leaf = cgroup.create("leaf")
    packages = Path(sysconfig.get_path("platlib"))
    source = max(packages.glob("*polars*/*.so"), key=lambda path: path.stat().st_size)  # any large file that is there
    with source.open("rb") as file:  # pages that somebody else has read already would not count as ours
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    holding(spawn, leaf, READ, str(source))
    before = leaf.read_int("memory.current") or 0
    assert before > 24 * MIB
    result = do(enforcer.reclaim(leaf, 20 * MIB, timeout_s=20))
    assert result == Result(True, bytes=20 * MIB)
    assert before - (leaf.read_int("memory.current") or 0) > 18 * MIB
    partial = do(enforcer.reclaim(leaf, 500 * MIB, timeout_s=20))
    assert partial.bytes < before
    assert "needs swap" in partial.why
    assert do(enforcer.reclaim(leaf, 0)) == DONE


@pytest.mark.kernel
def test_reclaim_finds_nothing_in_a_process_without_swap(
    cgroup: Cgroup, spawn: Spawn, enforcer: CgroupEnforcer
) -> None:
    leaf = cgroup.create("leaf")
    holding(spawn, leaf, HOLD, "32")
    do(enforcer.reclaim(leaf, 500 * MIB, timeout_s=20))  # what there is of page cache
    result = do(enforcer.reclaim(leaf, 8 * MIB, timeout_s=20))
    assert result.bytes < MIB
    assert "needs swap" in result.why


@pytest.mark.kernel
def test_protection_on_every_level(cgroup: Cgroup, enforcer: CgroupEnforcer) -> None:
    """Two sessions: what is above them has what both together need, also when one goes down again."""
    above = cgroup.create("above")
    above.enable(("memory",))
    first, second = above.create("first"), above.create("second")
    assert do(enforcer.protect(first, 30 * MIB, 10 * MIB, (above, cgroup))) == DONE
    assert do(enforcer.protect(second, 20 * MIB, 5 * MIB, (above, cgroup))) == DONE
    for level in (above, cgroup):
        assert (level.read_int("memory.low"), level.read_int("memory.min")) == (50 * MIB, 15 * MIB)
    assert do(enforcer.protect(first, 0, 0, (above, cgroup))) == DONE
    assert (cgroup.read_int("memory.low"), cgroup.read_int("memory.min")) == (20 * MIB, 5 * MIB)


@pytest.mark.kernel
def test_protections_at_once_add_up(cgroup: Cgroup, enforcer: CgroupEnforcer) -> None:
    leaves = [cgroup.create(f"c{number:02d}") for number in range(20)]

    async def run() -> list[Result]:
        return await asyncio.gather(*(enforcer.protect(leaf, MIB, 0, (cgroup,), timeout_s=20) for leaf in leaves))

    assert asyncio.run(run()) == [DONE] * 20
    assert cgroup.read_int("memory.low") == 20 * MIB


@pytest.mark.kernel
def test_protection_that_stops_half_way_says_where(cgroup: Cgroup, unified: Path, enforcer: CgroupEnforcer) -> None:
    leaf = cgroup.create("leaf")
    result = do(enforcer.protect(leaf, MIB, MIB, (cgroup, Cgroup(unified))))
    assert not result.done
    assert "no effect beyond" in result.why
    assert leaf.read_int("memory.low") == MIB
