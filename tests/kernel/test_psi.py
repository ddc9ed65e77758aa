"""Pressure files and triggers, on this machine's kernel."""

import select
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.errors import HostError
from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.psi import Pressure, PsiTrigger, Stall, parse_pressure, read_pressure
from tests.kernel.conftest import Spawn

CPU = Path("/proc/pressure/cpu")


def test_parse() -> None:
    text = "some avg10=1.50 avg60=0.10 avg300=0.05 total=77\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    assert parse_pressure(text) == Pressure(Stall(1.5, 0.1, 0.05, 77), Stall(0, 0, 0, 0))
    assert parse_pressure("some avg10=1.50\nnew total=1\n") == Pressure()


@given(st.text())
def test_odd_text_never_raises(text: str) -> None:
    assert isinstance(parse_pressure(text), Pressure)


def test_read_of_the_machine_and_of_a_cgroup(cgroup: Cgroup) -> None:
    machine = read_pressure(CPU)
    assert machine is not None
    assert machine.some is not None
    own = read_pressure(cgroup.path / "cpu.pressure")
    assert own is not None
    assert own.some == Stall(0, 0, 0, 0)
    assert read_pressure(cgroup.path / "none.pressure") is None


def test_a_pressure_file_that_is_switched_off_reads_as_none(cgroup: Cgroup) -> None:
    if not cgroup.has("cgroup.pressure"):
        pytest.skip("this kernel is older than 6.1")
    cgroup.write("cgroup.pressure", 0)
    assert read_pressure(cgroup.path / "cpu.pressure") is None
    assert cgroup.read("cpu.pressure") is None


def test_a_trigger_fires_for_the_pressure_of_its_cgroup(cgroup: Cgroup, spawn: Spawn) -> None:
    with PsiTrigger(cgroup.path / "cpu.pressure", "some", 100_000, 2_000_000) as trigger:
        poll = select.poll()
        poll.register(trigger, select.POLLPRI)
        assert poll.poll(50) == []
        for _ in range(6):  # more than this machine has idle CPUs: some have to wait
            spawn("sh", "-c", "while :; do :; done", into=cgroup if not cgroup.enabled() else cgroup.create(f"l{_}"))
        assert poll.poll(10_000) == [(trigger.fileno(), select.POLLPRI)]
    assert trigger.fileno() == -1
    trigger.close()


@pytest.mark.parametrize(
    ("kind", "stall", "window", "why"),
    [
        ("some", 1000, 0, "window is out of range"),
        ("some", 1000, 12_000_000, "window is out of range"),
        ("some", 3_000_000, 2_000_000, "stall is not within the window"),
        ("none", 100_000, 2_000_000, "no such line"),
    ],
)
def test_refused_triggers_say_why(kind: str, stall: int, window: int, why: str) -> None:
    with pytest.raises(HostError, match=why):
        PsiTrigger(CPU, kind, stall, window)  # type: ignore[arg-type]


def test_a_trigger_on_nothing() -> None:
    with pytest.raises(HostError, match="PSI is off"):
        PsiTrigger(Path("/proc/pressure/none"), "some", 100_000, 2_000_000)
