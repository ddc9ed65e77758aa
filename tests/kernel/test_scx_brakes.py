"""What the scheduler takes from a cgroup: cpu.max, a slowed call, a held one; and what it never holds up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from agentcgroup.kernel import btf
from agentcgroup.kernel.scx import MOST_HOLD_S, Scheduler
from tests.kernel.governed import call_of, cpus, governed, session_cgroup, used_us, wait_until

pytestmark = pytest.mark.kernel

STATE = Path("/sys/kernel/sched_ext/state")
SLOWER = (
    "import sys, time, pathlib; from agentcgroup.kernel.scx import Scheduler; s = Scheduler(); "
    "s.add(pathlib.Path(sys.argv[1])); s.slow(pathlib.Path(sys.argv[2]), 0.02, 600); "
    "print('on', flush=True); time.sleep(600)"
)
# Holds cgroup_mutex, a lock of the kernel, nearly all of the time.
HAMMER = "import os, sys\nwhile True:\n os.mkdir(sys.argv[1]); os.rmdir(sys.argv[1])"


@pytest.fixture
def session() -> Iterator[Path]:
    with session_cgroup("test-scx-brakes") as session:
        yield session


@pytest.fixture
def scheduler(session: Path) -> Iterator[Scheduler]:
    with Scheduler() as scheduler:
        scheduler.add(session)
        yield scheduler
        assert scheduler.ended() is None


def test_cpu_max_of_a_call_and_of_a_session_counts(session: Path, scheduler: Scheduler) -> None:
    one, other = call_of(session, "one"), call_of(session, "other")
    for call in (one, other):
        governed(call)
    (one / "cpu.max").write_text("10000 100000")
    assert cpus(one, 3) == pytest.approx(0.10, abs=0.03)
    assert cpus(other, 1) > 0.4  # nobody else has less for it
    (one / "cpu.max").write_text("max 100000")
    (session / "cpu.max").write_text("30000 100000")
    assert cpus(session, 3) == pytest.approx(0.30, abs=0.06)
    (session / "cpu.max").write_text("max 100000")
    assert cpus(session, 1) > 0.8


def test_cpu_max_that_was_there_before_counts(session: Path) -> None:
    call = call_of(session, "one")
    (call / "cpu.max").write_text("20000 100000")
    with Scheduler() as scheduler:
        scheduler.add(session)
        governed(call)
        assert cpus(call, 3) == pytest.approx(0.20, abs=0.05)


def test_the_calls_of_a_limited_session_share_what_it_has(session: Path, scheduler: Scheduler) -> None:
    calls = [call_of(session, name) for name in ("one", "two", "three")]
    for call in calls:
        governed(call)
    (session / "cpu.max").write_text("40000 100000")
    time.sleep(0.5)
    before = [used_us(call) for call in calls]
    time.sleep(4)
    used = [used_us(call) - then for call, then in zip(calls, before, strict=True)]
    print(used)
    assert min(used) > 0.5 * max(used)


def test_a_slowed_call_has_its_share_and_no_more_though_a_cpu_is_idle(session: Path, scheduler: Scheduler) -> None:
    slow, free = call_of(session, "slow"), call_of(session, "free")
    for call in (slow, slow, slow):
        governed(call)
    scheduler.slow(slow, 0.05, 60)
    time.sleep(0.2)  # what it ran until it was caught is a debt
    assert cpus(slow, 3) == pytest.approx(0.05, abs=0.02)
    governed(free)
    assert cpus(free, 1) > 0.7
    scheduler.release(slow)
    assert cpus(slow, 1) > 0.4
    scheduler.release(slow)  # nothing to do


def test_a_slowed_call_is_free_again_at_its_deadline(session: Path, scheduler: Scheduler) -> None:
    call = call_of(session, "slow")
    governed(call)
    scheduler.slow(call, 0.02, 1.0)
    assert cpus(call, 0.9) < 0.1
    time.sleep(0.15)
    assert cpus(call, 0.5) > 0.7


def test_a_held_call_does_nothing_until_its_time_is_over(session: Path, scheduler: Scheduler) -> None:
    call = call_of(session, "held")
    governed(call)
    time.sleep(0.2)
    begun = time.monotonic()
    scheduler.hold(call, 1.0)
    time.sleep(0.2)
    before = used_us(call)
    while used_us(call) == before:
        time.sleep(0.001)
    assert time.monotonic() - begun == pytest.approx(1.0, abs=0.1)
    assert scheduler.counters().held >= 1


def test_a_slow_call_of_many_processes_is_no_reason_to_end_the_scheduler(session: Path, scheduler: Scheduler) -> None:
    call = call_of(session, "many")
    for _ in range(40):
        governed(call)
    time.sleep(1)
    scheduler.slow(call, 0.01, 60)
    time.sleep(8)  # the kernel's patience is 5 s; each has about 4 ms every 16 s of the share
    assert scheduler.ended() is None
    assert STATE.read_text().strip() == "enabled"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_held_process_that_is_killed_goes_at_once(
    session: Path, scheduler: Scheduler, number: signal.Signals
) -> None:
    call = call_of(session, "held")
    process = governed(call)
    time.sleep(0.2)
    scheduler.hold(call, MOST_HOLD_S)
    time.sleep(0.2)
    begun = time.monotonic()
    process.send_signal(number)
    assert process.wait(5) == -number
    assert time.monotonic() - begun < 0.5


def test_a_held_call_can_be_frozen_and_killed_as_a_whole(session: Path, scheduler: Scheduler) -> None:
    call = call_of(session, "held")
    process = governed(call)
    time.sleep(0.2)
    scheduler.hold(call, MOST_HOLD_S)
    time.sleep(0.2)
    begun = time.monotonic()
    (call / "cgroup.freeze").write_text("1")
    assert wait_until(lambda: "frozen 1" in (call / "cgroup.events").read_text())
    assert time.monotonic() - begun < 0.5
    (call / "cgroup.kill").write_text("1")
    assert process.wait(5) == -signal.SIGKILL


def test_a_handler_of_a_held_process_runs(session: Path, scheduler: Scheduler) -> None:
    call = call_of(session, "held")
    source = "import os, signal\nsignal.signal(signal.SIGUSR1, lambda *_: os._exit(7))\nwhile True: pass"
    process = governed(call, [sys.executable, "-Sc", source])
    time.sleep(1.5)
    scheduler.slow(call, 0.0001, 60)
    time.sleep(0.2)
    process.send_signal(signal.SIGUSR1)
    assert process.wait(5) == 7


def test_a_killed_loader_frees_what_it_slowed(session: Path) -> None:
    call = call_of(session, "slow")
    code = [sys.executable, "-c", SLOWER, str(session), str(call)]
    loader = subprocess.Popen(code, stdout=subprocess.PIPE, text=True)
    assert loader.stdout is not None
    assert loader.stdout.readline() == "on\n"
    governed(call)
    time.sleep(0.3)
    assert cpus(call, 1) < 0.1
    loader.kill()
    loader.wait()
    assert wait_until(lambda: STATE.read_text().strip() == "disabled")
    assert cpus(call, 1) > 0.7


@pytest.mark.parametrize("brake", ["slow", "hold", "freeze"])
def test_nobody_waits_long_for_a_lock_of_the_kernel(session: Path, scheduler: Scheduler, brake: str) -> None:
    """Three processes of a braked call fight for cgroup_mutex, which this process needs, too.

    To park them, the first way that was tried, makes it wait for as long as they are parked. bench.brakes has numbers
    of a calm machine.
    """
    low = call_of(session, "low")
    for number in range(3):
        governed(low, [sys.executable, "-Sc", HAMMER, str(session / f"hammer{number}")])
    assert wait_until(lambda: used_us(low) > 1_000_000, 20)
    if brake == "slow":
        scheduler.slow(low, 0.05, 60)
    elif brake == "hold":
        scheduler.hold(low, 2.0)
    else:
        (low / "cgroup.freeze").write_text("1")
    waits, until = [], time.monotonic() + 1.8
    while (begun := time.monotonic()) < until:
        (session / "mine").mkdir()
        (session / "mine").rmdir()
        waits.append(time.monotonic() - begun)
    print(f"{brake}: {len(waits)} times, worst {max(waits) * 1000:.1f} ms")
    assert max(waits) < 0.3


def test_what_cannot_be_meant_is_refused(session: Path, scheduler: Scheduler) -> None:
    with pytest.raises(ValueError, match="above 0"):
        scheduler.slow(session, 0, 1)
    with pytest.raises(ValueError, match="at most"):
        scheduler.hold(session, MOST_HOLD_S + 1)
    with pytest.raises(FileNotFoundError):
        scheduler.slow(session / "gone", 0.1, 1)
    scheduler.release(session / "gone")
    scheduler.remove(session / "gone")


def test_the_verifier_has_little_to_walk_through(scheduler: Scheduler) -> None:
    found = {name: info.verified_instructions for name, info in scheduler.programs().items()}
    print(found)
    assert all(0 < count < 8000 for name, count in found.items() if name != "sched_init"), found
    assert found["sched_init"] < 20_000, found  # with the sweep of those that wait, a loop


def test_a_task_that_waits_shows_nowhere_as_stopped(session: Path, scheduler: Scheduler) -> None:
    """It is runnable and has its policy: nothing of a brake is left on a process but the time that it has waited."""
    call = call_of(session, "held")
    process = governed(call)
    time.sleep(0.2)
    scheduler.hold(call, 0.5)
    time.sleep(0.2)
    assert Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "R"
    assert os.sched_getscheduler(process.pid) == 7


def test_a_kernel_that_does_not_tell_of_cpu_max_is_asked(session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As before Linux 6.17: the callback is left out, so that the kernel takes the scheduler."""
    found = btf.layouts

    def older(blob: bytes, names: Sequence[str]) -> dict[str, btf.Layout]:
        layouts = found(blob, names)
        del layouts["sched_ext_ops"].members["cgroup_set_bandwidth"]
        return layouts

    monkeypatch.setattr(btf, "layouts", older)
    (session / "cpu.max").write_text("20000 100000")
    call = call_of(session, "one")
    with Scheduler() as scheduler:
        scheduler.add(session)
        governed(call)
        assert cpus(call, 2) == pytest.approx(0.20, abs=0.05)
        (session / "cpu.max").write_text("max 100000")
        assert cpus(call, 1) < 0.3  # it does not hear of it
        scheduler.refresh()
        assert cpus(call, 1) > 0.5
        (session / "cpu.max").write_text("20000 100000")
        scheduler.remove(session)
        scheduler.refresh()
        assert cpus(call, 1) > 0.5
