"""The exec tracker joined to a session: what comes past the clients becomes calls, and who leaves is told."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from agentcgroup.model import EXEC_TRACKER, Outcome
from agentcgroup.trace.views import Call
from tests.run.running import Ran, agent, run, shown

pytestmark = pytest.mark.kernel

# The tracker is loaded while the agent starts, and the trace says when it is there.
READY = 'while b\'"track"\' not in open("trace/records.jsonl", "rb").read(): time.sleep(0.01)'
PAST = ("--track", "on", "--placement", "path")  # which leaves absolute paths to the tracker


def caught(ran: Ran) -> list[Call]:
    """The calls that the tracker caught, in order."""
    return [call for call in ran.calls if call.start is not None and call.start.caught == EXEC_TRACKER]


def uncaught(ran: Ran) -> int:
    """As the end of the session counts them."""
    end = ran.trace.sessions[0].end
    assert end is not None
    return end.uncaught


def test_a_shell_past_the_clients_becomes_a_call_with_leaf_limits_usage_and_end(tmp_path: Path) -> None:
    source = f"""
        {READY}
        leaf = ["/bin/bash", "-c", "sleep 0.5; cat /proc/self/cgroup; exit 4"]
        done = subprocess.run(leaf, start_new_session=True, stdout=subprocess.PIPE, text=True)
        print(done.stdout)
        sys.exit(done.returncode)
    """
    ran = run(tmp_path, agent(tmp_path, source), *PAST, "--call-pids", "77")
    assert ran.status == 4
    (call,) = caught(ran)
    assert f"/calls/{call.id}" in ran.stdout
    assert call.argv == ("/bin/bash", "-c", "sleep 0.5; cat /proc/self/cgroup; exit 4")
    assert not call.argv_cut
    assert call.start is not None
    assert call.end is not None
    assert (call.start.managed, call.start.cwd, call.start.agent) == (True, str(tmp_path), "generic")
    assert call.start.requested_ns == call.start.started_ns < call.start.placed_ns < call.end.ended_ns
    assert call.limits.pids_max == 77
    assert (call.end.status, call.outcome) == (4, Outcome.FAILED)
    assert call.usage.cpu_time_us
    assert call.end.programs[0] == "bash"
    assert {"sleep", "cat"} <= set(call.end.programs)
    assert call.duration_s is not None
    assert 0.4 < call.duration_s < 20
    assert uncaught(ran) == 0


def test_what_it_left_behind_is_ended_with_it(tmp_path: Path) -> None:
    mark = f"{tmp_path.name}-stays"
    source = f"""
        {READY}
        sleeper = "{sys.executable} -S -c 'import time; time.sleep(99)' {mark}"
        subprocess.run(["/bin/bash", "-c", sleeper + " & sleep 0.3; exit 0"], start_new_session=True)
        subprocess.run(["/bin/bash", "-c", "setsid " + sleeper + " & sleep 0.3; exit 0"], start_new_session=True)
        time.sleep(2)
        print("alive", subprocess.run(["pgrep", "-fc", "99. {mark}"], capture_output=True, text=True).stdout)
    """
    ran = run(tmp_path, agent(tmp_path, source), *PAST)
    assert "alive 1" in ran.stdout
    first, second = caught(ran)
    assert first.end is not None
    assert second.end is not None
    assert (first.end.leftovers.killed, first.end.leftovers.kept) == (1, 0)
    assert (second.end.leftovers.killed, second.end.leftovers.kept) == (0, 1)
    assert second.background is not None


def test_one_that_is_over_before_it_can_be_moved_is_recorded_all_the_same(tmp_path: Path) -> None:
    source = f"""
        {READY}
        for number in range(20):
            subprocess.run(["/bin/sh", "-c", f"exit {{number}}"])
    """
    ran = run(tmp_path, agent(tmp_path, source), *PAST)
    calls = caught(ran)
    assert sorted(call.end.status for call in calls if call.end) == list(range(20))
    assert uncaught(ran) == 0
    for call in calls:
        assert call.start is not None
        if not call.start.managed:
            assert call.usage.cpu_time_us is None


def test_side_by_side_with_calls_of_clients_each_is_counted_once(tmp_path: Path) -> None:
    source = f"""
        {READY}
        for number in range(5):
            one = subprocess.Popen(["/bin/bash", "-c", "/bin/true; sleep 0.2"], start_new_session=True)
            two = subprocess.Popen(["bash", "-c", "/bin/true; sleep 0.2"], start_new_session=True)
            one.wait(), two.wait()
    """
    ran = run(tmp_path, agent(tmp_path, source), *PAST)
    assert len(caught(ran)) == 5
    assert len(ran.calls) == 10
    assert uncaught(ran) == 0
    of_clients = [call.end.programs for call in ran.calls if call.end and call not in caught(ran)]
    assert of_clients == [("bash", "true", "sleep")] * 5


def test_arguments_that_the_kernel_cuts_are_read_whole_or_marked(tmp_path: Path) -> None:
    source = f"""
        {READY}
        padding = "x" * 9000
        subprocess.run(["/bin/bash", "-c", f"sleep 0.3; : {{padding}}"])
        subprocess.run(["/bin/bash", "-c", f": {{padding}}; exec /bin/bash -c 'sleep 0.3; exit 7'"])
        subprocess.run(["/bin/true"])
    """
    ran = run(tmp_path, agent(tmp_path, source), *PAST)
    first, second = caught(ran)
    assert first.argv_cut or first.command.endswith("x" * 9000)
    assert second.end is not None
    assert second.end.status == 7
    assert second.argv_cut or "exit 7" in second.command


def test_clients_are_not_taken_for_shells_past_them(tmp_path: Path) -> None:
    source = f"""
        {READY}
        for number in range(10):
            sh("true")
        probe = 'echo -n "_SHELL_ENV_DELIMITER_"; env; sleep 0.2'
        subprocess.run(["bash", "-ilc", probe], env={{"HOME": "/"}})
    """
    ran = run(tmp_path, agent(tmp_path, source), "--track", "on", "--placement", "mount")
    assert len(ran.calls) == 10
    assert caught(ran) == []
    assert [event["label"] for event in ran.events("shell")] == ["probe"]
    assert all(call.end is not None and call.end.programs == ("bash",) for call in ran.calls)


# What each agent starts, as docs/reference/agents.md says; here by a shell that nobody stands in for.
SIGNATURES: dict[str, tuple[dict[str, str], list[list[str]], list[str]]] = {
    # environment, argument vectors, labels
    "claude": (
        {},
        [
            ["-c", "source /x/shell-snapshots/snapshot-bash-1.sh; eval 'sleep 0.2' && pwd -P >| /dev/null"],
            ["-c", "env > /dev/null; sleep 0.2"],
        ],
        ["call", "hook"],
    ),
    "codex": ({"CODEX_TOOL_CALL_ID": "call_7"}, [["-lc", "sleep 0.2"]], ["call"]),
    "opencode": ({}, [["-c", "sleep 0.2"], ["-lc", "sleep 0.2"]], ["call", "call"]),
    "gemini": ({"GEMINI_CLI": "1"}, [["-c", "shopt -u promptvars; (sleep 0.2)"]], ["call"]),
    "mini": ({}, [["-c", "sleep 0.2"]], ["call"]),
    "openhands": ({}, [["-c", "sleep 0.2"]], ["helper"]),
    "aider": ({}, [["-c", "sleep 0.2"]], ["call"]),
    "inspect": ({}, [["--login", "-c", "sleep 0.2"]], ["call"]),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_each_agent_s_calls_are_known_by_their_signature(tmp_path: Path, name: str) -> None:
    variables, vectors, labels = SIGNATURES[name]
    shell = tmp_path / "own" / "bash"  # a copy: the agent brings its own shell, and there is no stand-in for it
    shell.parent.mkdir()
    shutil.copy("/bin/bash", shell)
    program = tmp_path / name
    source = f"""
        {READY}
        for words in {vectors!r}:
            subprocess.run([{str(shell)!r}, *words], start_new_session=True, env={{"HOME": "/", **{variables!r}}})
    """
    command = agent(tmp_path, source)
    shutil.copy(command[-1], program)
    ran = run(tmp_path, [*command[:-1], str(program)], "--track", "on", "--placement", "mount")
    assert len(caught(ran)) == labels.count("call")
    assert [event["label"] for event in ran.events("shell")] == [label for label in labels if label != "call"]
    for call in caught(ran):
        assert call.start is not None
        assert (call.start.agent, call.start.managed) == (name, True)
        assert call.start.tool_call_id == variables.get("CODEX_TOOL_CALL_ID", "")
    assert uncaught(ran) == 0


def test_one_that_began_before_the_tracker_is_caught_late(tmp_path: Path) -> None:
    caught_now = f"grep -q {EXEC_TRACKER} trace/records.jsonl"
    command = f"for n in $(seq 300); do {caught_now} && break; sleep 0.2; done; exit 0"
    source = f'subprocess.run(["/bin/bash", "-c", {command!r}])'
    ran = run(tmp_path, agent(tmp_path, source), *PAST, "--sample-hz", "0")
    (call,) = caught(ran)
    assert call.outcome is Outcome.OK
    assert uncaught(ran) == 0


def test_a_fork_bomb_past_the_clients_is_gathered_and_ended(tmp_path: Path) -> None:
    bomb = "bomb() { bomb | bomb & }; bomb; read -t 1.5; exit 3"  # read forks nothing: there may be no room to
    source = f"""
        {READY}
        shell = subprocess.Popen(["/bin/bash", "-c", {bomb!r}], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        print("status", shell.wait())
        deadline = time.monotonic() + 60
        while len(open(f"/sys/fs/cgroup{{open('/proc/self/cgroup').read().strip()[3:]}}/cgroup.procs").readlines()) > 1:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        print("alone")
    """
    ran = run(tmp_path, agent(tmp_path, source), *PAST, "--pids", "300", "--call-pids", "100")
    assert "status 3" in ran.stdout
    assert "alone" in ran.stdout
    (call,) = caught(ran)
    assert call.end is not None
    assert call.end.leftovers.killed > 10


def test_a_hint_in_its_environment_and_its_memory_count_and_its_end_is_told(tmp_path: Path) -> None:
    allocate = f"{sys.executable} -S -c 'x = bytearray(400 << 20)'; exit 9"
    source = f"""
        {READY}
        import socket
        ours, its = socket.socketpair()  # as Node's spawn makes them
        environment = {{**os.environ, "AGENT_RESOURCE_HINT": "memory:100m"}}
        for stderr in (subprocess.PIPE, its):
            shell = subprocess.Popen(["/bin/bash", "-c", {allocate!r}], env=environment, stderr=stderr)
            if stderr is its:
                its.close()
                print("told", ours.makefile("rb").read())
            else:
                print("told", shell.stderr.read())
            shell.wait()
    """
    ran = run(tmp_path, agent(tmp_path, source), *PAST, "--memory", "1g", "--call-memory", "200m")
    assert [call.outcome for call in caught(ran)] == [Outcome.OOM] * 2
    assert all((call.usage.memory_peak_bytes or 0) > 100 << 20 for call in caught(ran))
    told = [line for line in ran.stdout.splitlines() if line.startswith("told")]
    assert len(told) == 2
    assert all("agentcgroup: " in line and "agentcgroup-feedback: " in line for line in told), told


def test_a_process_that_leaves_the_session_is_told_once_and_recorded_each_time(tmp_path: Path) -> None:
    source = f"""
        {READY}
        root = next(line.split()[1] for line in open("/proc/mounts") if line.split()[2] == "cgroup2")
        home = root + open("/proc/self/cgroup").read().rpartition("0::")[2].strip().rpartition("/agentcgroup")[0]
        outside = home + "/agentcgroup-test-outside-" + str(os.getpid())
        os.mkdir(outside)
        try:
            sh(f"sleep 0.2; echo $$ > {{outside}}/cgroup.procs; sleep 0.3")
            sh(f"sleep 0.2; echo $$ > {{outside}}/cgroup.procs; sleep 0.3")
            time.sleep(0.5)
        finally:
            os.rmdir(outside)
    """
    ran = run(tmp_path, agent(tmp_path, source), "--track", "on")
    left = [event for event in ran.events("action") if event["action"] == "left"]
    assert [event["call"] for event in left] == [call.id for call in ran.calls]
    assert all("bash (pid " in str(event["reason"]) and "outside" in str(event["reason"]) for event in left)
    assert ran.stderr.count("has left the session") == 1


def test_what_really_ran_is_bounded_and_decides_the_kind(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for number in range(40):
        shutil.copy("/bin/true", folder / f"program{number}")
    script = tmp_path / "ci.sh"
    script.write_text(f"#!/bin/sh\nfor one in {folder}/program*; do $one; $one; done\n")
    script.chmod(0o755)
    ran = run(tmp_path, agent(tmp_path, f'{READY}\nsh("{script}; exit 0")'), "--track", "on")
    (call,) = ran.calls
    assert call.end is not None
    assert call.end.programs[:2] == ("bash", "ci.sh")
    assert len(call.end.programs) == len(set(call.end.programs)) == 32
    assert shown(ran)[0][1] == 0


def test_switched_off_it_is_as_without(tmp_path: Path) -> None:
    source = """
        time.sleep(1)
        subprocess.run(["/bin/bash", "-c", "sleep 0.5; exit 4"])
        sh("true")
    """
    ran = run(tmp_path, agent(tmp_path, source), "--track", "off", "--placement", "path")
    assert caught(ran) == []
    assert uncaught(ran) >= 1
    assert [call.end.programs for call in ran.calls if call.end] == [()]
