"""Sessions on hosts that lack cgroups or their memory controller, and in containers."""

from __future__ import annotations

import os
import shlex
import signal
import time
from pathlib import Path

import pytest

from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.hierarchy import v1_controllers
from agentcgroup.model import Outcome, Usage, UsageSource
from agentcgroup.trace.reader import read_trace
from tests.run import surroundings
from tests.run.running import agent, processes_with, run_folders, shown, support
from tests.run.surroundings import own_mounts, said, without_cgroups

SLEEP = f"{surroundings.PYTHON} -S -c 'import time; time.sleep(99)'"


# Without cgroups


@pytest.mark.parametrize("placement", ["mount", "path"])
def test_without_cgroups_calls_are_found_and_come_through_unchanged(tmp_path: Path, placement: str) -> None:
    source = """
        sh("echo out; echo err >&2; exit 3")
        sh("bash -c 'sh -c \\"echo nested; bash -c true\\"'; dash -c 'bash -c true'")
        sh("kill -TERM $$", start_new_session=False)
        sh("seq 20000 | bash -c 'tail -1'", start_new_session=False)
        sys.exit(4)
    """
    ran = surroundings.run(tmp_path, without_cgroups(), agent(tmp_path, source), "--placement", placement)
    assert support(ran) == ("process", placement)
    assert ran.status == 4
    assert [line[1:] for line in shown(ran)] == [
        [3, "out\n", "err\n"],
        [0, "nested\n", ""],
        [-signal.SIGTERM, "", ""],
        [0, "20000\n", ""],
    ]
    assert ran.commands == [line[0] for line in shown(ran)]
    assert ran.outcomes == [Outcome.FAILED, Outcome.OK, Outcome.FAILED, Outcome.OK]
    assert {call.usage.source for call in ran.calls} == {UsageSource.PROC}
    assert all(call.usage.cpu_time_us and call.usage.memory_peak_bytes for call in ran.calls)
    assert not ran.trace.cut
    (line,) = said(ran)
    assert line.startswith("agentcgroup: no cgroups here (cgroup v2 is not mounted): calls are process groups")
    assert "`agentcgroup doctor`" in line
    assert not processes_with(str(tmp_path))


@pytest.mark.parametrize("leader", [True, False], ids=["session-leader", "same-session"])
def test_without_cgroups_leftovers_die_unless_they_were_started_to_stay(tmp_path: Path, leader: bool) -> None:
    marks = {name: f"{tmp_path.name}-{name}" for name in ("plain", "nohup", "setsid", "child")}
    commands = [
        f"{SLEEP} {marks['plain']} >/dev/null 2>&1 &",
        f"nohup {SLEEP} {marks['nohup']} >/dev/null 2>&1 &",
        f'setsid bash -c "{SLEEP} {marks["child"]}; true" {marks["setsid"]} >/dev/null 2>&1 &',
    ]
    source = f"""
        for command in {commands!r}:
            sh(command, start_new_session={leader})
        time.sleep(0.7)
        alive = [subprocess.run(["pgrep", "-f", mark], stdout=subprocess.PIPE).stdout for mark in {[*marks.values()]!r}]
        print("alive", *map(bool, alive))
    """
    ran = surroundings.run(tmp_path, without_cgroups(), agent(tmp_path, source))
    left = [(call.end.leftovers.killed, call.end.leftovers.kept) for call in ran.calls if call.end]
    assert left[:2] == [(1, 0), (0, 1)]
    assert left[2] in ((0, 1), (0, 2))  # setsid's bash has started its child, or has not yet
    assert "alive False True True True" in ran.stdout
    assert [call.background.reason for call in ran.calls if call.background] == ["session-ended"] * 2
    assert not any(processes_with(mark) for mark in marks.values())


def test_without_cgroups_a_call_that_runs_too_long_dies_with_its_tree(tmp_path: Path) -> None:
    mark = f"{tmp_path.name}-long"
    source = f"""
        sh({f"setsid {SLEEP} {mark} & {SLEEP} {mark}"!r})
        sh({f"setsid {SLEEP} {mark} & {SLEEP} {mark}"!r}, start_new_session=False)
        sh("echo the agent goes on")
        print("alive", subprocess.run(["pgrep", "-fc", {mark!r}], stdout=subprocess.PIPE, text=True).stdout)
    """
    ran = surroundings.run(tmp_path, without_cgroups(), agent(tmp_path, source), "--call-timeout", "400ms")
    assert ran.outcomes == [Outcome.TIMED_OUT, Outcome.TIMED_OUT, Outcome.OK]
    assert [line[1] for line in shown(ran)] == [-signal.SIGKILL, -signal.SIGKILL, 0]
    assert "alive 0" in ran.stdout


@pytest.mark.parametrize("leader", [True, False], ids=["session-leader", "same-session"])
def test_without_cgroups_who_kills_the_client_kills_the_tree(tmp_path: Path, leader: bool) -> None:
    mark = f"{tmp_path.name}-killed"
    source = f"""
        command = {f"setsid {SLEEP} {mark} & ({SLEEP} {mark}; true) & {SLEEP} {mark}"!r}
        process = subprocess.Popen(["bash", "-c", command], start_new_session={leader})
        time.sleep(0.6)
        process.kill()
        print(process.wait())
        time.sleep(0.6)
        print("alive", subprocess.run(["pgrep", "-fc", {mark!r}], stdout=subprocess.PIPE, text=True).stdout)
    """
    ran = surroundings.run(tmp_path, without_cgroups(), agent(tmp_path, source), "--sample-hz", "0")
    assert ran.stdout.split() == ["-9", "alive", "0"]
    assert ran.outcomes == [Outcome.CLIENT_KILLED]


def test_without_cgroups_orphans_are_reaped_while_the_call_runs(tmp_path: Path) -> None:
    source = 'sh("(sleep 0.05 &); sleep 0.5; ps --ppid $PPID -o stat=,comm=; true")'
    ran = surroundings.run(tmp_path, without_cgroups(), agent(tmp_path, source))
    (line,) = shown(ran)
    states = [words.split() for words in str(line[2]).splitlines()]
    assert [comm for state, comm in states if not state.startswith("Z")] == ["bash", "agentcgroup"]
    assert not [comm for state, comm in states if state.startswith("Z")]


def test_without_cgroups_nothing_survives_the_session(tmp_path: Path) -> None:
    mark = f"{tmp_path.name}-survivor"
    source = f"""
        subprocess.Popen(["setsid", "--fork", *{shlex.split(SLEEP)!r}, {mark!r}])
        subprocess.Popen(["bash", "-c", {f"setsid --fork {SLEEP} {mark}; {SLEEP} {mark}"!r}])
        time.sleep(0.5)
    """
    ran = surroundings.run(tmp_path, without_cgroups(), agent(tmp_path, source))
    assert ran.outcomes == [Outcome.SESSION_ENDED]
    assert not processes_with(mark)


def refused(folder: Path, surrounding: list[str], *options: str) -> str:
    """The one line with which `run` refuses in a surrounding, having left nothing behind."""
    process = surroundings.start(folder, surrounding, ["touch", str(folder / "ran")], *options)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 1, stderr
    assert stdout == ""
    assert not (folder / "trace").exists()
    assert not (folder / "ran").exists()
    (line,) = stderr.splitlines()
    return line


def test_strict_refuses_where_memory_cannot_be_controlled(tmp_path: Path) -> None:
    line = refused(tmp_path, without_cgroups(), "--strict", "--name", f"strict-{os.getpid()}")
    assert line.startswith("agentcgroup: cgroup v2 is not mounted; boot with systemd.unified_cgroup_hierarchy=1")
    assert not run_folders(f"strict-{os.getpid()}")


# Cgroups without the memory controller, as on this host when v1 holds it

held_by_v1 = pytest.mark.skipif("memory" not in v1_controllers(), reason="cgroup v2 has the memory controller here")


@held_by_v1
def test_memory_held_by_cgroup_v1_is_said_in_one_line(tmp_path: Path) -> None:
    source = f"""
        sh({surroundings.PYTHON + ' -S -c "x = bytearray(80 << 20); import time; time.sleep(1.2)"'!r})
        sh("true")
    """
    ran = surroundings.run(tmp_path, [], agent(tmp_path, source), "--call-memory", "32m")
    assert support(ran)[0] == "grouping"
    (line,) = said(ran)
    assert line.startswith("agentcgroup: cgroup v1 holds the memory controller here: ")
    assert "memory is not limited" in line
    assert "`agentcgroup doctor`" in line
    assert {call.usage.source for call in ran.calls} == {UsageSource.CGROUP_CPU}
    end = ran.trace.sessions[0].end
    assert end is not None
    check_session_memory(end.usage, end.agent_usage, UsageSource.CGROUP_CPU)
    big, small = ran.calls
    assert big.outcome is Outcome.OK
    assert big.usage.memory_peak_bytes is not None
    assert small.usage.memory_peak_bytes is not None
    assert 80 << 20 < big.usage.memory_peak_bytes < 120 << 20
    assert 0 < small.usage.memory_peak_bytes < 16 << 20
    assert big.usage.cpu_time_us


def check_session_memory(session: Usage, own: Usage, source: UsageSource) -> None:
    """Of a session with an agent that needs little and a call that needs 80 MiB."""
    assert (session.source, own.source) == (source, source)
    assert session.memory_peak_bytes is not None
    assert own.memory_peak_bytes is not None
    assert 80 << 20 < session.memory_peak_bytes < 160 << 20
    assert 1 << 20 < own.memory_peak_bytes < 40 << 20
    assert session.cpu_time_us


def test_without_cgroups_the_session_is_measured_too(tmp_path: Path) -> None:
    hungry = f"{surroundings.PYTHON} -S -c 'x = bytearray(80 << 20); import time; time.sleep(1.2)'"
    ran = surroundings.run(tmp_path, without_cgroups(), agent(tmp_path, f"sh({hungry!r})"))
    end = ran.trace.sessions[0].end
    assert end is not None
    check_session_memory(end.usage, end.agent_usage, UsageSource.PROC)


@held_by_v1
def test_memory_of_a_tree_is_the_sum_of_its_processes(tmp_path: Path) -> None:
    hungry = f"{surroundings.PYTHON} -S -c 'x = bytearray(40 << 20); import time; time.sleep(1.5)'"
    ran = surroundings.run(tmp_path, [], agent(tmp_path, f"sh({f'{hungry} & {hungry} & wait'!r})"))
    (call,) = ran.calls
    assert call.usage.memory_peak_bytes is not None
    assert call.usage.memory_peak_bytes > 80 << 20


def test_a_frozen_call_is_still_killed_at_its_timeout(tmp_path: Path) -> None:
    mark = f"{tmp_path.name}-frozen"
    source = f"sh({f'{SLEEP} {mark} & {SLEEP} {mark}'!r})"
    process = surroundings.start(tmp_path, [], agent(tmp_path, source), "--call-timeout", "1500ms")
    deadline = time.monotonic() + 10
    leaf = None
    while leaf is None and time.monotonic() < deadline:
        sessions = read_trace(tmp_path / "trace").sessions if (tmp_path / "trace/records.jsonl").exists() else ()
        if sessions and sessions[0].start and sessions[0].start.cgroup and sessions[0].calls:
            leaf = Cgroup(Path(sessions[0].start.cgroup, "calls", sessions[0].calls[0].id))
    assert leaf is not None
    leaf.freeze()
    assert leaf.wait_frozen(1.0)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert [call.outcome for call in read_trace(tmp_path / "trace").sessions[0].calls] == [Outcome.TIMED_OUT]
    assert not processes_with(mark)


@held_by_v1
def test_strict_refuses_without_the_memory_controller(tmp_path: Path) -> None:
    line = refused(tmp_path, [], "--strict")
    assert "cgroup v1 holds the memory controller here" in line
    assert "agentcgroup doctor" in line


# Containers


def test_a_read_only_cgroup_mount_is_no_cgroup(tmp_path: Path) -> None:
    line = own_mounts("for point in $(findmnt -rno TARGET -t cgroup2); do mount -o remount,bind,ro $point; done")
    ran = surroundings.run(tmp_path, line, agent(tmp_path, 'sh("echo still")'))
    assert support(ran)[0] == "process"
    assert ran.commands == ["echo still"]
    (said_line,) = said(ran)
    assert "no cgroups here (cgroup v2 is mounted read-only at /sys/fs/cgroup" in said_line
    refused_line = refused(tmp_path_of(tmp_path), line, "--strict")
    assert "--cgroupns=private" in refused_line


def tmp_path_of(folder: Path) -> Path:
    """A fresh folder below ``folder``."""
    fresh = folder / "fresh"
    fresh.mkdir()
    return fresh


@pytest.mark.parametrize("placement", ["mount", "path"])
def test_a_container_with_a_writable_cgroup_namespace(tmp_path: Path, placement: str) -> None:
    source = """
        sh("cat /proc/self/cgroup")
        sh("sleep 99 &")
    """
    with surroundings.cgroup_box() as box:
        line = surroundings.in_a_container(box)
        ran = surroundings.run(tmp_path, line, agent(tmp_path, source), "--placement", placement)
        assert [child.path.name for child in box.children()] == ["init"]
    assert ran.status == 0, ran.stderr
    assert support(ran)[0] in ("grouping", "full")
    assert f"0::/agentcgroup/{ran.trace.sessions[0].id}/calls/{ran.calls[0].id}\n" in str(shown(ran)[0][2])
    assert [call.end.leftovers.killed for call in ran.calls if call.end] == [0, 1]
