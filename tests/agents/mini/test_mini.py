"""mini-swe-agent from the registry, unmodified, on the scripted task: alone, degraded on the host, full in the lab."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agentcgroup.model import Outcome, Support
from agentcgroup.trace.reader import read_trace
from agentcgroup.trace.views import Call, Session
from agentcgroup.units import parse_size
from tests.agents.mini.agent import Run, run_task
from tests.agents.mini.repository import git
from tests.agents.mini.task import CALL_MEMORY, CALL_PIDS, SESSION_PIDS, STEPS

# The agent's own limit for a command; the one that hangs costs this much. In the lab pip alone takes 5 s or more.
HOST_TIMEOUT_S = 4
LAB_TIMEOUT_S = 20


def test_alone(tmp_path: Path) -> None:
    """The control: without us the task runs too, and leaves processes behind."""
    run = run_task(tmp_path, HOST_TIMEOUT_S)
    try:
        check_finished(run)
        check_seen(run, contained=False)
        left = [command.split()[0] for command in run.processes().values()]
        assert sorted(left) == ["python3", "sleep"]
    finally:
        run.end_processes()


def test_on_the_host(tmp_path: Path) -> None:
    """Whatever this host offers: every command is a call, nothing is left, the agent sees what it would see alone."""
    run, session = run_in_session(tmp_path, HOST_TIMEOUT_S)
    try:
        check_finished(run)
        check_seen(run, contained=False)
        check_calls(session, contained=False)
        check_background(run, session)
        check_nothing_left(run, session)
    finally:
        run.end_processes()


@pytest.mark.kernel
def test_in_the_lab(tmp_path: Path) -> None:
    """With all controllers: the hungry call and the forking one meet their limits, and nothing else does."""
    limits = ("--call-memory", CALL_MEMORY, "--pids", str(SESSION_PIDS))
    run, session = run_in_session(tmp_path, LAB_TIMEOUT_S, *limits)
    try:
        check_finished(run)
        check_seen(run, contained=True)
        check_calls(session, contained=True)
        check_limits_hit(session)
        check_background(run, session)
        check_nothing_left(run, session)
    finally:
        run.end_processes()


def run_in_session(folder: Path, timeout_s: int, *options: str) -> tuple[Run, Session]:
    """The task under `agentcgroup run`, and the one session of its trace."""
    trace = folder / "trace"
    run = run_task(
        folder, timeout_s, (sys.executable, "-m", "agentcgroup", "run", "--trace", str(trace), *options, "--")
    )
    read = read_trace(trace)
    assert not read.damage_text(), run.log
    assert len(read.sessions) == 1
    return run, read.sessions[0]


def call_of(session: Session, name: str) -> Call:
    """The call of the step called ``name``."""
    return session.calls[[step.name for step in STEPS].index(name)]


def check_finished(run: Run) -> None:
    """The agent finished its task, and the work is there."""
    assert (run.status, run.exit_status) == (0, "Submitted"), run.log
    assert run.submission.startswith("True division")
    assert git(run.repository, "log", "-1", "--format=%s") == "True division\n"
    assert "sum(values) / len(values)" in git(run.repository, "show", "HEAD:stats.py")


def check_seen(run: Run, contained: bool) -> None:
    """The agent ran every command and saw of it what it should."""
    seen = run.observations
    assert [one.command for one in seen] == [step.command for step in STEPS]
    for step, one in zip(STEPS[:-1], seen[:-1], strict=True):
        if contained and step.contained:
            assert one.returncode != 0, (step.name, one)
            assert step.says not in one.output, (step.name, one)
        else:
            assert one.returncode == step.returncode, (step.name, one)
            assert step.says in one.output, (step.name, one)
        assert one.timed_out == (step.returncode == -1), (step.name, one)


def check_calls(session: Session, contained: bool) -> None:
    """Every command of the agent is a call in the trace, one to one, in order, each with its outcome."""
    assert [call.command for call in session.calls] == [step.command for step in STEPS]
    assert [call.outcome for call in session.calls] == [
        step.contained if contained and step.contained else step.free for step in STEPS
    ]
    starts = [call.start for call in session.calls]
    assert all(start is not None and start.managed and start.agent == "mini" for start in starts), starts
    assert session.end is not None
    assert (session.end.status, session.end.calls, session.end.unmanaged) == (0, len(STEPS), 0)


def check_limits_hit(session: Session) -> None:
    """The kernel's own counters say why the two calls failed."""
    hungry, fork = call_of(session, "hungry"), call_of(session, "fork")
    limit = parse_size(CALL_MEMORY)
    assert hungry.limits.memory_max_bytes == limit
    assert hungry.usage.oom_kill_events
    assert 0.9 * limit <= (hungry.usage.memory_peak_bytes or 0) <= limit
    assert fork.limits.pids_max == fork.usage.pids_peak == CALL_PIDS
    assert fork.usage.pids_max_events
    others = [call for call in session.calls if call not in (hungry, fork)]
    assert not any(call.usage.oom_kill_events or call.usage.pids_max_events for call in others)


def check_background(run: Run, session: Session) -> None:
    """The plain background process ended with its call; the one started to stay stayed until the session's end."""
    sleeper, server = call_of(session, "leave a sleeper"), call_of(session, "leave a server")
    assert sleeper.end is not None
    assert (sleeper.end.leftovers.killed, sleeper.end.leftovers.kept) == (1, 0)
    assert server.end is not None
    server_pid = int((run.repository / "server.pid").read_text())
    assert (server.end.leftovers.killed, server.end.leftovers.kept_pids) == (0, (server_pid,))
    assert server.background is not None
    assert server.background.reason == "session-ended"
    hang = call_of(session, "hang")
    assert hang.end is not None
    assert hang.outcome is Outcome.CLIENT_KILLED


def check_nothing_left(run: Run, session: Session) -> None:
    """No process and no cgroup of the session is there any more."""
    assert run.processes() == {}
    assert session.start is not None
    if session.start.support == Support.PROCESS:
        return
    assert session.start.cgroup
    mounts = [
        line.split(" ") for line in Path("/proc/self/mountinfo").read_text().splitlines() if " - cgroup2 " in line
    ]
    assert mounts
    name = Path(session.start.cgroup).name
    assert not [found for mount in mounts for found in Path(mount[4]).rglob(name)]
