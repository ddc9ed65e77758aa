"""The detector on a real kernel: who is told of as stalling for memory, for want of whose room, and who is not."""

from __future__ import annotations

import itertools
import select
import struct
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.kernel import libbpf
from agentcgroup.kernel.bpf import BpfObject
from agentcgroup.kernel.bpf_info import loaded_programs
from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.meminfo import read_meminfo
from agentcgroup.kernel.pressure import Detector, Stall, Where, stall
from agentcgroup.model import Priority
from tests.kernel.conftest import Spawn

kernel = pytest.mark.kernel
MIB = 1 << 20
_PATIENCE_S = 60.0  # the lab is emulated
CONTROLLERS = ("memory", "pids", "cpu")
PROGRAMS = {"pressure_limit", "pressure_host"}


@dataclass
class Watched:
    """A session with two calls, all that was told of it so far, and what runs in it."""

    session: Cgroup
    detector: Detector
    spawn: Spawn
    stalls: list[Stall] = field(default_factory=list)

    @property
    def calls(self) -> Cgroup:
        return self.session.child("calls")

    @property
    def call(self) -> Cgroup:
        return self.calls.child("c000001")

    def fill(self, cgroup: Cgroup, mib: int) -> subprocess.Popen[bytes]:
        """Something that takes so much memory and gives it back. The first to go when the kernel has to kill."""
        script = f"echo 1000 > /proc/self/oom_score_adj; head -c {mib}m /dev/zero | tail -c {mib}m > /dev/null"
        return self.spawn("sh", "-c", script, into=cgroup)

    def look(self) -> list[Stall]:
        self.stalls += self.detector.events()
        return self.stalls

    def until_told(self) -> Stall:
        """The first stall, which has to come."""
        deadline = time.monotonic() + _PATIENCE_S
        while not self.look():
            assert time.monotonic() < deadline, self.detector.counters()
            select.select([self.detector], [], [], 0.1)
        return self.stalls[0]

    def told_of(self, process: subprocess.Popen[bytes]) -> list[Stall]:
        """All stalls until the process has ended."""
        while process.poll() is None:
            self.look()
            time.sleep(0.01)
        return self.look()

    def where(self) -> set[tuple[str, Where]]:
        return {(stall.call_name, stall.where) for stall in self.look()}


@pytest.fixture
def session(cgroup: Cgroup) -> Cgroup:
    cgroup.create("agent")
    calls = cgroup.create("calls")
    calls.enable(CONTROLLERS)
    calls.create("c000001")
    calls.create("c000002")
    return cgroup


@pytest.fixture
def watched(session: Cgroup, spawn: Spawn) -> Iterator[Watched]:
    with Detector() as detector:
        detector.add(session.path, Priority.HIGH)
        yield Watched(session, detector, spawn)


def number(cgroup: Cgroup) -> int:
    return cgroup.path.stat().st_ino


@kernel
@pytest.mark.parametrize("limit", ["memory.max", "memory.high"])
def test_a_call_at_its_own_limit_is_told_with_its_names(watched: Watched, limit: str) -> None:
    before_ns = time.monotonic_ns()
    watched.call.write(limit, 40 * MIB)
    watched.fill(watched.call, 60)
    first = watched.until_told()
    assert first.where is Where.OWN
    assert (first.session, first.session_name) == (number(watched.session), watched.session.path.name)
    assert (first.call, first.call_name) == (number(watched.call), "c000001")
    assert (first.agent, first.count) == (False, 1)
    assert before_ns < first.at_ns < time.monotonic_ns()


@kernel
@pytest.mark.parametrize("limit", ["memory.max", "memory.high"])
def test_calls_that_do_not_fit_together_are_told_of_the_room_that_they_share(watched: Watched, limit: str) -> None:
    watched.calls.write(limit, 80 * MIB)
    for name in ("c000001", "c000002"):
        watched.fill(watched.calls.child(name), 60)
    assert watched.until_told().where is Where.CALLS
    assert watched.where() <= {("c000001", Where.CALLS), ("c000002", Where.CALLS)}


@kernel
def test_the_agent_is_told_of_and_is_no_call(watched: Watched) -> None:
    watched.session.write("memory.max", 40 * MIB)
    watched.fill(watched.session.child("agent"), 60)
    first = watched.until_told()
    assert (first.agent, first.call_name, first.where) == (True, "agent", Where.SESSION)
    assert first.call == number(watched.session.child("agent"))


@kernel
def test_a_limit_around_the_session_and_one_inside_the_call(cgroup: Cgroup, spawn: Spawn) -> None:
    session = cgroup.create("inner")
    session.enable(CONTROLLERS)
    calls = session.create("calls")
    calls.enable(CONTROLLERS)
    call = calls.create("c000007")
    call.enable(CONTROLLERS)
    nested = call.create("container").path
    with Detector() as detector:
        detector.add(session.path, Priority.LOW)
        watched = Watched(session, detector, spawn)
        nested.joinpath("memory.max").write_text(str(30 * MIB))
        watched.told_of(watched.fill(Cgroup(nested), 40))
        assert watched.where() == {("c000007", Where.OWN)}
        nested.joinpath("memory.max").write_text("max")
        cgroup.write("memory.max", 30 * MIB)
        watched.stalls.clear()
        watched.told_of(watched.fill(Cgroup(nested), 40))
        assert watched.where() == {("c000007", Where.ABOVE)}


@kernel
@pytest.mark.skipif(read_meminfo().total_bytes > 2 << 30, reason="takes minutes: agentcgroup lab run --memory 1g")
def test_the_host_out_of_memory(watched: Watched) -> None:
    watched.fill(watched.call, (read_meminfo().total_bytes + 64 * MIB) // MIB)
    first = watched.until_told()
    watched.session.kill()
    assert (first.where, first.call_name) == (Where.HOST, "c000001")


@kernel
def test_page_faults_with_room_are_no_stalls(watched: Watched) -> None:
    process = watched.fill(watched.call, 150)
    assert watched.told_of(process) == []
    assert process.returncode == 0
    assert watched.detector.counters().stalls == 0


@kernel
def test_files_that_are_read_with_room_are_no_stalls(watched: Watched) -> None:
    file = max(Path(sysconfig.get_path("purelib")).glob("*/*.so"), key=lambda path: path.stat().st_size)
    for _ in range(2):  # from the disk, from the cache
        assert watched.told_of(watched.spawn("sh", "-c", f"cat {file} > /dev/null", into=watched.call)) == []


@kernel
def test_what_is_no_session_is_counted_and_not_told(watched: Watched, unified: Path) -> None:
    outside = Cgroup(unified).create(f"{watched.session.path.name}-outside")
    try:
        outside.write("memory.max", 30 * MIB)
        assert watched.told_of(watched.fill(outside, 40)) == []
        assert watched.detector.counters().others > 0
    finally:
        outside.remove_tree(10)
    watched.detector.remove(watched.session.path)
    watched.call.write("memory.max", 30 * MIB)
    assert watched.told_of(watched.fill(watched.call, 40)) == []
    assert watched.detector.counters().stalls == 0
    watched.detector.remove(Path("/sys/fs/cgroup/nowhere"))


@kernel
def test_the_first_stall_is_told_at_once_and_the_others_by_their_number(session: Cgroup, spawn: Spawn) -> None:
    with Detector(every_s=0.05) as detector:
        detector.add(session.path, Priority.LOW)
        watched = Watched(session, detector, spawn)
        watched.call.write("memory.high", 40 * MIB)
        watched.told_of(watched.fill(watched.call, 44))
        counters = detector.counters()
    times = [stall.at_ns for stall in watched.stalls]
    assert len(times) > 3
    gaps = sorted(later - earlier for earlier, later in itertools.pairwise(sorted(times)))
    assert gaps[1] >= 50_000_000  # two tasks may find at once that it is time
    told = sum(stall.count for stall in watched.stalls)
    assert watched.stalls[0].count == 1
    assert (counters.told, counters.lost) == (len(times), 0)
    assert len(times) < told <= counters.stalls


@kernel
def test_stalls_without_room_in_the_ring_are_counted(session: Cgroup, spawn: Spawn) -> None:
    with Detector(every_s=0, ring_bytes=4096) as detector:
        detector.add(session.path, Priority.LOW)
        watched = Watched(session, detector, spawn)
        watched.call.write("memory.max", 40 * MIB)
        watched.fill(watched.call, 60).wait()
        counters = detector.counters()
        assert counters.lost > 0
        assert len(watched.look()) == counters.told == counters.stalls - counters.lost


@kernel
def test_a_rank_is_pressed_when_it_is_short_of_what_sessions_share(cgroup: Cgroup, spawn: Spawn) -> None:
    session = cgroup.create("inner")
    session.enable(CONTROLLERS)
    calls = session.create("calls")
    calls.enable(CONTROLLERS)
    calls.create("c000001")
    with Detector(pressed_s=60) as detector:

        def pressed() -> set[Priority]:
            values = {rank: detector.pressed.get(int(rank).to_bytes(4, sys.byteorder)) or b"" for rank in Priority}
            return {rank for rank in Priority if int.from_bytes(values[rank], sys.byteorder) > time.monotonic_ns()}

        watched = Watched(session, detector, spawn)
        detector.add(session.path, Priority.LOW)
        watched.call.write("memory.max", 30 * MIB)
        assert watched.told_of(watched.fill(watched.call, 40))
        assert pressed() == set(), "its own limit is nobody else's affair"
        watched.call.write("memory.max", "max")
        cgroup.write("memory.max", 30 * MIB)
        watched.told_of(watched.fill(watched.call, 40))
        assert pressed() == {Priority.LOW}
        detector.add(session.path, Priority.NORMAL)
        watched.told_of(watched.fill(watched.call, 40))
        assert pressed() == {Priority.LOW, Priority.NORMAL}


@kernel
def test_a_program_without_its_place_in_the_kernel_is_left_out(
    session: Cgroup, spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BpfObject("pressure") as opened:
        assert all(opened.has_target(program) for program in PROGRAMS)
    there = {"pressure_limit"}
    monkeypatch.setattr(BpfObject, "has_target", lambda self, program: program in there)
    with Detector() as detector:
        assert set(detector.programs()) == there
        detector.add(session.path, Priority.LOW)
        watched = Watched(session, detector, spawn)
        watched.call.write("memory.max", 30 * MIB)
        assert watched.told_of(watched.fill(watched.call, 40))
    there.clear()
    with pytest.raises(libbpf.BpfError, match="none of the functions in which tasks stall"):
        Detector()


@kernel
def test_the_verifier_has_little_to_walk_through(watched: Watched) -> None:
    found = {name: info.verified_instructions for name, info in watched.detector.programs().items()}
    print(found)
    assert set(found) == PROGRAMS
    assert all(0 < count < 6000 for count in found.values()), found


def _loaded() -> set[str]:
    return {info.name for info in loaded_programs(libbpf.load())} & PROGRAMS


def _wait_unloaded() -> None:
    deadline = time.monotonic() + 5
    while _loaded() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _loaded() == set()


@kernel
def test_nothing_is_left_when_the_loader_is_killed(session: Cgroup) -> None:
    _wait_unloaded()
    code = "import sys, time, pathlib; from agentcgroup.kernel.pressure import Detector\n"
    code += "detector = Detector(); detector.add(pathlib.Path(sys.argv[1]), 2); print(flush=True); time.sleep(600)"
    loader = subprocess.Popen([sys.executable, "-c", code, str(session.path)], stdout=subprocess.PIPE)
    assert loader.stdout is not None
    loader.stdout.readline()
    assert _loaded() == PROGRAMS
    loader.kill()
    loader.communicate()
    _wait_unloaded()


@kernel
def test_a_closed_detector_can_be_closed_again_and_opened_anew(session: Cgroup, spawn: Spawn) -> None:
    detector = Detector()
    detector.close()
    detector.close()
    with Detector() as again:
        again.add(session.path, Priority.LOW)
        watched = Watched(session, again, spawn)
        watched.call.write("memory.max", 30 * MIB)
        assert watched.told_of(watched.fill(watched.call, 40))


@kernel
def test_without_the_capability_one_sentence_says_so() -> None:
    code = "from agentcgroup.kernel import libbpf, pressure\n"
    code += "try: pressure.Detector()\nexcept libbpf.BpfError as error: print(error.obstacle); print(error)"
    argv = ["setpriv", "--bounding-set=-sys_admin,-bpf,-perfmon", sys.executable, "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    obstacle, sentence = done.stdout.splitlines()
    assert obstacle == "no-capability"
    assert "CAP_BPF" in sentence


@given(
    st.sampled_from(Where), st.integers(0, 2**64 - 1), st.integers(1, 2**32 - 1), st.booleans(), st.binary(max_size=71)
)
def test_a_record_is_read_as_it_was_written(where: Where, at: int, count: int, agent: bool, name: bytes) -> None:
    name = name.replace(b"\0", b"x")
    record = struct.pack("=QQQIIII72s40s", at, 5, 6, where, count, agent, 0, name, b"c000001")
    session_name = name.decode(errors="surrogateescape")
    assert stall(record) == Stall(at, 5, 6, where, count, agent, session_name, "c000001")


@given(st.binary(max_size=200).filter(lambda record: len(record) != 152))
def test_a_record_of_another_size_is_refused(record: bytes) -> None:
    with pytest.raises(ValueError, match="bytes"):
        stall(record)
