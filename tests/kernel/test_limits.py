"""Limits and usage with the memory, pids and cpu controllers: these run in the lab."""

import errno
import signal
import sys
import time
from pathlib import Path

import pytest

from agentcgroup.kernel.cgroup import Cgroup, CgroupFileError
from agentcgroup.kernel.psi import PsiTrigger
from agentcgroup.model import Limits, UsageSource
from tests.kernel.conftest import Spawn

pytestmark = pytest.mark.kernel
MIB = 1 << 20
# Touches argv[1] MiB and waits for argv[2] seconds.
HOG = """
import sys, time
size = int(sys.argv[1]) << 20
block = bytearray(size)
block[::4096] = b"x" * (size >> 12)
time.sleep(float(sys.argv[2]))
"""


def test_limits_are_in_their_files(cgroup: Cgroup) -> None:
    leaf = cgroup.create("leaf")
    limits = Limits(
        memory_max_bytes=256 * MIB,
        memory_high_bytes=200 * MIB,
        memory_swap_max_bytes=64 * MIB,
        memory_oom_group=True,
        pids_max=77,
        cpu_weight=50,
    )
    assert leaf.apply(limits) == []
    assert leaf.read_max("memory.max") == 256 * MIB
    assert leaf.read_max("memory.high") == 200 * MIB
    assert leaf.read_max("memory.swap.max") == 64 * MIB
    assert leaf.read_int("memory.oom.group") == 1
    assert leaf.read_max("pids.max") == 77
    assert leaf.read_int("cpu.weight") == 50


def test_a_refused_limit_is_an_error(cgroup: Cgroup) -> None:
    with pytest.raises(CgroupFileError, match="does not accept this value"):
        cgroup.create("leaf").apply(Limits(cpu_weight=20_000))


def test_usage_is_exact_for_a_short_command(cgroup: Cgroup, spawn: Spawn) -> None:
    leaf = cgroup.create("leaf")
    assert spawn(sys.executable, "-S", "-c", HOG, "60", "0", into=leaf).wait() == 0
    usage = leaf.usage()
    assert usage.source is UsageSource.CGROUP
    assert usage.memory_peak_bytes is not None
    assert 60 * MIB <= usage.memory_peak_bytes < 90 * MIB
    assert usage.pids_peak == 1
    assert usage.oom_kill_events == 0
    assert usage.pids_max_events == 0
    assert (usage.cpu_time_us or 0) > 1000


def test_an_oom_takes_the_whole_leaf_and_nobody_else(cgroup: Cgroup, spawn: Spawn) -> None:
    leaf, other = cgroup.create("leaf"), cgroup.create("other")
    assert leaf.apply(Limits(memory_max_bytes=40 * MIB, memory_swap_max_bytes=0, memory_oom_group=True)) == []
    neighbour = spawn("sleep", "100", into=other)
    command = f"sleep 100 & {sys.executable} -S -c '{HOG}' 100 0; exit 0"
    shell = spawn("sh", "-c", command, into=leaf)
    assert shell.wait() == -signal.SIGKILL  # the shell itself goes too, although it used nothing
    assert leaf.wait_empty(5)
    usage = leaf.usage()
    assert (usage.oom_events or 0) >= 1
    assert (usage.oom_kill_events or 0) >= 1
    assert (usage.memory_max_events or 0) >= 1
    assert neighbour.poll() is None


def test_a_fork_bomb_stops_at_pids_max(cgroup: Cgroup, spawn: Spawn) -> None:
    leaf = cgroup.create("leaf")
    leaf.apply(Limits(pids_max=10))
    bomb = "import os, time\nwhile True:\n  try:\n    os.fork() or time.sleep(50)\n  except OSError: break"
    spawn(sys.executable, "-S", "-c", bomb, into=leaf)
    deadline = time.monotonic() + 20
    while not leaf.usage().pids_max_events and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (leaf.usage().pids_max_events or 0) >= 1
    assert leaf.usage().pids_peak == 10
    leaf.kill()
    assert leaf.wait_empty(10)


def test_memory_high_counts_and_psi_tells_that_it_hurts(cgroup: Cgroup, spawn: Spawn) -> None:
    leaf = cgroup.create("leaf")
    leaf.apply(Limits(memory_high_bytes=30 * MIB, memory_swap_max_bytes=0))
    with PsiTrigger(leaf.path / "memory.pressure", "some", 50_000, 1_000_000):
        spawn(sys.executable, "-S", "-c", HOG, "40", "0", into=leaf)
        deadline = time.monotonic() + 20
        while not leaf.usage().memory_high_events and time.monotonic() < deadline:
            time.sleep(0.02)
    usage = leaf.usage()
    assert (usage.memory_high_events or 0) >= 1
    assert (usage.memory_some_us or 0) > 0


def test_processes_and_controllers_exclude_each_other(cgroup: Cgroup, spawn: Spawn) -> None:
    leaf = cgroup.create("leaf")
    process = spawn("sleep", "100", into=leaf)
    while leaf.procs() != [process.pid]:
        time.sleep(0.005)
    with pytest.raises(CgroupFileError, match=rf"processes are in it \(.*{process.pid}") as caught:
        leaf.enable(["memory"])
    assert caught.value.errno == errno.EBUSY
    assert "supervisor" in caught.value.fix
    with pytest.raises(CgroupFileError, match="it may hold no processes"):
        cgroup.attach(process.pid)


def test_cgroup_files_here_are_what_the_features_say(cgroup: Cgroup, unified: Path) -> None:
    leaf = cgroup.create("leaf")
    assert leaf.has("cgroup.kill")
    assert leaf.has("memory.peak")
    assert leaf.has("memory.swap.peak")
    assert Cgroup(unified).controllers() >= {"memory", "pids", "cpu", "io"}
