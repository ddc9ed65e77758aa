"""More than one session on a host: side by side, one after a killed one, one within another."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentcgroup.model import Outcome
from agentcgroup.trace.reader import read_trace
from tests.run import surroundings
from tests.run.running import AGENTCGROUP, agent, run_folders, sessions_left, support
from tests.run.surroundings import said, without_cgroups


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
