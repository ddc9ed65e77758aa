"""Sessions of a plain user: with a cgroup subtree that root gave, and with nothing at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcgroup.model import Outcome, UsageSource
from tests.run import surroundings
from tests.run.running import agent, processes_with, shown
from tests.run.surroundings import PYTHON, USER, said


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the user can write."""
    with surroundings.open_folder() as path:
        yield path
    shutil.rmtree(f"/tmp/agentcgroup-{USER}", ignore_errors=True)


def command(folder: Path, source: str) -> list[str]:
    """The agent, run by an interpreter that every user can reach."""
    return [PYTHON, *agent(folder, source)[1:]]


WORK = """
    sh("id -u; id -G; cut -d: -f3 /proc/self/cgroup | tail -1; touch made; mkdir deeper; echo x > deeper/file")
    sh("sleep 99 & setsid sleep 99 >/dev/null 2>&1 & exit 3")
    subprocess.run(["/usr/bin/env", "-i", "/bin/bash", "-c", "bash -c 'sh -c true'; kill -TERM $$"])
"""


def test_a_user_with_a_subtree_has_a_session_like_root(folder: Path) -> None:
    with surroundings.cgroup_box() as box:
        line = surroundings.in_the_subtree(box)
        ran = surroundings.run(folder, line, command(folder, WORK))
        assert [child.path.name for child in box.children()] == ["supervisor"]
    assert ran.status == 0, ran.stderr
    start = ran.trace.sessions[0].start
    assert start is not None
    assert start.placement == "userns"
    assert start.support in ("grouping", "full")
    assert ran.outcomes == [Outcome.OK, Outcome.FAILED, Outcome.FAILED]
    assert [call.end.status for call in ran.calls if call.end] == [0, 3, 143]
    uid, groups, cgroup = str(shown(ran)[0][2]).splitlines()
    assert (uid, groups) == (str(USER), str(USER))
    assert cgroup.endswith(f"/{box.path.name}/agentcgroup/{ran.trace.sessions[0].id}/calls/{ran.calls[0].id}")
    leftovers = ran.calls[1].end.leftovers if ran.calls[1].end else None
    assert leftovers is not None
    assert (leftovers.killed, leftovers.kept) == (1, 1)
    assert all(call.usage.source in (UsageSource.CGROUP, UsageSource.CGROUP_CPU) for call in ran.calls)
    made = [folder / "made", folder / "deeper", folder / "deeper/file", folder / "trace/records.jsonl"]
    assert {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(USER, USER)}
    assert len(said(ran)) == (0 if start.support == "full" else 1)
    assert not list(Path(f"/tmp/agentcgroup-{USER}").iterdir())


def test_a_user_with_nothing_has_a_session_without_cgroups(folder: Path) -> None:
    mark = f"{folder.name}-left"
    source = f"""
        sh("cd; id -u; bash -c 'sh -c true'", cwd={str(folder)!r})
        sh("{PYTHON} -c 'import time; time.sleep(99)' {mark} >/dev/null 2>&1 &")
        sh("exit 3")
    """
    ran = surroundings.run(folder, surroundings.without_privilege(), command(folder, source))
    assert ran.status == 0, ran.stderr
    start = ran.trace.sessions[0].start
    assert start is not None
    assert (start.support, start.placement) == ("process", "userns")
    assert [call.end.status for call in ran.calls if call.end] == [0, 0, 3]
    assert {call.usage.source for call in ran.calls} == {UsageSource.PROC}
    (line,) = said(ran)
    assert line.startswith(f"agentcgroup: no cgroups here (no cgroup is delegated to user {USER}): ")
    assert "`agentcgroup doctor`" in line
    assert not processes_with(mark)


def test_strict_tells_a_user_what_root_has_to_do(folder: Path) -> None:
    process = surroundings.start(folder, surroundings.without_privilege(), ["true"], "--strict")
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    (line,) = stderr.splitlines()
    assert "systemd-run --user --scope -p Delegate=yes" in line
    assert f"chown -R {USER}" in line
    assert not (folder / "trace").exists()


def test_in_a_user_namespace_set_user_id_programs_have_no_effect(folder: Path) -> None:
    """The known price of `userns`, and the way around it (docs/how-to/degraded-hosts.md)."""
    program = folder / "as-root"
    shutil.copy(shutil.which("id") or "", program)
    program.chmod(0o4755)
    for placement, uid in (("mount", str(USER)), ("path", "0")):
        own = folder / placement
        own.mkdir()
        own.chmod(0o777)
        source = f"sh({f'{program} -u'!r})"
        ran = surroundings.run(own, surroundings.without_privilege(), command(own, source), "--placement", placement)
        assert [line[2] for line in shown(ran)] == [f"{uid}\n"], ran.stderr


def test_processes_of_another_user_do_not_stop_the_end_of_a_session(folder: Path) -> None:
    """What became root all through, as `sudo` does, cannot be killed by its user: the session ends all the same."""
    program = folder / "as-root"
    shutil.copy(os.path.realpath(PYTHON), program)
    program.chmod(0o4755)
    mark = f"{folder.name}-root"
    become = "import os, time; os.setresuid(0, 0, 0); open(os.sys.argv[1], chr(119)); time.sleep(2)"
    start = f"{program} -S -c '{become}' {folder}/is-root {mark} >/dev/null 2>&1 &"
    source = f"""
        sh({f"{start} while [ ! -e is-root ]; do sleep 0.01; done"!r})
        sh("echo goes on")
    """
    line = surroundings.without_privilege()
    ran = surroundings.run(folder, line, command(folder, source), "--placement", "path")
    assert ran.status == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.outcomes == [Outcome.OK, Outcome.OK]
    assert processes_with(mark)  # it ends by itself: or the test has shown nothing


@pytest.mark.kernel
def test_limits_bite_in_a_subtree_that_was_given(folder: Path) -> None:
    source = f"""
        sh({PYTHON + " -S -c 'x = bytearray(200 << 20); print(1)'"!r})
        sh("bomb() {{ bomb | bomb & }}; bomb; sleep 1; exit 1")
        sh("echo the agent lives")
    """
    with surroundings.cgroup_box() as box:
        line = surroundings.in_the_subtree(box)
        options = ("--memory", "512m", "--call-memory", "64m", "--call-pids", "64", "--strict")
        ran = surroundings.run(folder, line, command(folder, source), *options)
    assert ran.status == 0, ran.stderr
    assert ran.outcomes == [Outcome.OOM, Outcome.PIDS, Outcome.OK]
    start = ran.trace.sessions[0].start
    assert start is not None
    assert (start.support, start.placement) == ("full", "userns")
    assert ran.calls[0].usage.memory_peak_bytes is not None
    assert 60 << 20 < ran.calls[0].usage.memory_peak_bytes <= 64 << 20
    assert {call.usage.source for call in ran.calls} == {UsageSource.CGROUP}
    assert said(ran) == []
