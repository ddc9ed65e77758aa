"""Launchers are not calls: however an agent is started, exactly what it starts itself is counted."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.run.running import agent, run

SOURCE = """
    sh("echo one")
    subprocess.run("echo two", shell=True)
    subprocess.run(["bash", "-c", "echo three"])
"""
UVX = shutil.which("uvx", path=f"{os.environ['PATH']}:{Path(__file__).parents[2] / '.cache/uv/bin'}")
CALLS = ["echo one", "echo two", "echo three"]


def test_as_the_command_itself(tmp_path: Path) -> None:
    assert run(tmp_path, agent(tmp_path, SOURCE)).commands == CALLS


@pytest.mark.parametrize(
    "launcher",
    [
        ["env", "FOO=1"],
        ["nice", "-n", "1"],
        ["nohup"],
        ["setsid", "--wait"],
        ["timeout", "60"],
        ["stdbuf", "-oL"],
        ["env", "nice", "timeout", "60"],
        ["bash", "-c", 'true; "$@"; exit $?', "launcher"],
        ["sh", "-c", '(true); sh -c "true"; "$@"; exit $?', "launcher"],
    ],
    ids=" ".join,
)
def test_through_programs_that_start_others(tmp_path: Path, launcher: list[str]) -> None:
    ran = run(tmp_path, [*launcher, *agent(tmp_path, SOURCE)])
    assert ran.status == 0, ran.stderr
    assert ran.commands == CALLS


def test_through_a_shell_script_that_calls_a_shell_script(tmp_path: Path) -> None:
    line = " ".join(agent(tmp_path, SOURCE))
    inner, outer = tmp_path / "inner.sh", tmp_path / "outer.sh"
    inner.write_text(f"#!/bin/bash\ngrep -c x /proc/cpuinfo >/dev/null\nbash -c true\n{line}\nexit 0\n")
    outer.write_text(f"#!/bin/sh\n{inner}\nexit 0\n")
    for script in (inner, outer):
        script.chmod(0o755)
    ran = run(tmp_path, [str(outer)])
    assert ran.commands == CALLS
    assert {event["label"] for event in ran.events("shell")} == {"launcher"}


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed on this machine")
@pytest.mark.parametrize("how", ["npm run", "npx"])
def test_through_npm(tmp_path: Path, how: str) -> None:
    command = " ".join(agent(tmp_path, SOURCE))
    package = {"name": "started", "version": "1.0.0", "scripts": {"agent": command}}
    (tmp_path / "package.json").write_text(json.dumps(package))
    line = ["npm", "run", "--silent", "agent"] if how == "npm run" else ["npx", "--no-install", "-c", command]
    environment = {"HOME": str(tmp_path), "npm_config_update_notifier": "false"}
    ran = run(tmp_path, line, environment=environment)
    assert ran.status == 0, ran.stderr
    assert ran.commands == CALLS


@pytest.mark.skipif(UVX is None, reason="uvx is not installed on this machine")
def test_through_uvx(tmp_path: Path) -> None:
    """uvx with a local package whose command is the agent; nothing is fetched."""
    source = Path(agent(tmp_path, SOURCE)[2]).read_text()
    package = tmp_path / "package"
    package.mkdir()
    body = "".join(f"    {line}\n" for line in source.splitlines())
    (package / "local_agent.py").write_text(f"def main():\n{body}")
    (package / "backend.py").write_text(_BACKEND)
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "local-agent"\nversion = "1.0"\nscripts = {local-agent = "local_agent:main"}\n'
    )
    line = [str(UVX), "--offline", "--python", sys.executable, "--from", str(package), "local-agent"]
    ran = run(tmp_path, line, environment={"UV_CACHE_DIR": str(tmp_path / "cache")})
    assert ran.status == 0, ran.stderr
    assert ran.commands[-3:] == CALLS
    assert len(ran.calls) == 3


_BACKEND = """
import zipfile
def build_wheel(folder, settings=None, metadata=None):
    name = "local_agent-1.0-py3-none-any.whl"
    info = "local_agent-1.0.dist-info/"
    with zipfile.ZipFile(folder + "/" + name, "w") as wheel:
        wheel.write("local_agent.py")
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: local-agent\\nVersion: 1.0\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "entry_points.txt", "[console_scripts]\\nlocal-agent = local_agent:main\\n")
        wheel.writestr(info + "RECORD", "")
    return name
"""


def test_subshells_of_a_launcher_are_as_little_a_command_as_the_launcher(tmp_path: Path) -> None:
    line = " ".join(agent(tmp_path, SOURCE))
    script = tmp_path / "start.sh"
    script.write_text(f"#!/bin/bash\n( (sleep 0.5; true); true )\nbash -c '(sleep 0.5; true); true'\n{line}\nexit 0\n")
    script.chmod(0o755)
    ran = run(tmp_path, [str(script)])
    assert ran.commands == CALLS
    assert ran.events("uncaught") == []


def test_a_shell_script_that_is_the_agent_needs_to_be_named_so(tmp_path: Path) -> None:
    script = tmp_path / "agent.sh"
    script.write_text("#!/bin/bash\nbash -c 'echo one'\nsh -c 'echo two'\nexit 0\n")
    script.chmod(0o755)
    for folder, how in (("auto", []), ("command", ["--agent", "command"])):
        (tmp_path / folder).mkdir()
        ran = run(tmp_path / folder, [str(script)], *how)
        assert ran.commands == (["echo one", "echo two"] if how else [])


def test_an_orphan_of_the_agent_is_still_caught(tmp_path: Path) -> None:
    source = """
        if os.fork() == 0:
            if os.fork() == 0:
                time.sleep(0.3)  # the parent is gone, init or a subreaper is the parent now
                os.execvp("bash", ["bash", "-c", "echo orphan"])
            os._exit(0)
        os.wait()
        time.sleep(1)
    """
    ran = run(tmp_path, agent(tmp_path, source))
    assert ran.commands == ["echo orphan"]
