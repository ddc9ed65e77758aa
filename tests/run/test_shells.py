"""Commands that are typed into one shell for the whole session: each is a call when the agent's hooks say so."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from agentcgroup.client.hook import NotOpenedError, close_call, open_call
from agentcgroup.domain.rundir import socket_of
from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.hierarchy import locate
from agentcgroup.model import HOOK, Outcome
from agentcgroup.trace.reader import read_trace
from agentcgroup.trace.views import Call
from tests.run.running import AGENTCGROUP, Ran, agent, processes_with, run, start

# An agent such as OpenHands: one bash that reads a pipe, each command between two words of its hooks.
SHELL = f"""
shell = subprocess.Popen(
    ["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
)

def hook(*words):
    done = subprocess.run([*{list(AGENTCGROUP)!r}, "call", *words], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else "refused: " + done.stderr

def typed(command):
    shell.stdin.write(command + '\\necho "DONE $?"\\n')
    shell.stdin.flush()
    lines = []
    while not (line := shell.stdout.readline()).startswith("DONE"):
        assert line, "the shell has ended"
        lines.append(line)
    return "".join(lines), line.split()[1]

def call(command):
    opened = hook("open", "--pid", str(shell.pid), "--command", command, "--tool-call-id", "t-" + command[:3]).strip()
    output, status = typed(command)
    told = hook("close", opened, "--status", status)
    print(json.dumps([opened, output, told]), flush=True)
    return opened, output

"""
OPENHANDS = ("--agent", "openhands")  # whose shell is no call


def persistent(folder: Path, source: str) -> list[str]:
    """The agent that has the shell."""
    return agent(folder, SHELL + textwrap.dedent(source))


def opened(ran: Ran) -> list[Call]:
    """The calls that hooks opened."""
    return [call for call in ran.calls if call.start is not None and call.start.caught == HOOK]


def printed(ran: Ran) -> list[list[str]]:
    """What `call` printed: [id, output, what the hook was told] each."""
    return [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("[")]


@pytest.mark.parametrize("options", [OPENHANDS, ()], ids=["helper", "call"])
def test_commands_typed_into_one_shell_are_calls_with_leaves_of_their_own(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    source = """
        call("grep 0:: /proc/self/cgroup; (exit 3)")
        call("x=kept; grep 0:: /proc/self/cgroup")
        call("echo $x")
        print(typed("grep 0:: /proc/self/cgroup")[0])
        shell.stdin.close()
        print("shell", shell.wait())
    """
    ran = run(tmp_path, persistent(tmp_path, source), *options)
    first, second, third = opened(ran)
    assert [call.command for call in opened(ran)][1:] == ["x=kept; grep 0:: /proc/self/cgroup", "echo $x"]
    assert [line[0] for line in printed(ran)] == [first.id, second.id, third.id]
    assert printed(ran)[0][1].strip().endswith(f"/calls/{first.id}")
    assert printed(ran)[1][1].strip().endswith(f"/calls/{second.id}")
    assert printed(ran)[2][1] == "kept\n"
    assert [line[2] for line in printed(ran)] == ["", "", ""]
    assert [(call.outcome, call.end.status) for call in opened(ran) if call.end] == [
        (Outcome.FAILED, 3),
        (Outcome.OK, 0),
        (Outcome.OK, 0),
    ]
    assert [call.start.tool_call_id for call in opened(ran) if call.start] == ["t-gre", "t-x=k", "t-ech"]
    assert all(call.usage.cpu_time_us for call in opened(ran))
    after = next(line for line in ran.stdout.splitlines() if line.startswith("0::"))
    assert after.endswith("/agent" if options else "/calls/c000001")
    assert "shell 0" in ran.stdout


def test_a_job_that_the_shell_keeps_stays_with_its_call(tmp_path: Path) -> None:
    source = """
        call("sleep 98 &")
        call("jobs")
        print("after", typed("jobs")[0])
    """
    ran = run(tmp_path, persistent(tmp_path, source), *OPENHANDS)
    first, second = opened(ran)
    assert first.end is not None
    assert (first.end.leftovers.killed, first.end.leftovers.kept) == (0, 1)
    assert first.background is not None
    assert first.background.reason == "session-ended"
    assert "sleep 98" in printed(ran)[1][1]
    assert "Running" in ran.stdout.partition("after")[2]
    assert second.background is None


def test_a_call_that_takes_too_long_is_killed_and_the_shell_lives(tmp_path: Path) -> None:
    source = """
        call("x=still; (sleep 97; true) | cat; sleep 96 & wait; echo on")
        call("echo $x")
    """
    ran = run(tmp_path, persistent(tmp_path, source), *OPENHANDS, "--call-timeout", "2s")
    assert printed(ran)[1][1] == "still\n"
    assert [call.outcome for call in opened(ran)] == [Outcome.TIMED_OUT, Outcome.OK]
    assert "timeout" in printed(ran)[0][2]
    assert "agentcgroup-feedback" in printed(ran)[0][2]
    assert not processes_with("sleep\x0097")


@pytest.mark.kernel
def test_one_that_needs_too_much_memory_is_killed_and_the_shell_lives(tmp_path: Path) -> None:
    source = f"""
        call("x=still; {sys.executable} -S -c 'x = bytearray(300 << 20)'")
        call("echo $x")
    """
    ran = run(tmp_path, persistent(tmp_path, source), *OPENHANDS, "--memory", "1g", "--call-memory", "100m")
    assert [call.outcome for call in opened(ran)] == [Outcome.OOM, Outcome.OK]
    assert printed(ran)[1][1] == "still\n"
    assert "100.0 MiB" in printed(ran)[0][2] or "100 MiB" in printed(ran)[0][2]


def test_a_shell_that_ends_ends_its_call_with_all_that_is_in_it(tmp_path: Path) -> None:
    mark = f"{tmp_path.name}-orphan"
    source = f"""
        opened = hook("open", "--pid", str(shell.pid), "--command", "exec something").strip()
        typed("{sys.executable} -S -c 'import time; time.sleep(99)' {mark} &")
        shell.stdin.write("exit 5\\n")
        shell.stdin.flush()
        print("shell", shell.wait())
        time.sleep(0.5)
        print(hook("close", opened))
    """
    ran = run(tmp_path, persistent(tmp_path, source), *OPENHANDS)
    (call,) = opened(ran)
    assert "shell 5" in ran.stdout
    assert "refused: " in ran.stdout
    assert f"no call {call.id} is open" in ran.stdout
    assert call.outcome is Outcome.CLIENT_KILLED
    assert call.end is not None
    assert "the shell that it was opened in has ended" in call.end.reason
    assert not processes_with(mark)


def test_the_next_call_of_a_shell_closes_the_one_that_was_forgotten(tmp_path: Path) -> None:
    source = """
        hook("open", "--pid", str(shell.pid), "--command", "one")
        call("grep 0:: /proc/self/cgroup")
        print(typed("grep 0:: /proc/self/cgroup")[0])
    """
    ran = run(tmp_path, persistent(tmp_path, source), *OPENHANDS)
    first, second = opened(ran)
    assert first.outcome is Outcome.OK
    assert printed(ran)[0][1].strip().endswith(second.id)
    assert ran.stdout.strip().endswith("/agent")
    assert [event["call"] for event in ran.events("action") if event["action"] == "close"] == [first.id]


def test_closed_from_within_the_call_itself(tmp_path: Path) -> None:
    line = " ".join(AGENTCGROUP)
    source = f"""
        print(typed("id=$({line} call open --pid $$ --command 'two of them')")[1])
        print(typed("true; bash -c '{line} call close '$id'; exit $?'; grep 0:: /proc/self/cgroup")[0])
    """
    ran = run(tmp_path, persistent(tmp_path, source), *OPENHANDS)
    (call,) = opened(ran)
    assert call.outcome is Outcome.OK
    assert call.end is not None
    assert (call.end.leftovers.killed, call.end.leftovers.kept) == (0, 0)
    assert ran.stdout.strip().endswith("/agent")


def test_only_shells_of_the_session_can_be_named(tmp_path: Path) -> None:
    source = f"""
        for pid in (os.getpid(), 1, {os.getpid()}, 4194303):
            print(hook("open", "--pid", str(pid), "--command", "x"))
        print(hook("close", "c000099"))
        print(subprocess.run(["bash", "-c", "{sys.executable} -m agentcgroup call open --command x; true"]).returncode)
    """
    ran = run(tmp_path, persistent(tmp_path, source), *OPENHANDS)
    assert ran.stdout.count("refused: ") == 5
    assert ran.stdout.count("is no shell of the agent") + ran.stdout.count("there is no process") == 4
    assert "no call c000099 is open" in ran.stdout
    assert len(opened(ran)) == 1  # by default, its parent


def test_nobody_outside_of_the_session_opens_calls_in_it(tmp_path: Path) -> None:
    name = f"outside{os.getpid()}"
    process = start(tmp_path, persistent(tmp_path, "print(shell.pid, flush=True); time.sleep(20)"), "--name", name)
    try:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        with pytest.raises(NotOpenedError, match="only a process of the session"):
            open_call(socket_of(name), pid, "true")
        with pytest.raises(NotOpenedError, match="only a process of the session"):
            close_call(socket_of(name), "c000001")
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert all(call.start.caught == "" for call in read_trace(tmp_path / "trace").sessions[0].calls if call.start)


def test_a_session_that_ends_within_a_call_ends_the_call_and_the_shell(tmp_path: Path) -> None:
    source = """
        hook("open", "--pid", str(shell.pid), "--command", "one")
        shell.stdin.write("sleep 95\\n")
        shell.stdin.flush()
        time.sleep(0.5)
        os._exit(0)
    """
    began = time.monotonic()
    ran = run(tmp_path, persistent(tmp_path, source), *OPENHANDS)
    (call,) = opened(ran)
    assert call.outcome is Outcome.SESSION_ENDED
    assert time.monotonic() - began < 30
    assert not processes_with("sleep\x0095")


def test_outside_of_any_session_the_command_says_so(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "AGENTCGROUP_SESSION"}
    line = [*AGENTCGROUP, "call", "close", "c000001"]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no session of agentcgroup" in done.stderr
    environment["AGENTCGROUP_SESSION"] = "no-such-session"
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "does not answer" in done.stderr


def test_when_the_controller_is_killed_a_frozen_call_without_a_client_goes_on(tmp_path: Path) -> None:
    done = tmp_path / "done"
    source = f"""
        hook("open", "--pid", str(shell.pid), "--command", "one")
        shell.stdin.write("sleep 2; echo on > {done}\\n")
        shell.stdin.flush()
        print(open(f"/proc/{{shell.pid}}/cgroup").read(), flush=True)
        shell.wait()
    """
    process = start(tmp_path, persistent(tmp_path, source), *OPENHANDS, "--name", f"frozen{os.getpid()}")
    assert process.stdout is not None
    line = process.stdout.readline()
    while not line.startswith("0::"):
        line = process.stdout.readline()
    leaf = locate(line.strip()[3:])
    assert leaf is not None
    (leaf / "cgroup.freeze").write_text("1")
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while not done.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert done.exists()
    Cgroup(leaf.parent.parent).remove_tree(5)
