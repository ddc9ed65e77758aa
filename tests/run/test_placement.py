"""Which shells are caught, by a private mount namespace or by PATH and SHELL, and what COMMAND sees of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.run import surroundings
from tests.run.running import agent, support
from tests.run.surroundings import said


def test_path_catches_what_is_looked_up_and_counts_what_is_not(tmp_path: Path) -> None:
    source = """
        sh("true")
        subprocess.run(["sh", "-c", "exit 1"])
        subprocess.run([os.environ["SHELL"], "-c", "exit 2"])
        subprocess.run([os.environ["CLAUDE_CODE_SHELL"], "-c", "exit 3"])
        subprocess.run(["/bin/bash", "-c", "sleep 0.5; exit 4"])
        subprocess.run(["/bin/sh", "-c", "sleep 0.6 & wait"])
    """
    ran = surroundings.run(tmp_path, [], agent(tmp_path, source), "--placement", "path", "--track", "off")
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


def test_processes_are_shown_by_the_name_of_the_shell(tmp_path: Path) -> None:
    source = """
        for shell in ("bash", "sh", "/bin/bash"):
            print(subprocess.check_output([shell, "-c", "ps -o comm= -p $$; true"], text=True).strip())
    """
    ran = surroundings.run(tmp_path, [], agent(tmp_path, source), "--placement", "mount")
    assert ran.stdout.split() == ["bash", "sh", "bash"]


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
    ran = surroundings.run(tmp_path, line, agent(tmp_path, source), "--track", "off")
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
