"""The command behaves as under the plain shell: every case runs with and without the client, and is compared.

Both builds of the client run the table: the static one as shipped, and the one with ASan and UBSan.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agentcgroup.client import wire
from agentcgroup.kernel import process
from tests.client.harness import REAL, Controller, Session

EVERY_BYTE = bytes(range(1, 256))


@dataclass(frozen=True)
class Case:
    """What the agent executes: ``argv`` with the shell as ``argv[0]``; "interp" in a script is the shell."""

    name: str
    argv: tuple[str | bytes, ...]
    shell: str = "bash"
    stdin: bytes = b""
    env: dict[str, str] = field(default_factory=dict)
    before: Callable[[], object] | None = None  # in the child, before exec
    script: bytes = b""  # the text of ./script
    program: str = ""  # executed instead of the shell itself


def _close(*descriptors: int) -> Callable[[], object]:
    def close() -> None:
        for descriptor in descriptors:
            os.close(descriptor)

    return close


def _block(*signals: int) -> Callable[[], object]:
    return lambda: signal.pthread_sigmask(signal.SIG_BLOCK, signals)


def _ignore(*signals: int) -> Callable[[], object]:
    return lambda: [signal.signal(number, signal.SIG_IGN) for number in signals]


def _limits() -> None:
    os.umask(0o27)
    os.nice(3)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200))


SIGNALS_OF_SELF = "grep -E '^Sig(Blk|Ign)|^ShdPnd' /proc/self/status"
FDS = 'for fd in 0 1 2 3 4 5 6; do [ -e /proc/$$/fd/$fd ] && echo $fd >>"$OUT"; done'

CASES = [
    Case("-c", ("bash", "-c", 'echo out; echo err >&2; echo "$0" "$#"')),
    Case("-c with arguments", ("bash", "-c", 'echo "$0" "$@"', "zero", "one two", "", "*")),
    Case("-lc", ("bash", "-lc", "shopt -q login_shell && echo login")),
    Case("-c -l", ("bash", "-c", "-l", "shopt -q login_shell && echo login")),
    Case("-ec", ("bash", "-ec", "false; echo not here")),
    Case("sh -c", ("sh", "-c", "echo $0 $((6 * 7))"), shell="sh"),
    Case("login by name", ("-bash", "-c", "shopt -q login_shell && echo login; echo $0")),
    Case("another argv[0]", ("/no/such/name", "-c", "echo $0")),
    Case("empty argv[0]", ("", "-c", "echo empty:$0")),
    Case("script", ("bash", "script", "a", "b"), script=b'echo "$0" "$@"; exit 9\n'),
    Case("shebang", ("./script", "a b"), script=b'#!interp -u\necho "$0" "$@"; echo $UNSET_HERE\n', program="script"),
    Case("script on stdin", ("bash", "-s", "x"), stdin=b'echo "$1"; exit 4\n'),
    Case("stdin to the command", ("bash", "-c", "cat; exit 2"), stdin=EVERY_BYTE * 500),
    Case("stdin ends early", ("bash", "-c", "head -c 3"), stdin=b"abcdef" * 100_000),
    Case("much output", ("bash", "-c", "head -c 3000000 /dev/zero; head -c 200000 /dev/zero >&2")),
    Case("working directory", ("bash", "-c", "pwd; pwd -P; readlink /proc/self/cwd")),
    Case("environment", ("bash", "-c", "env | sort | grep -v ^_="), env={"A": "1", "B": "two\nlines"}),
    Case("empty environment", ("bash", "-c", "env | grep -v ^_="), env={"": ""}),
    Case("every byte", (b"bash", b"-c", b'printf %s "$1" "$2"', b"x", EVERY_BYTE, EVERY_BYTE[::-1])),
    Case("no such command", ("bash", "-c", "no-such-command-here")),
    Case("not executable", ("bash", "-c", "/etc/passwd")),
    Case("no such script", ("bash", "/no/such/script")),
    Case("syntax error", ("bash", "-c", "if")),
    Case("unknown option", ("bash", "--no-such-option")),
    Case("an argument of 128 KiB", ("bash", "-c", "echo ${#1}", "x", "y" * 131_000)),
    Case("a command line of nearly 2 MiB", ("bash", "-c", "echo $#; echo ${15}", "x", *["y" * 100_000] * 19)),
    Case("many arguments", ("bash", "-c", "echo $#", "x", *["y"] * 50_000)),
    Case("limits", ("bash", "-c", "umask; nice; ulimit -n; ulimit -Hn"), before=_limits),
    Case("blocked signals", ("bash", "-c", f"exec {SIGNALS_OF_SELF}"), before=_block(signal.SIGTERM, signal.SIGUSR2)),
    Case("ignored signals", ("bash", "-c", SIGNALS_OF_SELF), before=_ignore(signal.SIGINT, signal.SIGHUP)),
    Case("SIGCHLD ignored", ("bash", "-c", f"exec {SIGNALS_OF_SELF}"), before=_ignore(signal.SIGCHLD)),
    Case("no stdin", ("bash", "-c", FDS), before=_close(0)),
    Case("no stdout", ("bash", "-c", FDS), before=_close(1)),
    Case("no stderr", ("bash", "-c", f"{FDS}; ls /nowhere"), before=_close(2)),
    Case("no descriptors", ("bash", "-c", f"{FDS}; exit 5"), before=_close(0, 1, 2)),
    Case("descriptors", ("bash", "-c", FDS)),
    Case("children of the command", ("bash", "-c", "sleep 0 & wait $!; (exit 6); echo $?; true | false")),
    Case("job left behind", ("bash", "-c", "sleep 0.05 >/dev/null 2>&1 & echo started")),
    Case("killed by a child", ("bash", "-c", "kill -TERM $$; sleep 5")),
    Case("kill 0 at once", ("bash", "-c", "trap 'echo trapped' TERM; kill -TERM 0; exit 3")),
    Case("exec of a program", ("bash", "-c", "exec -a other sh -c 'echo $0; exit 8'")),
    Case("time limits of its own", ("bash", "-c", "timeout 0.05 sleep 5")),
    Case("set -m", ("bash", "-c", "set -m; sleep 0 & wait; echo $?")),
    Case(
        "dies of a signal in a pipeline",
        ("bash", "-o", "pipefail", "-c", "exec 2>&-; sh -c 'kill -9 $$' | cat; echo $?"),
    ),
]


@pytest.fixture(params=["static", "sanitized"])
def any_session(request: pytest.FixtureRequest, session: Session) -> Session:
    if request.param == "sanitized":
        session.client = request.getfixturevalue("checked_client")
    return session


Result = tuple[int, bytes, bytes, bytes]


def _run(program: Path, case: Case, folder: Path) -> Result:
    """Executes the case in ``folder`` and returns status, stdout, stderr and what was written to $OUT."""
    folder.mkdir(exist_ok=True)
    (folder / "out").write_bytes(b"")
    if case.script:
        interpreter = folder / "interp"
        interpreter.unlink(missing_ok=True)
        interpreter.symlink_to(program)
        (folder / "script").write_bytes(case.script.replace(b"interp", os.fsencode(interpreter)))
        (folder / "script").chmod(0o755)
    env = {"PATH": os.environ["PATH"], "OUT": str(folder / "out"), **case.env}
    process = subprocess.Popen(
        case.argv,
        executable=folder / case.program if case.program else program,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env={k: v for k, v in env.items() if k} if "" not in case.env else {},
        start_new_session=True,
        preexec_fn=case.before,
    )
    out, err = process.communicate(case.stdin, timeout=30)
    return process.returncode, out, err, (folder / "out").read_bytes()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_as_without(any_session: Session, controller: Controller, tmp_path: Path, case: Case) -> None:
    folder = tmp_path / "here"
    plain = _run(REAL[case.shell], case, folder)
    assert _run(any_session.stand_in(case.shell), case, folder) == plain
    (call,) = controller.calls()
    status = os.waitstatus_to_exitcode(call.end.wait_status)
    assert status == plain[0]
    assert call.start.cwd == str(folder)
    whole = b"".join((os.fsencode(word) + b"\0") for word in case.argv)
    if case.program != "script":
        assert call.start.argv_bytes == len(whole)
        assert b"".join(os.fsencode(w) + b"\0" for w in call.start.argv)[:65536] == whole[:65536]


@pytest.mark.parametrize("statuses", [range(256)])
def test_exit_statuses(session: Session, controller: Controller, statuses: range) -> None:
    stand_in = session.stand_in("sh")
    for status in statuses:
        done = subprocess.run(["sh", "-c", f"exit {status}"], executable=stand_in, check=False)
        assert done.returncode == status
    assert [os.waitstatus_to_exitcode(c.end.wait_status) for c in controller.calls(256)] == list(statuses)


DEADLY = sorted(
    set(range(1, 65))
    - {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}
    - {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
)
RESTORED = {signal.SIGPIPE, signal.SIGXFSZ}  # Python ignores these, and subprocess gives them back


def test_killing_signals(any_session: Session, controller: Controller) -> None:
    stand_in = any_session.stand_in("sh")
    masks = process.status_signals()
    assert masks is not None
    for number in DEADLY:
        if number in masks.ignored and number not in RESTORED:
            continue  # whoever started the tests ignores it, and so does all that is started here
        argv = ["sh", "-c", f"kill -{number} $$; sleep 5"]
        plain = subprocess.run(argv, executable=REAL["sh"], check=False, capture_output=True)
        done = subprocess.run(argv, executable=stand_in, check=False, capture_output=True)
        assert (done.returncode, done.stderr) == (plain.returncode, plain.stderr), signal.strsignal(number)
        assert done.returncode == -number


def test_a_crash_leaves_no_second_core(session: Session, controller: Controller, tmp_path: Path) -> None:
    """The command may dump its core; the client that dies of the same signal must not overwrite it."""
    unlimited = lambda: resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20))  # noqa: E731
    argv = ["sh", "-c", "ulimit -c 0; kill -SEGV $$"]
    done = subprocess.run(argv, executable=session.stand_in("sh"), cwd=tmp_path, preexec_fn=unlimited, check=False)
    assert done.returncode == -signal.SIGSEGV
    assert list(tmp_path.iterdir()) == []


def test_process_group_and_session(session: Session, controller: Controller) -> None:
    """The command stays in the group and session of the client, which is what the agent signals."""
    argv = ["bash", "-c", "ps -o pgid= -o sid= -o ppid= -p $$; ps -o comm= -o args= -p $PPID; sleep 0.05"]
    process = subprocess.Popen(argv, executable=session.stand_in(), stdout=subprocess.PIPE, start_new_session=True)
    out = process.communicate()[0].split()
    assert [int(field) for field in out[:3]] == [process.pid] * 3
    assert out[3:5] == [b"agentcgroup", b"agentcgroup"]


def test_pgrep_finds_the_command_once(session: Session, controller: Controller) -> None:
    argv = ["bash", "-c", "sleep 0.05; pgrep -f 'a-mark-of-its-[o]wn'; true # a-mark-of-its-own"]
    done = subprocess.run(argv, executable=session.stand_in(), capture_output=True, check=False)
    assert len(done.stdout.split()) == 1
    (call,) = controller.calls()
    assert int(done.stdout) == call.start.pid


def test_in_its_leaf_and_with_counters(session: Session, controller: Controller) -> None:
    assert session.tree is not None
    leaf = session.tree.leaf("c000001")
    controller.grant = lambda _: wire.encode(wire.Grant("c000001"))
    argv = ["bash", "-c", "grep ^0:: /proc/self/cgroup; bash -c 'exit 3'; echo $?; sleep 0.2 >/dev/null 2>&1 &"]
    done = subprocess.run(argv, executable=session.stand_in(), capture_output=True, check=False, text=True)
    assert done.stdout.splitlines() == [f"0::{session.tree.shown(leaf)}", "3"]
    (call,) = controller.calls()
    assert call.start.leaf == "c000001"
    assert call.end.populated
    assert "populated 1" in call.end.counters["cgroup.events"]
    assert "usage_usec" in call.end.counters["cpu.stat"]
    assert call.end.maxrss_bytes > 1 << 20
    assert call.start.requested_ns <= call.start.started_ns <= call.end.ended_ns


def test_inside_a_call_the_real_shell_runs_at_once(session: Session, controller: Controller) -> None:
    assert session.tree is not None
    session.tree.leaf("c1")
    controller.grant = lambda _: wire.encode(wire.Grant("c1"))
    stand_in = session.stand_in()
    argv = ["bash", "-c", f"exec {stand_in} -c 'readlink /proc/$$/exe; {stand_in} -c \"exit 7\"'"]
    done = subprocess.run(argv, executable=stand_in, capture_output=True, check=False, text=True)
    assert done.returncode == 7
    assert done.stdout.strip() == str(REAL["bash"])
    assert len(controller.settled()) == 1


def test_the_command_cannot_be_executed(session: Session, controller: Controller, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    for real, status in ((tmp_path / "missing", 127), (tmp_path / "plain", 126)):
        stand_in = session.stand_in(real=str(real))
        done = subprocess.run(["bash", "-c", "true"], executable=stand_in, capture_output=True, check=False, text=True)
        assert done.returncode == status
        assert str(real) in done.stderr
        assert done.stderr.count("\n") == 1
