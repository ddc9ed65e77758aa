"""Nothing stays frozen without a controller: the client thaws its own leaf when its connection ends."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentcgroup.client import wire
from agentcgroup.kernel.cgroup import Cgroup
from tests.client.harness import Controller, Session, Tree

NOBODY = 65534

# A controller of its own process: grants one leaf, says what it hears, and freezes the leaf at START when told to.
CONTROLLER = """
import socket, sys
from agentcgroup.client import wire
path, leaf, freezes = sys.argv[1:]
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
    listener.bind(path)
    listener.listen()
    print("listening", flush=True)
    client, _ = listener.accept()
    while packet := client.recv(wire.MESSAGE_MAX):
        message = wire.decode(packet)
        if isinstance(message, wire.Request):
            client.send(wire.encode(wire.Grant(leaf.rpartition("/")[2])))
        if isinstance(message, wire.Start) and freezes:
            open(leaf + "/cgroup.freeze", "w").write("1")
        print(type(message).__name__, flush=True)
"""


@pytest.fixture(params=["static", "sanitized"])
def any_session(request: pytest.FixtureRequest, session: Session) -> Session:
    if request.param == "sanitized":
        session.client = request.getfixturevalue("checked_client")
    return session


@pytest.fixture
def leaf(tree: Tree) -> Iterator[Cgroup]:
    made = Cgroup(tree.leaf("c1"))
    yield made
    made.thaw()


class Killable:
    """A controller that can be killed, and what it has heard."""

    def __init__(self, session: Session, leaf: Cgroup, *, freezes: bool = False) -> None:
        argv = [sys.executable, "-c", CONTROLLER, session.config.sock, str(leaf.path), "yes" if freezes else ""]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        self.hears("listening")

    def hears(self, word: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == word

    def die(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def start_controller(any_session: Session, leaf: Cgroup) -> Iterator[Callable[..., Killable]]:
    started: list[Killable] = []

    def start(**options: bool) -> Killable:
        started.append(Killable(any_session, leaf, **options))
        return started[-1]

    yield start
    for each in started:
        if each.process.returncode is None:
            each.die()


def _start(session: Session, text: str, **options: object) -> subprocess.Popen[str]:
    command: subprocess.Popen[str] = subprocess.Popen(
        ["bash", "-c", text],
        executable=session.stand_in(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,  # type: ignore[call-overload]
    )
    return command


def _says(command: subprocess.Popen[str], word: str) -> None:
    assert command.stdout is not None
    assert command.stdout.readline().strip() == word


# Answers a line; so it shows whether it runs, and says how it ends.
ASKING = "echo ready; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.02; done; echo over; exit 7"


def _frozen(leaf: Cgroup) -> bool:
    return leaf.read_keyed("cgroup.events")["frozen"] == 1


def _thawed_within(leaf: Cgroup, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while leaf.read_int("cgroup.freeze") != 0:
        if time.monotonic() > until:
            return False
        time.sleep(0.002)
    return True


def test_the_controller_is_killed_while_the_call_is_frozen(
    any_session: Session, leaf: Cgroup, start_controller: Callable[..., Killable]
) -> None:
    controller = start_controller()
    command = _start(any_session, ASKING)
    _says(command, "ready")
    controller.hears("Request")
    controller.hears("Start")
    time.sleep(0.02)
    leaf.freeze()
    assert leaf.wait_frozen(5)
    controller.die()
    assert _thawed_within(leaf, 1)
    out, err = command.communicate(timeout=10)
    assert (command.returncode, out, err) == (7, "over\n", "")
    ((_, end),) = wire.read_journal(Path(any_session.config.journal).read_bytes())
    assert end is not None
    assert os.waitstatus_to_exitcode(end.wait_status) == 7


def test_the_controller_is_killed_just_after_it_froze(
    any_session: Session, leaf: Cgroup, start_controller: Callable[..., Killable]
) -> None:
    """Before the client has begun to watch: it looks when it begins."""
    controller = start_controller(freezes=True)
    command = _start(any_session, ASKING)
    controller.hears("Request")
    controller.hears("Start")
    controller.die()
    assert _thawed_within(leaf, 1)
    assert command.wait(10) == 7
    command.communicate()


def test_with_a_living_controller_it_stays_frozen(
    any_session: Session, leaf: Cgroup, start_controller: Callable[..., Killable]
) -> None:
    controller = start_controller()
    command = _start(any_session, ASKING)
    _says(command, "ready")
    controller.hears("Request")
    controller.hears("Start")
    leaf.freeze()
    assert leaf.wait_frozen(5)
    assert not _thawed_within(leaf, 0.7)
    leaf.thaw()
    controller.hears("End")
    assert command.wait(10) == 7
    command.communicate()


def test_a_message_is_no_death(any_session: Session, leaf: Cgroup, controller: Controller) -> None:
    """Data in the socket makes the same signal, which is neither a reason to thaw nor one to tell the command."""
    controller.grant = lambda _: wire.encode(wire.Grant("c1")) if leaf.exists else None
    command = _start(any_session, "trap 'echo io' IO; " + ASKING)
    _says(command, "ready")
    time.sleep(0.02)
    leaf.freeze()
    assert leaf.wait_frozen(5)
    with _peer_of(any_session) as peer:
        for _ in range(20):
            peer.send(wire.encode(wire.Wait(1)))
            time.sleep(0.005)
    assert not _thawed_within(leaf, 0.2)
    leaf.thaw()
    out, err = command.communicate(timeout=10)
    assert (command.returncode, out, err) == (7, "over\n", "")


@contextlib.contextmanager
def _peer_of(session: Session) -> Iterator[socket.socket]:
    """The accepted end of the only connection to our controller, which runs in this process."""
    for descriptor in list(Path("/proc/self/fd").iterdir()):
        with contextlib.suppress(OSError):
            end = socket.socket(fileno=os.dup(int(descriptor.name)))
            is_it = end.family == socket.AF_UNIX and end.getsockname() == session.config.sock
            if is_it and not end.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                with end:
                    yield end
                return
            end.close()
    pytest.fail("no connection")


def test_a_sigio_of_somebody_else_is_forwarded(
    any_session: Session, leaf: Cgroup, start_controller: Callable[..., Killable]
) -> None:
    """Also when the controller is gone and has been taken care of."""
    controller = start_controller()
    command = _start(any_session, "trap 'echo io' IO; echo ready; while :; do read -t 0.01 <>/dev/zero -n 0; done")
    _says(command, "ready")
    controller.hears("Request")
    controller.hears("Start")
    time.sleep(0.05)
    os.kill(command.pid, signal.SIGIO)
    _says(command, "io")
    controller.die()
    time.sleep(0.05)
    os.kill(command.pid, signal.SIGIO)
    _says(command, "io")
    os.killpg(command.pid, signal.SIGKILL)
    assert command.wait(10) == -signal.SIGKILL
    command.communicate()


@pytest.mark.parametrize("owner", [True, False], ids=["its own leaf", "not its leaf"])
@pytest.mark.skipif(os.geteuid() != 0, reason="changes owners")
def test_another_user(session: Session, tree: Tree, leaf: Cgroup, owner: bool) -> None:
    """A user can thaw a call when its cgroup.freeze is theirs; else nothing happens and the command is unharmed."""
    controller = Killable(session, leaf)
    session.folder.chmod(0o755)
    Path(session.config.sock).chmod(0o777)
    for folder in (tree.root, tree.agent, tree.calls, leaf.path):
        os.chown(folder / "cgroup.procs", NOBODY, NOBODY)
    if owner:
        os.chown(leaf.path / "cgroup.freeze", NOBODY, NOBODY)
    command = _start(session, ASKING, user=NOBODY, group=NOBODY, extra_groups=[])
    _says(command, "ready")
    controller.hears("Request")
    controller.hears("Start")
    time.sleep(0.02)
    leaf.freeze()
    assert leaf.wait_frozen(5)
    controller.die()
    assert _thawed_within(leaf, 0.5) == owner
    leaf.thaw()
    assert command.wait(10) == 7
    command.communicate()


def test_the_leaf_is_gone(any_session: Session, tree: Tree, start_controller: Callable[..., Killable]) -> None:
    """The command has left its leaf, which was removed; then the controller dies: nothing to do, no harm."""
    controller = start_controller()
    command = _start(any_session, f"echo 0 > {tree.agent}/cgroup.procs; echo ready; sleep 0.3; exit 7")
    controller.hears("Request")
    controller.hears("Start")
    _says(command, "ready")
    with contextlib.suppress(FileNotFoundError):
        Cgroup(tree.calls / "c1").remove()
    controller.die()
    out, err = command.communicate(timeout=10)
    assert (command.returncode, out, err) == (7, "", "")
    tree.leaf("c1")  # for the fixture that thaws it
