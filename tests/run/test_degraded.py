"""Sessions on hosts that lack something: cgroups, their memory controller, a private mount namespace, disk space."""

from __future__ import annotations

import json
import os
import shlex
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.hierarchy import v1_controllers
from agentcgroup.model import Outcome, Usage, UsageSource
from agentcgroup.trace.reader import read_trace
from tests.run import surroundings
from tests.run.running import AGENTCGROUP, Ran, agent, processes_with, sessions_left, shown
from tests.run.surroundings import own_mounts, said, without_cgroups

SLEEP = f"{surroundings.PYTHON} -S -c 'import time; time.sleep(99)'"


def support(ran: Ran) -> tuple[str, str]:
    """What the trace says of the session's host: support and placement."""
    start = ran.trace.sessions[0].start
    assert start is not None
    return start.support, start.placement


def run_folders(name: str) -> list[Path]:
    """Where run-time files of the session are."""
    return [path for base in ("/run", "/tmp") for path in Path(base).glob(f"agentcgroup*/{name}")]


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


# Placement by PATH


def test_path_catches_what_is_looked_up_and_counts_what_is_not(tmp_path: Path) -> None:
    source = """
        sh("true")
        subprocess.run(["sh", "-c", "exit 1"])
        subprocess.run([os.environ["SHELL"], "-c", "exit 2"])
        subprocess.run([os.environ["CLAUDE_CODE_SHELL"], "-c", "exit 3"])
        subprocess.run(["/bin/bash", "-c", "sleep 0.5; exit 4"])
        subprocess.run(["/bin/sh", "-c", "sleep 0.6 & wait"])
    """
    ran = surroundings.run(tmp_path, [], agent(tmp_path, source), "--placement", "path")
    assert support(ran)[1] == "path"
    assert [call.end.status for call in ran.calls if call.end] == [0, 1, 2, 3]
    assert [event["argv"] for event in ran.events("uncaught")] == [
        ("/bin/bash", "-c", "sleep 0.5; exit 4"),
        ("sleep", "0.5"),
        ("/bin/sh", "-c", "sleep 0.6 & wait"),
        ("sleep", "0.6"),
    ]
    end = ran.trace.sessions[0].end
    assert end is not None
    assert end.uncaught == 4


@pytest.mark.parametrize("placement", ["mount", "path"])
def test_the_environment_differs_only_by_what_is_documented(tmp_path: Path, placement: str) -> None:
    source = """
        print(json.dumps(dict(os.environ)))
        print(subprocess.run(["bash", "-c", "env -0"], stdout=subprocess.PIPE, text=True).stdout)
    """
    given = {"ODD": "a=b c\n", "SHELL": "/bin/zsh"}
    ran = surroundings.run(tmp_path, [], agent(tmp_path, source), "--placement", placement, environment=given)
    first, _, rest = ran.stdout.partition("\n")
    seen = json.loads(first)
    assert seen.pop("CLAUDE_CODE_TOOL_MEMORY_LIMIT") == "none"
    session = seen.pop("AGENTCGROUP_SESSION")
    assert session == ran.trace.sessions[0].id
    expected = {**os.environ, **given}
    if placement == "path":
        folder = Path(seen["SHELL"]).parent
        expected |= {"SHELL": f"{folder}/bash", "CLAUDE_CODE_SHELL": f"{folder}/bash"}
        expected["PATH"] = f"{folder}:{expected['PATH']}"
    assert seen == expected
    of_the_call = dict(pair.partition("=")[::2] for pair in rest.rstrip("\n").split("\0") if pair)
    of_bash = {"_", "SHLVL", "PWD", "OLDPWD", "CLAUDE_CODE_TOOL_MEMORY_LIMIT"}
    assert {k: v for k, v in of_the_call.items() if k not in of_bash} == {
        k: v for k, v in {**expected, "AGENTCGROUP_SESSION": session}.items() if k not in of_bash
    }


# No private mount namespace: a chroot forbids user namespaces, and the capability for one of root is gone

CHROOT = """
for place in /*; do
    [ -d "$place" ] && [ ! -L "$place" ] && mkdir -p "$1$place" && mount --rbind "$place" "$1$place"
    [ -L "$place" ] && cp -a "$place" "$1/"
    :
done
"""


def in_a_chroot(folder: Path) -> list[str]:
    """Below a plain directory: its / is no mount point, which mount(2) cannot make private."""
    front = surroundings.shell(CHROOT, str(folder))
    return ["unshare", "--mount", *front, "chroot", str(folder)]


def without_sys_admin(folder: Path) -> list[str]:
    """Root without CAP_SYS_ADMIN; user namespaces are refused in a chroot."""
    front = surroundings.shell('mount --rbind / "$1"', str(folder))
    drop = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
    return ["unshare", "--mount", *front, "chroot", str(folder), *drop]


@pytest.mark.parametrize("surrounding", [in_a_chroot, without_sys_admin])
def test_where_no_mount_namespace_can_be_had_path_is_used(tmp_path: Path, surrounding: object) -> None:
    assert callable(surrounding)
    root = tmp_path / "root"
    root.mkdir()
    trace = tmp_path / "trace"
    source = 'sh("echo caught"); subprocess.run(["/bin/bash", "-c", "sleep 0.4; true"])'
    line = [*surrounding(root), "env", "--chdir", str(tmp_path)]
    ran = surroundings.run(tmp_path, line, agent(tmp_path, source))
    assert ran.status == 0, ran.stderr
    assert support(ran)[1] == "path"
    assert ran.commands == ["echo caught"]
    assert ran.events("uncaught")
    lines = [one for one in said(ran) if "mount namespace" in one]
    assert len(lines) == 1
    assert "caught by PATH and SHELL only, not by absolute path" in lines[0]
    assert trace.exists()
    (tmp_path / "again").mkdir()
    process = surroundings.start(tmp_path / "again", line, ["true"], "--placement", "mount")
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    last = stderr.splitlines()[-1]
    assert "no private mount namespace can be had here; " in last
    assert "--placement path" in last
    assert not (tmp_path / "again" / "trace").exists()


# A trace that cannot be written any more


def test_when_the_disk_fills_up_the_session_goes_on_and_says_what_is_missing(tmp_path: Path) -> None:
    """The trace is on a file system of 64 KiB; it is copied out before that goes with its namespace."""
    trace = tmp_path / "trace"
    trace.mkdir()
    front = 'mount -t tmpfs -o size=64k none "$1"; out="$2"; shift 2; set +e; "$@"; s=$?; cp -r "$0" "$out"; exit $s'
    line = ["unshare", "--mount", "sh", "-ec", front, str(trace), str(trace), str(tmp_path / "copy")]
    source = """
        for n in range(60):
            sh(f"echo {n} # " + "x" * 2000)
    """
    process = surroundings.start(tmp_path, line, agent(tmp_path, source), "--sample-hz", "50")
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert len(stdout.splitlines()) == 60
    assert stderr.startswith("agentcgroup: cgroup v1 ") or "memory" not in v1_controllers()
    assert "calls       60: 60 ok" in stderr
    problem = next(one for one in stderr.splitlines() if "is not complete" in one)
    assert problem.startswith(f"agentcgroup: the trace {trace} is not complete: ")
    assert "records lost; give another folder with --trace" in problem
    assert "Traceback" not in stderr
    check_sound(tmp_path / "copy", 60)


def check_sound(folder: Path, started: int) -> None:
    """A trace that stopped somewhere: its records are sound up to there, and nothing follows the one cut line."""
    lines = (folder / "records.jsonl").read_bytes().split(b"\n")
    sound = 0
    for line in lines[:-1]:
        try:
            sound += bool(json.loads(line))
        except ValueError:
            continue
    assert len(lines) - 1 - sound <= 1
    trace = read_trace(folder)
    calls = trace.sessions[0].calls
    assert 5 < len(calls) < started
    assert [call.command.split()[1] for call in calls] == [str(n) for n in range(len(calls))]
    assert len(trace.damage) <= 1


def test_a_limit_on_the_size_of_files_costs_records_and_nothing_else(tmp_path: Path) -> None:
    source = """
        for n in range(60):
            sh(f"echo {n} # " + "x" * 2000)
    """
    line = ["prlimit", f"--fsize={96 << 10}"]
    ran = surroundings.run(tmp_path, line, agent(tmp_path, source), "--sample-hz", "50")
    assert ran.status == 0
    assert len(shown(ran)) == 60
    assert [one for one in said(ran) if "is not complete: File too large" in one or "cut short" in one]
    assert "Traceback" not in ran.stderr
    check_sound(tmp_path / "trace", 60)


def test_a_trace_that_is_removed_while_the_session_runs(tmp_path: Path) -> None:
    source = f"""
        sh("true")
        sh("rm -r {tmp_path}/trace")
        sh("true")
    """
    process = surroundings.start(tmp_path, [], agent(tmp_path, source))
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0
    assert len(stdout.splitlines()) == 3
    assert "the trace was removed while the session ran" in stderr
    assert "calls       3: 3 ok" in stderr
    assert "Traceback" not in stderr


# More than one session


def test_two_sessions_at_once_do_not_touch_each_other(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    processes = []
    for folder in folders:
        folder.mkdir()
        source = f"""
            for n in range(15):
                sh(f"echo {folder.name} {{n}}; cut -d: -f3 /proc/self/cgroup | tail -1")
        """
        processes.append(surroundings.start(folder, [], agent(folder, source), "--memory", "512m", "--pids", "256"))
    for process in processes:
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stderr
    names = set()
    for folder in folders:
        (session,) = read_trace(folder / "trace").sessions
        assert [call.command.split(";")[0] for call in session.calls] == [f"echo {folder.name} {n}" for n in range(15)]
        assert {call.outcome for call in session.calls} == {Outcome.OK}
        names.add(session.id)
    assert len(names) == 2


@contextmanager
def killed_controller(folder: Path, surrounding: list[str], name: str) -> Iterator[int]:
    """A session whose controller was killed while its agent runs on; the pid of the agent, that waits for ``go``."""
    source = f"""
        sh("true")
        print(os.getpid(), flush=True)
        while not os.path.exists({str(folder / "go")!r}):
            time.sleep(0.02)
        with open({str(folder / "done")!r}, "w") as file:
            file.write(sh("echo on its own").stdout)
    """
    process = surroundings.start(folder, surrounding, agent(folder, source), "--name", name)
    assert process.stdout is not None
    process.stdout.readline()
    pid = int(process.stdout.readline())
    process.kill()
    process.wait()
    try:
        yield pid
    finally:
        (folder / "go").touch()
        process.communicate(timeout=20)  # until the agent has closed its output


@pytest.mark.parametrize("cgroups", [True, False], ids=["cgroups", "no-cgroups"])
def test_a_stale_session_stays_while_its_agent_runs_and_goes_afterwards(tmp_path: Path, cgroups: bool) -> None:
    name = f"stale-{os.getpid()}"
    line = [] if cgroups else without_cgroups()
    for folder in ("killed", "next", "last"):
        (tmp_path / folder).mkdir()
    with killed_controller(tmp_path / "killed", line, name) as agent_pid:
        assert (name in sessions_left()) is cgroups
        assert surroundings.run(tmp_path / "next", line, ["true"]).status == 0
        assert (name in sessions_left()) is cgroups
        assert Path(f"/proc/{agent_pid}").exists()
        assert run_folders(name)
    assert (tmp_path / "killed" / "done").read_text() == "on its own\n"
    assert surroundings.run(tmp_path / "last", line, ["true"]).status == 0
    assert name not in sessions_left()
    assert not run_folders(name)


# Within a session


def inner(folder: Path, *options: str) -> str:
    """The command line of a session to start within another; its agent makes two calls."""
    folder.mkdir()
    line = [*AGENTCGROUP, "run", "--trace", str(folder / "trace"), "--client-deadline", "5s", *options, "--"]
    return shlex.join(
        [*line, *agent(folder, 'sh("echo inner 1"); sh("bash -c \'echo inner 2\'; exit 5"); sys.exit(6)')]
    )


INNER = ["echo inner 1", "bash -c 'echo inner 2'; exit 5"]


def check_inner(folder: Path, stdout: str, expected_support: str) -> None:
    """The inner session found its calls, and they did what they do without us."""
    (session,) = read_trace(folder / "trace").sessions
    assert session.start is not None
    assert session.start.support == expected_support
    assert [call.command for call in session.calls] == INNER
    assert [call.end.status for call in session.calls if call.end] == [0, 5]
    lines = [json.loads(line) for line in stdout.splitlines() if line.startswith("[")]
    assert lines == [[INNER[0], 0, "inner 1\n", ""], [INNER[1], 5, "inner 2\n", ""]]


@pytest.mark.parametrize("outer", ["mount", "path"])
@pytest.mark.parametrize("placement", ["mount", "path"])
def test_a_session_in_a_call_stays_in_the_call(tmp_path: Path, outer: str, placement: str) -> None:
    line = inner(tmp_path / "inner", "--placement", placement)
    source = f"""
        done = subprocess.run(["bash", "-c", {line!r}], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        print(done.stdout)
        print(done.stderr, file=sys.stderr)
        print(done.returncode)
        sh("echo outer goes on")
    """
    ran = surroundings.run(tmp_path, [], agent(tmp_path, source), "--placement", outer)
    assert ran.status == 0, ran.stderr
    assert ran.commands == [line, "echo outer goes on"]
    assert ran.outcomes == [Outcome.FAILED, Outcome.OK]
    assert "\n6\n" in ran.stdout
    check_inner(tmp_path / "inner", ran.stdout.partition("\n6\n")[0], support(ran)[0])
    (session,) = read_trace(tmp_path / "inner" / "trace").sessions
    assert session.start is not None
    assert session.start.cgroup is not None
    assert f"/{ran.calls[0].id}/" in session.start.cgroup
    assert len(said(ran)) <= 2, ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("placement", ["mount", "path"])
def test_a_session_started_by_the_agent_itself_runs_without_cgroups_of_its_own(tmp_path: Path, placement: str) -> None:
    line = inner(tmp_path / "inner", "--placement", placement)
    source = f"""
        done = subprocess.run({shlex.split(line)!r}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        print(done.stdout)
        print(done.returncode)
        print(done.stderr, file=sys.stderr)
        sh("echo outer goes on")
    """
    ran = surroundings.run(tmp_path, [], agent(tmp_path, source))
    assert ran.status == 0, ran.stderr
    assert "\n6\n" in ran.stdout
    check_inner(tmp_path / "inner", ran.stdout.partition("\n6\n")[0], "process")
    assert ran.commands[-1] == "echo outer goes on"
    assert [command for command in ran.commands if command in INNER] == INNER
    lines = [one for one in said(ran) if "agent leaf of another session" in one]
    assert len(lines) == 1
    assert "Traceback" not in ran.stderr
