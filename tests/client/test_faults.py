"""Whatever the controller does, the command runs, at most the deadline late, and the journal has what it missed."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentcgroup.client import wire
from agentcgroup.client.wire import Done, End, Grant, Start
from tests.client.harness import REAL, Connection, Controller, Session, Tree

DEADLINE_MS = 60


@pytest.fixture(params=["static", "sanitized"])
def quick(request: pytest.FixtureRequest, session: Session) -> Session:
    """A session with a short deadline, as in production."""
    if request.param == "sanitized":
        session.client = request.getfixturevalue("checked_client")
    return session


def _run(session: Session, text: str = "echo ran; exit 3", **changes: Any) -> tuple[float, str]:
    """Runs a command that exits 3; seconds it took, and stderr."""
    stand_in = session.stand_in(**({"deadline_ms": DEADLINE_MS} | changes))
    begin = time.monotonic()
    done = subprocess.run(["bash", "-c", text], executable=stand_in, capture_output=True, check=False, text=True)
    took = time.monotonic() - begin
    assert (done.returncode, done.stdout) == (3, "ran\n"), done.stderr
    return took, done.stderr


def _journal(session: Session) -> list[tuple[Start, End | None]]:
    return list(wire.read_journal(Path(session.config.journal).read_bytes()))


def _recorded_once(session: Session) -> Start:
    ((start, end),) = _journal(session)
    assert end is not None
    assert os.waitstatus_to_exitcode(end.wait_status) == 3
    assert start.argv == ("bash", "-c", "echo ran; exit 3")
    return start


@pytest.fixture
def silent(session: Session) -> Iterator[socket.socket]:
    """A controller that is there and does nothing: stopped, or hung."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(session.config.sock)
        listener.listen(1)
        yield listener


def test_no_controller(quick: Session) -> None:
    _, err = _run(quick)
    assert err == ""
    assert _recorded_once(quick).leaf == ""


def test_a_dead_controller(quick: Session) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(quick.config.sock)
    _run(quick)
    _recorded_once(quick)


def test_a_hung_controller(quick: Session, silent: socket.socket) -> None:
    took, _ = _run(quick)
    assert took < 1.0  # two deadlines, and the load of this machine
    _recorded_once(quick)


def test_a_full_backlog(session: Session, silent: socket.socket) -> None:
    waiting = []
    while True:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        waiting.append(client)
        try:
            client.connect(session.config.sock)
        except BlockingIOError:
            break
    took, _ = _run(session)
    assert DEADLINE_MS / 1000 <= took < 1.0
    _recorded_once(session)
    for client in waiting:
        client.close()


def test_a_deadline_of_zero_does_not_mean_for_ever(session: Session, silent: socket.socket) -> None:
    took, _ = _run(session, deadline_ms=0)
    assert took < 1.0


def test_a_controller_that_stops_answering(quick: Session, controller: Controller) -> None:
    controller.grant = lambda _: None
    controller.done = lambda _: None
    took, _ = _run(quick)
    assert took < 1.0
    start = _recorded_once(quick)
    (call,) = controller.calls()
    assert call.start.key == start.key  # it is known twice, and can be told


def test_a_controller_that_dies_during_the_call(quick: Session, controller: Controller) -> None:
    def die(_: Connection) -> bytes:
        raise ConnectionError  # the connection is closed, as by a killed controller

    controller.done = die
    _run(quick)
    _recorded_once(quick)


@pytest.mark.parametrize(
    "answer",
    [b"", b"x", b"ACG1", bytes(16), wire.encode(Done("x")), wire.encode(Grant("c1")) + b"x", b"\xff" * 4096],
)
def test_garbage_instead_of_a_grant(quick: Session, controller: Controller, answer: bytes) -> None:
    controller.grant = lambda _: answer or None
    _run(quick)
    assert controller.calls()[0].start.leaf == ""


def _blob_message(kind: int, length: int, data: bytes) -> bytes:
    body = struct.pack("<I", length) + data
    return struct.pack("<IHHII", wire.MAGIC, kind, 0, 16 + len(body), 0) + body


@pytest.mark.parametrize("name", [b"../agent", b"..", b"a/b", b"C1", b"x" * 32, b"a\0b", b"c 1"])
def test_a_leaf_name_that_would_be_a_path(quick: Session, controller: Controller, name: bytes) -> None:
    controller.grant = lambda _: _blob_message(2, len(name), name)
    _run(quick)
    assert controller.calls()[0].start.leaf == ""


@pytest.mark.parametrize("answer", [_blob_message(5, 0xFFFFFFFF, b"x"), _blob_message(5, 2, b"x"), b"\0" * 90_000])
def test_garbage_instead_of_done(quick: Session, controller: Controller, answer: bytes) -> None:
    controller.done = lambda _: answer
    _, err = _run(quick)
    assert err == ""
    _recorded_once(quick)


def test_an_answer_that_comes_too_late_is_skipped(quick: Session, controller: Controller) -> None:
    """The late GRANT lies before DONE in the socket."""
    late: list[bytes] = []

    def grant(request: wire.Request) -> bytes:
        time.sleep(DEADLINE_MS / 1000 * 1.5)
        late.append(b"x")
        return wire.encode(Grant("c1"))

    controller.grant = grant
    controller.done = lambda _: wire.encode(Done("feedback\n"))
    _, err = _run(quick, "sleep 0.2; echo ran; exit 3")
    assert late
    assert err == "feedback\n"
    assert controller.calls()[0].start.leaf == ""


def test_a_controller_that_asks_for_time_gets_it(quick: Session, controller: Controller) -> None:
    def done(_: object) -> bytes:
        time.sleep(DEADLINE_MS / 1000 * 3)
        return wire.encode(Done("decided\n"))

    controller.done = done
    _, err = _run(quick)
    assert err == ""  # too late
    controller.wait_ms = 5000
    _, err = _run(quick)
    assert err == "decided\n"


def test_feedback_reaches_stderr_whole(quick: Session, controller: Controller) -> None:
    text = "".join(f"line {i}\n" for i in range(2000))
    controller.done = lambda _: wire.encode(Done(text))
    _, err = _run(quick, deadline_ms=2000)
    assert err == text


def test_feedback_into_a_full_pipe_does_not_hang(session: Session, controller: Controller) -> None:
    controller.done = lambda _: wire.encode(Done("x" * 90_000))
    stand_in = session.stand_in(deadline_ms=DEADLINE_MS)
    read_end, write_end = os.pipe()
    begin = time.monotonic()
    process = subprocess.Popen(["bash", "-c", "exit 3"], executable=stand_in, stderr=write_end)
    assert process.wait(10) == 3
    assert time.monotonic() - begin < 1.0
    os.close(read_end)
    os.close(write_end)


def test_feedback_into_a_closed_pipe_is_no_death(session: Session, controller: Controller) -> None:
    controller.done = lambda _: wire.encode(Done("x"))
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = subprocess.Popen(["bash", "-c", "exit 3"], executable=session.stand_in(), stderr=write_end)
    os.close(write_end)
    assert process.wait(10) == 3


def _fill(session: Session, *names: str) -> tuple[int, str]:
    pool = session.folder / "pool"
    os.mkfifo(pool)
    fifo = os.open(pool, os.O_RDWR)
    os.write(fifo, b"".join(name.encode().ljust(32, b"\0") for name in names))
    return fifo, str(pool)


def test_the_pool_saves_the_round_trip(quick: Session, controller: Controller, tree: Tree) -> None:
    tree.leaf("c1")
    fifo, pool = _fill(quick, "c1")
    _run(quick, pool=pool)
    (call,) = controller.calls()
    assert [type(m) for m in call.messages] == [Start, End]
    assert call.start.leaf == "c1"
    os.close(fifo)


def test_a_prepared_leaf_is_used_while_the_controller_is_away(quick: Session, tree: Tree) -> None:
    leaf = tree.leaf("c1")
    fifo, pool = _fill(quick, "c1")
    text = f"grep -q ^0::{tree.shown(leaf)}$ /proc/self/cgroup && echo ran; exit 3"
    _run(quick, text, pool=pool)
    ((start, end),) = _journal(quick)
    assert start.leaf == "c1"
    assert end is not None
    assert "cpu.stat" in end.counters
    os.close(fifo)
    assert _run(quick, pool=pool)[1] == ""  # nobody holds the FIFO: unmanaged, and no waiting for a writer
    assert [start.leaf for start, _ in _journal(quick)] == ["c1", ""]


def test_a_pool_with_rubbish_and_leaves_that_are_gone(quick: Session, controller: Controller, tree: Tree) -> None:
    tree.leaf("c9")
    fifo, pool = _fill(quick, "gone", "../agent", "c9")
    _run(quick, pool=pool)
    assert controller.calls()[0].start.leaf == "c9"
    os.close(fifo)


def test_an_empty_pool_means_a_request(session: Session, controller: Controller, tree: Tree) -> None:
    tree.leaf("c2")
    controller.grant = lambda _: wire.encode(Grant("c2"))
    fifo, pool = _fill(session)
    _run(session, pool=pool)
    (call,) = controller.calls()
    assert [type(m) for m in call.messages] == [wire.Request, Start, End]
    assert call.start.leaf == "c2"
    os.close(fifo)


def test_a_grant_of_a_leaf_that_is_gone(quick: Session, controller: Controller) -> None:
    controller.grant = lambda _: wire.encode(Grant("c404"))
    _run(quick)
    assert controller.calls()[0].start.leaf == ""


def test_unmanaged_commands_have_a_place(session: Session, tree: Tree) -> None:
    """And shells in there are inside a call: one journal entry, not two."""
    unmanaged = tree.leaf("unmanaged")
    text = f"grep -q ^0::{tree.shown(unmanaged)}$ /proc/self/cgroup && {session.stand_in()} -c 'echo ran'; exit 3"
    _run(session, text)
    ((start, _),) = _journal(session)
    assert start.leaf == ""


def test_unmanaged_without_a_place_is_one_call_all_the_same(session: Session) -> None:
    """The client above has blanked its name and is a stand-in."""
    stand_in = session.stand_in()
    text = f"sleep 0.05; {stand_in} -c 'echo ran'; exit 3"
    done = subprocess.run(["bash", "-c", text], executable=stand_in, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (3, b"ran\n")
    assert len(_journal(session)) == 1


def test_a_leaf_that_refuses_processes(quick: Session, controller: Controller, tree: Tree) -> None:
    """A threaded sibling makes a leaf "domain invalid": neither clone3 nor a write to cgroup.procs gets in."""
    leaf, sibling = tree.leaf("c1"), tree.leaf("x")
    (sibling / "cgroup.type").write_text("threaded")
    assert (leaf / "cgroup.type").read_text() == "domain invalid\n"
    controller.grant = lambda _: wire.encode(Grant("c1"))
    _run(quick)
    assert controller.calls()[0].start.leaf == ""


def _without_clone3() -> None:
    """Old kernels and sandboxes: a seccomp filter that answers ENOSYS to clone3 and close_range (435, 436)."""
    load, jump, give = 0x20, 0x15, 0x06
    enosys, allow = 0x00050000 | errno.ENOSYS, 0x7FFF0000
    program = [(load, 0, 0, 0), (jump, 2, 0, 435), (jump, 1, 0, 436), (give, 0, 0, allow), (give, 0, 0, enosys)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *line) for line in program))
    fprog = struct.pack("@HP", len(program), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    if libc.prctl(22, 2, fprog) != 0:  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        raise OSError(ctypes.get_errno(), "seccomp")


def test_without_clone3_the_child_moves_itself(quick: Session, controller: Controller, tree: Tree) -> None:
    leaf = tree.leaf("c1")
    controller.grant = lambda _: wire.encode(Grant("c1"))
    argv = ["bash", "-c", "grep ^0:: /proc/self/cgroup; exit 3"]
    process = subprocess.Popen(
        argv, executable=quick.stand_in(), stdout=subprocess.PIPE, text=True, preexec_fn=_without_clone3
    )
    assert process.communicate()[0] == f"0::{tree.shown(leaf)}\n"
    assert process.returncode == 3
    (call,) = controller.calls()
    assert call.start.leaf == "c1"
    assert "cpu.stat" in call.end.counters


def test_the_journal_of_many_at_once(session: Session) -> None:
    stand_in = session.stand_in("sh")
    running = [subprocess.Popen(["sh", "-c", f"exit {i}"], executable=stand_in) for i in range(40)]
    assert [process.wait(20) for process in running] == list(range(40))
    calls = _journal(session)
    assert sorted(e.wait_status >> 8 for _, e in calls if e) == list(range(40))


def test_a_killed_client_leaves_its_start(session: Session) -> None:
    process = subprocess.Popen(["sh", "-c", "sleep 20"], executable=session.stand_in("sh"), start_new_session=True)
    journal = Path(session.config.journal)
    until = time.monotonic() + 5
    while not journal.exists() or not journal.stat().st_size:
        assert time.monotonic() < until
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert [end for _, end in _journal(session)] == [None]


def test_a_journal_that_is_a_link_is_not_followed(session: Session, tmp_path: Path) -> None:
    Path(session.config.journal).symlink_to(tmp_path / "elsewhere")
    _run(session)
    assert not (tmp_path / "elsewhere").exists()


def test_sixty_four_at_once(session: Session, controller: Controller, tree: Tree) -> None:
    for i in range(64):
        tree.leaf(f"c{i}")
    fifo, pool = _fill(session, *[f"c{i}" for i in range(64)])
    stand_in = session.stand_in("sh", pool=pool, deadline_ms=5000)
    running = [subprocess.Popen(["sh", "-c", f"exit {i}"], executable=stand_in) for i in range(64)]
    assert [process.wait(30) for process in running] == list(range(64))
    calls = controller.calls(64)
    assert sorted(call.start.leaf for call in calls) == sorted(f"c{i}" for i in range(64))
    assert sorted(call.end.wait_status >> 8 for call in calls) == list(range(64))
    os.close(fifo)


def test_without_a_process_to_be_had_the_shell_runs_all_the_same(session: Session, controller: Controller) -> None:
    """As an unprivileged user at its limit of processes, the client becomes the shell itself."""
    nobody = 65534
    for path in (session.folder, *session.folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o666)

    def drop() -> None:
        resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
        os.setgid(nobody)
        os.setuid(nobody)

    stand_in = session.stand_in()
    for path in (session.folder, stand_in.parent):
        path.chmod(0o755)
    held = subprocess.Popen(["sleep", "30"], preexec_fn=drop)
    try:
        argv = ["bash", "-c", "echo $BASHPID $$; exit 3"]
        process = subprocess.Popen(argv, executable=stand_in, stdout=subprocess.PIPE, preexec_fn=drop, text=True)
        out = process.communicate()[0]
        assert process.returncode == 3
        assert out.split() == [str(process.pid)] * 2  # no child: the client itself became the shell
    finally:
        held.kill()
        held.wait()


def test_real_shells_are_what_they_are() -> None:
    """The harness compares with these; were they stand-ins themselves, it would compare nothing."""
    for path in REAL.values():
        assert b"ACG-CLIENT-CONF1" not in path.read_bytes()
