"""Signals, stops and terminals: what reaches the command, how often, and what the agent sees of it."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentcgroup.client.wire import Start
from tests.client.harness import REAL, Controller, Session

RELAYED = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGALRM, signal.SIGRTMIN + 1]
# Counts a signal each time it comes; `exec 0<` keeps the command in builtins, so that no child can be hit instead.
COUNTING = 'n=0; trap "echo got" {0}; trap "exit 0" QUIT; echo ready; while :; do read -t 0.01 <>"$FIFO"; done'


def _eventually(holds: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, what
        time.sleep(0.002)


class Command:
    """A command that runs for a while under the client, in a session of its own."""

    def __init__(self, program: Path, text: str, folder: Path) -> None:
        fifo = folder / "fifo"
        if not fifo.exists():
            os.mkfifo(fifo)
        self.out = folder / "out"
        self.out.write_text("")
        self.process = subprocess.Popen(
            ["bash", "-c", text],
            executable=program,
            stdin=subprocess.DEVNULL,
            stdout=self.out.open("a"),
            env=os.environ | {"FIFO": str(fifo)},
            start_new_session=True,
        )
        self.pid = self.process.pid

    def lines(self, text: str) -> int:
        return self.out.read_text().split().count(text)

    def ready(self) -> Command:
        _eventually(lambda: self.lines("ready") == 1, "the command is not ready")
        time.sleep(0.03)  # the sentinel comes after 5 ms
        return self

    def end(self) -> int:
        if self.process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
        return self.process.wait(10)


@pytest.fixture(params=["static", "sanitized"])
def any_session(request: pytest.FixtureRequest, session: Session) -> Session:
    if request.param == "sanitized":
        session.client = request.getfixturevalue("checked_client")
    return session


@pytest.fixture
def counting(any_session: Session, controller: Controller, tmp_path: Path) -> Iterator[Command]:
    names = " ".join(signal.Signals(n).name if n < 32 else f"RTMIN+{n - signal.SIGRTMIN}" for n in RELAYED)
    command = Command(any_session.stand_in(), COUNTING.format(names), tmp_path).ready()
    yield command
    command.end()


def test_a_signal_to_the_client_is_forwarded_once(counting: Command) -> None:
    for count, number in enumerate(RELAYED, 1):
        os.kill(counting.pid, number)
        _eventually(lambda count=count: counting.lines("got") >= count, f"{number} did not arrive")  # type: ignore[misc]
    time.sleep(0.05)
    assert counting.lines("got") == len(RELAYED)


def test_a_signal_to_the_group_arrives_once(counting: Command) -> None:
    for count, number in enumerate(RELAYED * 3, 1):
        os.killpg(counting.pid, number)
        _eventually(lambda count=count: counting.lines("got") >= count, f"{number} did not arrive")  # type: ignore[misc]
        time.sleep(0.02)  # what is forwarded in error comes after 2 ms
        assert counting.lines("got") == count, f"signal {number} came twice"


def test_group_and_client_in_turn(counting: Command) -> None:
    for count in range(1, 11):
        (os.killpg if count % 2 else os.kill)(counting.pid, signal.SIGTERM)
        _eventually(lambda count=count: counting.lines("got") >= count, "a signal did not arrive")  # type: ignore[misc]
        time.sleep(0.02)
        assert counting.lines("got") == count
    os.kill(counting.pid, signal.SIGQUIT)
    assert counting.process.wait(10) == 0


def test_an_early_signal_is_not_lost(session: Session, controller: Controller, tmp_path: Path) -> None:
    """Before the sentinel is there, and even before the command is."""
    stand_in = session.stand_in()
    for delay in (0, 0.0002, 0.0005, 0.001, 0.002, 0.004):
        command = Command(stand_in, "sleep 30", tmp_path)
        # Not before the exec: until then it is still Python, which Popen has waited for.
        time.sleep(delay)
        os.kill(command.pid, signal.SIGTERM)
        assert command.process.wait(10) == -signal.SIGTERM


def _gone(pid: int) -> bool:
    """Dead, whether or not init has collected it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_the_client_dies_and_so_does_the_command(session: Session, controller: Controller, tmp_path: Path) -> None:
    command = Command(session.stand_in(), "echo ready; sleep 30", tmp_path).ready()
    (call,) = controller.wait_for(lambda c: bool(c) and bool(c[0].of(Start)))
    os.kill(command.pid, signal.SIGKILL)
    assert command.process.wait(10) == -signal.SIGKILL
    _eventually(lambda: _gone(call.start.pid), "the shell lives on")
    _eventually(lambda: call.closed, "the socket is still open")
    assert len(call.messages) == 2  # REQUEST and START: the missing END tells the controller


def _stopped_by(pid: int) -> int:
    info = os.waitid(os.P_PID, pid, os.WSTOPPED)
    assert info is not None
    return info.si_status


def _running(pid: int) -> None:
    os.waitid(os.P_PID, pid, os.WCONTINUED)


def test_stopping_the_group_and_going_on(any_session: Session, controller: Controller, tmp_path: Path) -> None:
    command = Command(any_session.stand_in(), "echo ready; read -t 0.3 <>$FIFO; exit 4", tmp_path).ready()
    os.killpg(command.pid, signal.SIGSTOP)
    assert _stopped_by(command.pid) == signal.SIGSTOP
    os.killpg(command.pid, signal.SIGCONT)
    _running(command.pid)
    assert command.process.wait(10) == 4


def test_a_command_that_stops_itself(any_session: Session, controller: Controller, tmp_path: Path) -> None:
    command = Command(any_session.stand_in(), "echo ready; kill -STOP $$; echo on; exit 5", tmp_path)
    assert _stopped_by(command.pid) == signal.SIGSTOP
    assert command.lines("on") == 0
    os.kill(command.pid, signal.SIGCONT)
    assert command.process.wait(10) == 5
    assert command.lines("on") == 1


def test_a_command_that_somebody_else_continues(any_session: Session, controller: Controller, tmp_path: Path) -> None:
    text = "(sleep 0.2; kill -CONT $$) & echo ready; kill -STOP $$; echo on; exit 6"
    command = Command(any_session.stand_in(), text, tmp_path)
    assert _stopped_by(command.pid) == signal.SIGSTOP
    assert command.process.wait(10) == 6


def test_pipes_end_when_the_command_closes_them(session: Session, controller: Controller) -> None:
    argv = ["bash", "-c", "echo x; exec >&- <&-; sleep 0.5"]
    process = subprocess.Popen(
        argv, executable=session.stand_in(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.read() == b"x\n"  # returns at the end of file
    assert process.poll() is None
    assert process.wait(10) == 0
    assert process.stdin is not None
    process.stdin.close()


@pytest.mark.parametrize("there", [True, False], ids=["controller", "no controller"])
def test_other_descriptors_are_not_held(session: Session, there: bool, short_path: Path) -> None:
    """A pipe on descriptor 3 and more: the agent reads to its end, which comes before that of the command."""
    controller = Controller(short_path / "s").start() if there else None
    pipes = [os.pipe() for _ in range(6)]
    ends = [write for _, write in pipes]
    text = "".join(f"exec {fd}>&-; " for fd in ends) + "sleep 0.3"
    process = subprocess.Popen(["bash", "-c", text], executable=session.stand_in(), pass_fds=ends)
    for read, write in pipes:
        os.close(write)
        assert os.read(read, 1) == b""
        os.close(read)
    assert process.poll() is None
    assert process.wait(10) == 0
    if controller:
        controller.stop()


class Terminal:
    """A shell on a pseudo-terminal of its own, as an agent's PTY tool has it."""

    def __init__(self, program: Path, *argv: str) -> None:
        self.master, slave = os.openpty()
        self.seen = ""
        os.set_blocking(self.master, False)
        self.process = subprocess.Popen(
            argv,
            executable=program,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={"PATH": os.environ["PATH"], "PS1": "@ ", "TERM": "dumb", "HOME": "/nonexistent"},
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)

    def read(self) -> str:
        try:
            self.seen += os.read(self.master, 65536).decode().replace("\r", "")
        except BlockingIOError:
            pass
        except OSError:  # EIO: nobody is there any more
            pass
        return self.seen

    def answer(self, keys: str, until: str = "@ ") -> str:
        """Types ``keys`` and returns what was shown up to ``until``."""
        self.seen = ""
        os.write(self.master, keys.encode())
        _eventually(lambda: until in self.read().partition("\n")[2] if "\n" in keys else until in self.read(), keys)
        return self.seen

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
        os.close(self.master)


def _dialogue(program: Path) -> list[object]:
    terminal = Terminal(program, "bash", "--norc", "--noprofile", "-i")
    try:
        _eventually(lambda: terminal.read().endswith("@ "), "no prompt")
        said: list[object] = [
            terminal.answer("echo $((6 * 7))\n"),
            terminal.answer("tty >/dev/null && echo a terminal; set -o | grep monitor\n"),
        ]
        os.write(terminal.master, b"sleep 30\n")
        time.sleep(0.2)
        terminal.answer("\x03")  # ^C
        said.append(terminal.answer("echo $?\n"))
        os.write(terminal.master, b"sleep 31\n")
        time.sleep(0.2)
        terminal.answer("\x1a")  # ^Z
        said.append(terminal.answer("jobs\n"))
        said.append(terminal.answer("kill -9 %1; wait 2>/dev/null; echo done; trap 'echo int' INT\n"))
        said.append(terminal.answer("stty size >/dev/null; ps -o tpgid= -o pgid= -p $$ | awk '{print ($1 != $2)}'\n"))
        os.write(terminal.master, b"exit 7\n")
        said.append(terminal.process.wait(10))
        # When bash reports a job is a matter of timing.
        return [re.sub(r"\n*\[1\][^\n]*sleep 31\n", "\n", s) if isinstance(s, str) else s for s in said]
    finally:
        terminal.close()


def test_an_interactive_shell(any_session: Session, controller: Controller) -> None:
    assert _dialogue(any_session.stand_in()) == _dialogue(REAL["bash"])


@pytest.mark.parametrize("key", ["\x03", "\x1c"])
def test_interrupt_and_quit_from_the_terminal(any_session: Session, controller: Controller, key: str) -> None:
    ends = []
    for program in (REAL["bash"], any_session.stand_in()):
        terminal = Terminal(program, "bash", "-c", "trap 'echo trapped' INT QUIT; echo ready; sleep 30; echo over")
        _eventually(lambda t=terminal: "ready" in t.read(), "not ready")  # type: ignore[misc]
        time.sleep(0.05)
        os.write(terminal.master, key.encode())
        status = terminal.process.wait(10)
        ends.append((status, terminal.read().replace("Quit", "")))
        terminal.close()
    assert ends[0] == ends[1]
    assert ends[0][1].count("trapped") == 1


def test_hanging_up_reaches_the_command(any_session: Session, controller: Controller, tmp_path: Path) -> None:
    """The kernel tells the session leader only, which is the client."""
    for program in (REAL["bash"], any_session.stand_in()):
        out = tmp_path / "out"
        out.write_text("")
        text = f"trap 'echo hup >>{out}; exit 0' HUP; echo ready >>{out}; while :; do sleep 0.02; done"
        terminal = Terminal(program, "bash", "-c", text)
        _eventually(lambda: "ready" in out.read_text(), "not ready")  # noqa: B023
        time.sleep(0.03)
        os.close(terminal.master)
        assert terminal.process.wait(10) == 0
        assert out.read_text().split() == ["ready", "hup"]
