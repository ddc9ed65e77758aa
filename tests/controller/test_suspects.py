"""Which programs are shells; and judging real processes that nobody stood in for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentcgroup.agents.registry import rule_table
from agentcgroup.client.rules import RuleTable, Verdict
from agentcgroup.controller.sampler import file_ids
from agentcgroup.controller.suspects import Inspector, Process, is_shell
from agentcgroup.model import Label


@pytest.mark.parametrize(
    ("path", "argv", "expected"),
    [
        ("/bin/bash", ("bash", "-c", "x"), True),
        ("/usr/local/bin/bash-5.2", ("bash",), True),
        ("/opt/nix/store/x/bin/zsh (deleted)", ("zsh",), True),
        ("/bin/sh", ("-sh",), True),
        ("ksh93", ("ksh",), True),
        ("/bin/busybox", ("sh", "-c", "x"), True),
        ("/bin/busybox", ("busybox", "ash", "-c", "x"), True),
        ("/bin/busybox", ("/bin/sh", "-c", "x"), True),
        ("/bin/busybox", ("ls", "sh"), False),
        ("/bin/busybox", ("busybox", "ls"), False),
        ("/bin/busybox", (), False),
        ("/usr/bin/ssh", ("ssh", "host"), False),
        ("/usr/bin/fish", ("fish",), True),
        ("/usr/bin/bashful", ("bashful",), False),
        ("/srv/ci.sh", ("/bin/sh", "/srv/ci.sh"), False),
        ("", (), False),
    ],
)
def test_what_is_a_shell(path: str, argv: tuple[str, ...], expected: bool) -> None:
    assert is_shell(path, argv) is expected


@contextmanager
def running(*argv: str, **variables: str) -> Iterator[Process]:
    """A process that has executed ``argv``, as the kernel tells of it."""
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True, env={**os.environ, **variables})
    while not Path(f"/proc/{child.pid}/environ").read_bytes():
        pass  # Popen returns a little before the exec is complete, the kernel tells of it after
    try:
        yield Process(child.pid, os.getpid(), argv)
    finally:
        child.kill()
        child.wait()


def inspector(folder: Path, force: str, *stand_ins: Path) -> Inspector:
    """For an agent of the kind ``force`` that this process is."""
    return Inspector(RuleTable(rule_table(force)), file_ids(stand_ins), folder, os.getpid())


def test_a_shell_is_judged_by_its_session_environment_and_parents(tmp_path: Path) -> None:
    with running("/bin/bash", "-c", "sleep 9; true", GEMINI_CLI="1") as shell:
        judge = inspector(tmp_path, "gemini").judge
        assert judge(shell, "/bin/bash") == Verdict(Label.CALL, "gemini")
        assert judge(Process(shell.pid, shell.parent, ("sh", "x")), "/usr/bin/python3") is None
        assert inspector(tmp_path, "openhands").judge(shell, "/bin/bash") == Verdict(Label.HELPER, "openhands")
        assert shell.cwd == str(Path.cwd())
    with running("/bin/bash", "-c", "sleep 9; true") as shell:
        assert judge(shell, "/bin/bash") == Verdict(Label.HELPER, "gemini")


def test_one_that_has_become_its_command_is_judged_as_the_shell_it_was(tmp_path: Path) -> None:
    with running("/bin/bash", "-c", "exec sleep 9") as shell:
        while Path(f"/proc/{shell.pid}/comm").read_text() != "sleep\n":
            pass
        assert inspector(tmp_path, "mini").judge(shell, "/bin/bash") == Verdict(Label.CALL, "mini")


def test_a_script_is_known_by_its_interpreter(tmp_path: Path) -> None:
    with running("/bin/sleep", "9") as process:
        script = Process(process.pid, process.parent, ("/bin/sh", "/srv/tool"))
        assert inspector(tmp_path, "mini").judge(script, "/srv/tool") == Verdict(Label.CALL, "mini")


def test_clients_and_what_they_become_are_no_suspects(tmp_path: Path) -> None:
    shell = Path("/bin/bash").resolve()
    with running(str(shell), "-c", "read x < /dev/zero") as process:
        assert inspector(tmp_path, "mini", shell).judge(process, str(shell)) is None
        assert inspector(shell.parent, "mini").judge(process, str(shell)) is None


def test_what_has_ended_is_judged_only_where_clients_are_told(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    gone = Process(child.pid, os.getpid(), ("/bin/bash", "-c", "x"))
    judging = inspector(tmp_path, "mini")
    assert judging.judge(gone, "/bin/bash") is None
    judging.tells_clients = True
    assert judging.judge(gone, "/bin/bash") == Verdict(Label.CALL, "mini")
    assert judging.judge(gone, "/bin/bash", told=False) is None  # it was there before the kernel told
    assert (gone.stat, gone.cwd, gone.variables, gone.on_terminal) == (None, "", {}, False)
