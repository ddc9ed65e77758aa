"""The scheduler of sessions in a kernel that has sched_ext: who is governed, whose weights count, how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcgroup.errors import HostError
from agentcgroup.kernel import btf
from agentcgroup.kernel.libbpf import BpfError
from agentcgroup.kernel.scx import POLICY, Scheduler, join, leave
from tests.kernel.governed import call_of, governed, session_cgroup, used_us, wait_until

STATE = Path("/sys/kernel/sched_ext/state")
LOADER = (
    "import time; from agentcgroup.kernel.scx import Scheduler; s = Scheduler(); "
    "print('on', flush=True); time.sleep(600)"
)


@pytest.fixture
def session() -> Iterator[Path]:
    """The cgroup of a session, ROOT/test-scx/session, with the CPU controller for its calls."""
    with session_cgroup("test-scx") as session:
        yield session


def burner(session: Path, name: str, weight: int = 100) -> int:
    """A process of a new call that uses a CPU, governed by sched_ext."""
    call = call_of(session, name)
    (call / "cpu.weight").write_text(str(weight))
    return governed(call).pid


def cpu_us(session: Path, call: str) -> int:
    return used_us(session / "calls" / call)


def used_meanwhile(session: Path, each: int) -> tuple[int, int]:
    """What the light and the heavy calls use, in us in three seconds, after one to settle."""

    def used() -> list[int]:
        return [sum(cpu_us(session, f"{kind}{number}") for number in range(each)) for kind in ("light", "heavy")]

    time.sleep(1)
    before = used()
    time.sleep(3)
    light, heavy = (now - then for now, then in zip(used(), before, strict=True))
    return light, heavy


def wait_for(state: str) -> bool:
    return wait_until(lambda: STATE.read_text().strip() == state)


@pytest.mark.skipif(STATE.exists(), reason="this kernel has sched_ext")
def test_without_sched_ext_it_says_what_to_do() -> None:
    with pytest.raises(HostError, match=r"sched_ext.*Linux 6\.12"):
        Scheduler()
    with pytest.raises(HostError, match=r"sched_ext.*Linux 6\.12"):
        join(0)


@pytest.mark.kernel
def test_only_who_joined_is_governed_and_children_are_too(session: Path) -> None:
    with Scheduler() as scheduler:
        scheduler.add(session)
        burners = [burner(session, "a"), burner(session, "b")]
        time.sleep(1)
        counters = scheduler.counters()
        assert scheduler.ended() is None
        assert counters.queued > 0
        assert counters.ran_ns > 100_000_000
        assert [os.sched_getscheduler(pid) for pid in burners] == [POLICY, POLICY]
        assert os.sched_getscheduler(0) == os.SCHED_OTHER
        script = "import os; os._exit(os.sched_getscheduler(0))"
        child = subprocess.Popen([sys.executable, "-Sc", script], preexec_fn=lambda: join(0))
        assert child.wait() == POLICY
        leave(burners[0])
        assert os.sched_getscheduler(burners[0]) == os.SCHED_OTHER
    assert wait_for("disabled")


@pytest.mark.kernel
def test_the_cpu_is_divided_by_the_weights_of_calls_and_a_change_counts(session: Path) -> None:
    cpus = os.cpu_count() or 1
    with Scheduler() as scheduler:
        scheduler.add(session)
        for number in range(cpus):  # as many of each as there are CPUs, so that they must share
            burner(session, f"light{number}", 100)
            burner(session, f"heavy{number}", 300)
        light, heavy = used_meanwhile(session, cpus)
        assert 2.0 < heavy / light < 4.5
        for number in range(cpus):
            (session / "calls" / f"light{number}" / "cpu.weight").write_text("900")
        light, heavy = used_meanwhile(session, cpus)
        assert 2.0 < light / heavy < 4.5
        assert scheduler.ended() is None


@pytest.mark.kernel
def test_a_killed_loader_leaves_nothing_and_its_tasks_run_on(session: Path) -> None:
    loader = subprocess.Popen([sys.executable, "-c", LOADER], stdout=subprocess.PIPE, text=True)
    assert loader.stdout is not None
    assert loader.stdout.readline() == "on\n"
    burner(session, "a")
    assert wait_for("enabled")
    with pytest.raises(BpfError, match=r"another sched_ext scheduler \(agentcgroup\) is enabled.*; have a daemon"):
        Scheduler()
    loader.send_signal(signal.SIGKILL)
    loader.wait()
    assert wait_for("disabled")
    before = cpu_us(session, "a")
    time.sleep(0.5)
    assert cpu_us(session, "a") > before


@pytest.mark.kernel
def test_what_the_kernel_ejects_is_told_with_its_reason(session: Path) -> None:
    with Scheduler() as scheduler:
        scheduler.add(session)
        burner(session, "a")
        time.sleep(0.3)
        Path("/proc/sysrq-trigger").write_text("S")  # the operator's way to get rid of a scheduler
        assert wait_for("disabled")
        end = scheduler.ended()
        assert end is not None
        assert "sysrq" in end.reason.lower()
        before = cpu_us(session, "a")
        time.sleep(0.5)
        assert cpu_us(session, "a") > before


@pytest.mark.kernel
def test_enums_are_read_from_the_running_kernel() -> None:
    blob = btf.read()
    assert btf.enum_values(blob, "scx_ops_flags", "SCX_OPS_SWITCH_PARTIAL", "SCX_OPS_ENQ_LAST") == (8, 2)
    assert btf.enum_values(blob, "scx_dsq_id_flags", "SCX_DSQ_LOCAL")[0] >> 63 == 1
    with pytest.raises(HostError, match="SCX_NO_SUCH_THING"):
        btf.enum_values(blob, "scx_ops_flags", "SCX_NO_SUCH_THING")


@pytest.mark.kernel
def test_who_is_moved_counts_where_it_is_now(session: Path) -> None:
    """Two sessions alike; the processes of one are moved to their calls while they run, as the tracker does it."""
    cpus = os.cpu_count() or 1
    with session_cgroup("test-scx-other") as other, Scheduler() as scheduler:
        scheduler.add(session)
        scheduler.add(other)
        pids = [burner(session, f"first{number}") for number in range(cpus)]
        for number in range(cpus):
            burner(other, f"stays{number}")
        for times in range(3):
            for number, pid in enumerate(pids):
                time.sleep(0.05)
                (call_of(session, f"moved{times}-{number}") / "cgroup.procs").write_text(str(pid))
        before = used_us(session), used_us(other)
        time.sleep(3)
        moved, stayed = used_us(session) - before[0], used_us(other) - before[1]
        assert scheduler.ended() is None
    assert 0.75 < moved / stayed < 1.33
