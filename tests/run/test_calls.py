"""What becomes a call, how it ends, and what the agent sees of us. On any host with a writable cgroup v2."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from agentcgroup.model import Outcome
from tests.run.running import agent, processes_with, run, shown, start


def test_every_command_is_a_call_in_order_and_comes_through_unchanged(tmp_path: Path) -> None:
    source = """
        sh("echo out; echo err >&2; exit 3")
        sh("pwd; echo $0")
        sh("kill -TERM $$")
        sh("cat <<< hello | tr a-z A-Z")
        subprocess.run("exit 7", shell=True)
        sys.exit(5)
    """
    ran = run(tmp_path, agent(tmp_path, source))
    assert ran.status == 5
    assert shown(ran) == [
        ["echo out; echo err >&2; exit 3", 3, "out\n", "err\n"],
        ["pwd; echo $0", 0, f"{tmp_path}\nbash\n", ""],
        ["kill -TERM $$", -signal.SIGTERM, "", ""],
        ["cat <<< hello | tr a-z A-Z", 0, "HELLO\n", ""],
    ]
    assert ran.commands == [*(str(line[0]) for line in shown(ran)), "exit 7"]
    assert ran.outcomes == [Outcome.FAILED, Outcome.OK, Outcome.FAILED, Outcome.OK, Outcome.FAILED]
    assert [call.end.status for call in ran.calls if call.end] == [3, 0, 143, 0, 7]
    assert all(call.start is not None and call.start.managed for call in ran.calls)
    assert all(call.usage.cpu_time_us for call in ran.calls)
    assert not ran.trace.damage
    assert not ran.trace.cut


def test_four_instants_are_in_order(tmp_path: Path) -> None:
    ran = run(tmp_path, agent(tmp_path, 'sh("sleep 0.2")'))
    (call,) = ran.calls
    assert call.start is not None
    assert call.end is not None
    instants = [call.start.requested_ns, call.start.started_ns, call.end.ended_ns, call.end.returned_ns]
    assert instants == sorted(instants)
    assert call.duration_s is not None
    assert 0.19 < call.duration_s < 20


@pytest.mark.parametrize("placement", ["mount", "path"])
def test_nested_shells_stay_in_their_call(tmp_path: Path, placement: str) -> None:
    source = """
        sh("bash -c 'cat /proc/self/cgroup' ; sh -c 'env -i bash -c \\"cat /proc/self/cgroup\\"'")
    """
    ran = run(tmp_path, agent(tmp_path, source), "--placement", placement)
    (call,) = ran.calls
    seen = {line for line in str(shown(ran)[0][2]).splitlines() if line.startswith("0::")}
    assert len(seen) == 1
    assert seen.pop().endswith(f"/calls/{call.id}")


def test_absolute_paths_shebangs_and_empty_environments_are_caught(tmp_path: Path) -> None:
    script = tmp_path / "tool.sh"
    script.write_text("#!/bin/sh\necho from a script\n")
    script.chmod(0o755)
    source = f"""
        for command in (["/bin/bash", "-lc", "true"], ["/bin/sh", "-ec", "true"], ["{script}"],
                        ["/usr/bin/env", "-i", "/bin/bash", "-c", "true"], ["bash", "-c", "-l", "true"]):
            subprocess.run(command, start_new_session=True)
        subprocess.run(["bash"], input=b"echo from stdin", start_new_session=True)
    """
    ran = run(tmp_path, agent(tmp_path, source), "--placement", "mount")
    assert [call.argv[:2] for call in ran.calls] == [
        ("/bin/bash", "-lc"),
        ("/bin/sh", "-ec"),
        ("/bin/sh", str(script)),
        ("/bin/bash", "-c"),
        ("bash", "-c"),
        ("bash",),
    ]
    assert ran.stdout == "from a script\nfrom stdin\n"


def test_calls_side_by_side_have_leaves_of_their_own(tmp_path: Path) -> None:
    source = """
        running = [subprocess.Popen(["bash", "-c", f"sleep 0.3; exit {n}"], start_new_session=True) for n in range(12)]
        print(sorted(process.wait() for process in running))
    """
    ran = run(tmp_path, agent(tmp_path, source))
    assert ran.stdout.strip() == str(list(range(12)))
    assert len({call.id for call in ran.calls}) == 12
    assert sorted(call.end.status for call in ran.calls if call.end) == list(range(12))


def test_what_a_call_leaves_behind_is_killed_unless_it_was_started_to_stay(tmp_path: Path) -> None:
    marks = {name: f"{tmp_path.name}-{name}" for name in ("plain", "nohup", "setsid")}
    source = f"""
        sh("{sys.executable} -S -c 'import time; time.sleep(99)' {marks["plain"]} >/dev/null 2>&1 &")
        sh("nohup {sys.executable} -S -c 'import time; time.sleep(99)' {marks["nohup"]} >/dev/null 2>&1 &")
        sh("setsid {sys.executable} -S -c 'import time; time.sleep(99)' {marks["setsid"]} >/dev/null 2>&1 &")
        time.sleep(0.3)
        print("alive", subprocess.run(["pgrep", "-fc", "{tmp_path.name}-"], capture_output=True, text=True).stdout)
    """
    ran = run(tmp_path, agent(tmp_path, source))
    left = [(call.end.leftovers.killed, call.end.leftovers.kept) for call in ran.calls if call.end]
    assert left == [(1, 0), (0, 1), (0, 1)]
    assert "alive 2" in ran.stdout
    assert "stopped 1 process that was still running when this command ended" in str(shown(ran)[0][3])
    assert [call.background.reason for call in ran.calls if call.background] == ["session-ended"] * 2
    assert not any(processes_with(mark) for mark in marks.values())


def test_keep_background_zero_keeps_nothing_and_a_limit_ends_what_stayed(tmp_path: Path) -> None:
    command = 'sh("setsid sleep 99 >/dev/null 2>&1 &")'
    (tmp_path / "none").mkdir()
    ran = run(tmp_path / "none", agent(tmp_path, command), "--keep-background", "0")
    assert [call.end.leftovers.killed for call in ran.calls if call.end] == [1]
    (tmp_path / "limit").mkdir()
    ran = run(tmp_path / "limit", agent(tmp_path, command + "\ntime.sleep(1)"), "--keep-background", "300ms")
    assert [call.background.reason for call in ran.calls if call.background] == ["limit"]


def test_a_call_that_runs_too_long_dies_with_its_tree(tmp_path: Path) -> None:
    mark = f"{tmp_path.name}-long"
    source = f"""
        sh("setsid {sys.executable} -S -c 'import time; time.sleep(99)' {mark} & sleep 99")
        sh("echo the agent goes on")
    """
    ran = run(tmp_path, agent(tmp_path, source), "--call-timeout", "500ms")
    assert ran.outcomes == [Outcome.TIMED_OUT, Outcome.OK]
    assert shown(ran)[0][1] == -signal.SIGKILL
    assert "ran longer than --call-timeout (0.5 s)" in str(shown(ran)[0][3])
    assert not processes_with(mark)


def test_when_the_agent_kills_the_client_the_tree_of_the_call_dies(tmp_path: Path) -> None:
    mark = f"{tmp_path.name}-killed"
    source = f"""
        command = "setsid {sys.executable} -S -c 'import time; time.sleep(99)' {mark} & sleep 99"
        process = subprocess.Popen(["bash", "-c", command], start_new_session=True)
        time.sleep(0.5)
        process.kill()
        print(process.wait())
        time.sleep(0.5)
        print("alive", subprocess.run(["pgrep", "-fc", "{mark}"], capture_output=True, text=True).stdout)
    """
    ran = run(tmp_path, agent(tmp_path, source))
    assert ran.stdout.split() == ["-9", "alive", "0"]
    assert ran.outcomes == [Outcome.CLIENT_KILLED]


def test_a_call_whose_client_died_before_it_said_anything_is_found_and_ended(tmp_path: Path) -> None:
    source = """
        import glob
        own = open("/proc/self/cgroup").read().rpartition("::")[2].strip()
        mount = next(line.split()[1] for line in open("/proc/mounts") if line.split()[2] == "cgroup2")
        # As if a client had taken a grant, put its command into the leaf, and then been killed.
        session = os.environ["AGENTCGROUP_SESSION"]
        (pool,) = glob.glob(f"/run/agentcgroup/{session}/pool") or glob.glob(f"/*/*/{session}/pool")
        with open(pool, "rb", buffering=0) as fifo:
            leaf = fifo.read(32).rstrip(bytes(1)).decode()
        orphan = subprocess.Popen(["sleep", "99"])
        with open(f"{mount}{own}/../calls/{leaf}/cgroup.procs", "w") as file:
            file.write(str(orphan.pid))
        print(orphan.wait(timeout=20))
    """
    ran = run(tmp_path, agent(tmp_path, source))
    assert ran.stdout == "-9\n", ran.stderr
    assert [call.argv for call in ran.calls] == [("sleep", "99")]
    assert ran.outcomes == [Outcome.CLIENT_KILLED]


def test_a_call_that_outlives_the_agent_is_ended_with_the_session(tmp_path: Path) -> None:
    mark = f"{tmp_path.name}-outlives"
    source = f"""
        command = "{sys.executable} -S -c 'import time; time.sleep(99)' {mark}"
        subprocess.Popen(["bash", "-c", command], start_new_session=True)
        time.sleep(0.5)
    """
    ran = run(tmp_path, agent(tmp_path, source))
    assert ran.outcomes == [Outcome.SESSION_ENDED]
    assert not processes_with(mark)


def test_any_byte_but_nul_comes_through_and_into_the_trace(tmp_path: Path) -> None:
    source = """
        odd = bytes(range(1, 256))
        done = subprocess.run([b"bash", b"-c", b'printf %s "$1"', b"zero", odd], stdout=subprocess.PIPE)
        print(done.stdout == odd)
    """
    ran = run(tmp_path, agent(tmp_path, source))
    assert ran.stdout == "True\n"
    assert os.fsencode(ran.calls[0].argv[4]) == bytes(range(1, 256))


def test_a_command_line_of_two_mebibytes(tmp_path: Path) -> None:
    source = """
        words = ["x" * 100_000] * 17
        done = subprocess.run(["bash", "-c", 'echo $#', "zero", *words], stdout=subprocess.PIPE, env={})
        print(done.stdout)
    """
    ran = run(tmp_path, agent(tmp_path, source))
    assert "17" in ran.stdout
    (call,) = ran.calls
    assert call.start is not None
    assert call.start.argv_bytes > 1_700_000
    assert call.argv_cut


def test_sigterm_to_run_reaches_the_agent(tmp_path: Path) -> None:
    source = """
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
        print("ready", flush=True)
        time.sleep(60)
    """
    process = start(tmp_path, agent(tmp_path, source))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 9


def test_an_agent_killed_by_a_signal(tmp_path: Path) -> None:
    ran = run(tmp_path, agent(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)"))
    assert ran.status == 128 + signal.SIGKILL
    end = ran.trace.sessions[0].end
    assert end is not None
    assert (end.status, end.signal) == (137, 9)


def test_a_stopped_controller_costs_a_deadline_and_loses_nothing(tmp_path: Path) -> None:
    source = """
        print("ready", flush=True)
        sys.stdin.readline()
        for n in range(40):
            sh(f"echo {n}")
    """
    command = agent(tmp_path, source)
    line = ["bash", "-c", f"sleep 1 | {' '.join(command)}"]
    process = start(tmp_path, line, "--client-deadline", "50ms")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGSTOP)
    try:
        for _ in range(40):
            assert process.stdout.readline().startswith("[")
    finally:
        os.kill(process.pid, signal.SIGCONT)
    process.communicate(timeout=20)
    assert process.returncode == 0
    from agentcgroup.trace.reader import read_trace

    session = read_trace(tmp_path / "trace").sessions[0]
    assert sorted(call.command for call in session.calls) == sorted(f"echo {n}" for n in range(40))
    assert any(call.start is not None and not call.start.managed for call in session.calls)
    assert all(call.outcome is Outcome.OK for call in session.calls)


def test_after_kill_9_of_the_controller_the_agent_goes_on_and_the_trace_is_cut(tmp_path: Path) -> None:
    done = tmp_path / "done"
    source = f"""
        sh("true")
        print("ready", flush=True)
        time.sleep(2)
        sh("echo alone > {done}")
    """
    process = start(tmp_path, agent(tmp_path, source), "--name", f"k{os.getpid()}")
    assert process.stdout is not None
    while "ready" not in process.stdout.readline():
        pass
    records = tmp_path / "trace" / "records.jsonl"
    deadline = time.monotonic() + 10
    while b'"call_end"' not in records.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.01)  # the agent has the result before the record is written
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while not (done.exists() and done.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert done.read_text() == "alone\n"
    from agentcgroup.trace.reader import read_trace

    trace = read_trace(tmp_path / "trace")
    assert trace.cut
    assert [call.outcome for call in trace.sessions[0].calls] == [Outcome.OK]
    while processes_with(str(tmp_path / "agent.py")) and time.monotonic() < deadline:
        time.sleep(0.05)
    again = tmp_path / "again"
    again.mkdir()
    assert run(again, ["true"]).status == 0  # and removes what the killed one left


@pytest.mark.parametrize(("priority", "sooner"), [("low", 300), ("normal", 200), ("high", 100)])
def test_on_a_full_host_calls_go_before_the_agent_and_by_priority(tmp_path: Path, priority: str, sooner: int) -> None:
    read = "cat /proc/self/oom_score_adj"
    source = f"""
        print(open("/proc/self/oom_score_adj").read())
        sh({read!r})
    """
    ran = run(tmp_path, agent(tmp_path, source), "--priority", priority)
    before = int(Path("/proc/self/oom_score_adj").read_text())
    assert int(ran.stdout.splitlines()[0]) in (before - 300, before)  # lower only where it may be
    assert int(str(shown(ran)[0][2])) == before + sooner
