"""Our scheduler attached below another one (Linux 7.3): what it divides, what it takes, and how either ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcgroup.kernel.libbpf import BpfError
from agentcgroup.kernel.scx import Enabled, Scheduler, enabled
from bench.above import NAME, State, above, attached
from tests.kernel.governed import call_of, cpus, governed, session_cgroup, used_us, wait_until

pytestmark = pytest.mark.kernel

LOADER = (
    "import sys, time, pathlib; from agentcgroup.kernel.scx import Scheduler; "
    "s = Scheduler(pathlib.Path(sys.argv[1])); s.add(pathlib.Path(sys.argv[1])); "
    "print('on', flush=True); time.sleep(600)"
)


@pytest.fixture
def session() -> Iterator[Path]:
    with session_cgroup("test-scx-below") as session:
        yield session


@pytest.fixture
def other() -> Iterator[State]:
    with above() as state:
        yield state


def goes_on(cgroup: Path) -> bool:
    """Whether its tasks run."""
    before = used_us(cgroup)
    return wait_until(lambda: used_us(cgroup) > before + 50_000)


def test_it_divides_the_cpu_that_the_one_above_passes_on(session: Path, other: State) -> None:
    assert enabled() == Enabled(NAME, open=True)
    light, heavy = ([call_of(session, f"{kind}{number}") for number in range(2)] for kind in ("light", "heavy"))
    with Scheduler(session) as scheduler:
        scheduler.add(session)
        assert scheduler.above == NAME
        assert other.granted == 0
        for call, weight in [*((call, 100) for call in light), *((call, 300) for call in heavy)]:
            (call / "cpu.weight").write_text(str(weight))
            governed(call)
        for wanted in (3.0, 1 / 3):
            time.sleep(1)
            before = [[used_us(call) for call in kind] for kind in (light, heavy)]
            time.sleep(3)
            ran = [
                sum(used_us(call) for call in kind) - sum(was) for kind, was in zip((light, heavy), before, strict=True)
            ]
            assert ran[1] / ran[0] == pytest.approx(wanted, rel=0.25)
            for call in light:
                (call / "cpu.weight").write_text("900")  # from now on the other way round
        counters = scheduler.counters()
        assert counters.queued > 100
        assert counters.ran_ns > 4_000_000_000
        assert other.passed_on > 100
        assert scheduler.ended() is None
    assert goes_on(light[0])  # under the one above
    assert enabled() == Enabled(NAME, open=True)
    assert other.exit_kind == 0


def test_it_slows_and_holds_and_limits(session: Path, other: State) -> None:
    one, two = call_of(session, "one"), call_of(session, "two")
    for call in (one, two):
        governed(call)
    with Scheduler(session) as scheduler:
        scheduler.add(session)
        scheduler.slow(one, 0.05, 60)
        assert cpus(one, 3) == pytest.approx(0.05, abs=0.02)
        assert cpus(two, 1) > 0.4
        scheduler.release(one)
        assert goes_on(one)
        scheduler.hold(one, 2.5)
        time.sleep(0.5)
        assert cpus(one, 1) < 0.02
        assert wait_until(lambda: used_us(one) > 0 and cpus(one, 0.2) > 0.2)
        (one / "cpu.max").write_text("10000 100000")
        assert cpus(one, 3) == pytest.approx(0.10, abs=0.03)
        assert scheduler.ended() is None
    assert goes_on(one)


def test_cpu_max_of_the_session_is_asked_for(session: Path, other: State) -> None:
    """The kernel tells a change of it to the one above."""
    (session / "cpu.max").write_text("30000 100000")
    governed(call_of(session, "one"))
    with Scheduler(session) as scheduler:
        scheduler.add(session)
        assert cpus(session, 3) == pytest.approx(0.30, abs=0.06)
        (session / "cpu.max").write_text("10000 100000")
        scheduler.refresh()
        assert cpus(session, 3) == pytest.approx(0.10, abs=0.04)
        (session / "cpu.max").write_text("max 100000")
        scheduler.refresh()
        assert cpus(session, 2) > 0.5
        assert scheduler.ended() is None
    assert other.passed_on > 0


def test_who_lets_none_in_is_named(session: Path) -> None:
    with above(open=False):
        assert enabled() == Enabled(NAME, open=False)
        with pytest.raises(BpfError, match=rf"another sched_ext scheduler \({NAME}\) is enabled and lets none attach"):
            Scheduler(session)
    with above() as other:
        other.refusing = 1
        with pytest.raises(BpfError, match=rf"{NAME} does not let it attach below .*rejected"):
            Scheduler(session)
        with pytest.raises(BpfError, match=rf"another sched_ext scheduler \({NAME}\) is enabled;"):
            Scheduler()  # it is not told of a cgroup
        other.refusing = 0
        with Scheduler(session) as scheduler:
            assert scheduler.ended() is None
    assert wait_until(lambda: enabled() is None)
    with Scheduler(session) as scheduler:
        assert scheduler.above == ""


def test_a_killed_loader_takes_only_ours_along(session: Path, other: State) -> None:
    loader = subprocess.Popen([sys.executable, "-c", LOADER, session], stdout=subprocess.PIPE, text=True)
    assert loader.stdout is not None
    assert loader.stdout.readline() == "on\n"
    call = call_of(session, "one")
    governed(call)
    assert goes_on(call)
    assert attached() == ["agentcgroup"]
    loader.send_signal(signal.SIGKILL)
    loader.wait()
    assert wait_until(lambda: attached() == [])
    assert goes_on(call)
    assert other.exit_kind == 0


def test_one_that_is_ended_goes_alone_and_says_why(session: Path, other: State) -> None:
    call = call_of(session, "one")
    with Scheduler(session) as scheduler:
        scheduler.add(session)
        governed(call)
        assert goes_on(call)
        other.ending = session.stat().st_ino
        assert wait_until(lambda: scheduler.ended() is not None)
        assert f"enough of {session.stat().st_ino}" in str(scheduler.ended())
        assert goes_on(call)
    assert enabled() == Enabled(NAME, open=True)
    assert other.exit_kind == 0


def test_when_the_one_above_goes_ours_goes_and_says_so(session: Path) -> None:
    call = call_of(session, "one")
    with above():
        scheduler = Scheduler(session)
        scheduler.add(session)
        governed(call)
        assert goes_on(call)
    with scheduler:
        assert wait_until(lambda: scheduler.ended() is not None)
        assert str(scheduler.ended())
        assert goes_on(call)
    assert enabled() is None
