"""Whatever strangers send: the daemon lives, says what was wrong, and the others notice nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcgroup.daemon.messages import LINE_MAX
from agentcgroup.trace.kill_log import KillRecord
from tests.daemon.daemons import QUICK, Daemons, until
from tests.daemon.fake import FakeSession
from tests.daemon.users import ALICE, BOB, Child, as_user, needs_root

_NOW = 0.125  # in a message: the time when it is sent


@contextlib.contextmanager
def _connected(daemons: Daemons, timeout_s: float = 5.0) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(timeout_s)
        peer.connect(str(daemons.socket))
        yield peer


def _send(daemons: Daemons, data: bytes) -> list[dict[str, object]]:
    """What the daemon answers until it closes the connection, or nothing more comes."""
    text = b""
    with _connected(daemons) as peer:
        try:
            peer.sendall(data.replace(f'"now_s": {_NOW}'.encode(), f'"now_s": {time.monotonic()}'.encode()))
            peer.shutdown(socket.SHUT_WR)
            while more := peer.recv(65536):
                text += more
        except (ConnectionResetError, BrokenPipeError):
            pass
    return [json.loads(line) for line in text.splitlines()]


def _hello(name: str = "s1", **more: object) -> bytes:
    message = {"kind": "hello", "v": 1, "name": name, "now_s": _NOW, "priority": "normal", **more}
    return json.dumps(message).encode() + b"\n"


def _report(**more: object) -> bytes:
    state = {"priority": "normal", "memory_bytes": 1, "agent_bytes": 1, "calls": [], **more}
    return json.dumps({"kind": "report", "seen": 0, "state": state}).encode() + b"\n"


@contextlib.contextmanager
def _undisturbed(daemons: Daemons) -> Iterator[None]:
    """A session, with a loop of its own, that is served all the time: every request within a second."""
    stop, problems = threading.Event(), list[str]()

    async def live() -> None:
        session = FakeSession("undisturbed", calls=3)
        await session.join(daemons.socket, require=True)
        while not stop.is_set():
            call = session.ask()
            try:
                await until(lambda: call in session.calls, 1.0)  # noqa: B023 (it is awaited here)
            except AssertionError:
                problems.append("a request waited for more than a second")
            session.finish(call)
            if not session.joined or session.said:
                problems.append(f"the session was left alone: {session.said}")
                return
            await asyncio.sleep(0.01)
        session.decider.close()

    thread = threading.Thread(target=lambda: asyncio.run(live()))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert problems == []
    assert daemons.ask("status")["pid"] > 0
    assert "Traceback" not in daemons.log


def test_random_bytes(daemons: Daemons) -> None:
    daemons.start()
    chance = random.Random(1)
    with _undisturbed(daemons):
        for _ in range(150):
            data = chance.randbytes(chance.choice((1, 10, 1000, 100_000)))
            answers = _send(daemons, data + b"\n")
            assert [answer["kind"] for answer in answers] in ([], ["refused"])


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"null",
        b"1e999",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"kind": NaN}',
        b"9" * 10_000,
        '{"kind": "hellö"}'.encode(),
        b'{"kind": "hello"}',
        b'{"kind": "report"}',
        b'{"kind": "question", "v": 1, "what": "explode"}',
        b'{"kind": "question", "v": 1, "what": "list", "session": 7}',
        _hello(name="../../etc").strip(),
        _hello(name="").strip(),
        _hello(now_s="now").strip(),
        _hello(budget_bytes=-1).strip(),
        _hello(priority="urgent").strip(),
        _hello(argv=["a" * 5000]).strip(),
        _hello() + _hello(),
        _hello() + _report(memory_bytes=1 << 63),
        _hello() + _report(memory_bytes=True),
        _hello() + _report(memory_bytes=1.5),
        _hello() + _report(calls=[7]),
        _hello() + _report(calls=[{"call": "/sys/fs/cgroup"}]),
        _hello() + b'{"kind": "question", "v": 1, "what": "status"}',
        _hello() + b'{"kind": "killed", "record": 7}',
        _hello() + b'{"kind": "killed", "record": {"call": "c1", "pressure_percent": 1e300}}',
    ],
    ids=lambda line: line[:40].decode(errors="replace") + f"({len(line)})",
)
def test_what_is_not_a_message_is_refused_in_words(daemons: Daemons, line: bytes) -> None:
    daemons.start()
    last = _send(daemons, line + b"\n")[-1]
    assert last["kind"] == "refused"
    assert str(last["message"]).startswith("the daemon closes the connection: ")
    assert last["fix"]
    assert daemons.ask("status")["sessions"] == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (_hello(v=2), "the session speaks version 2 of the protocol, the daemon version 1"),
        (_hello(now_s=1.0), "the session has another clock than the daemon"),
        (b'{"kind": "question", "v": 9, "what": "status"}\n', "the question is in version 9 of the protocol"),
        (b'{"kind": "question", "v": 1, "what": "show", "session": "x"}\n', "no session named 'x' has joined"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_way_to_mend_it(daemons: Daemons, line: bytes, message: str) -> None:
    daemons.start()
    answer = _send(daemons, line)[-1]
    assert answer["kind"] == "refused"
    assert str(answer["message"]).startswith(message)
    assert answer["fix"]


def test_huge_messages(daemons: Daemons) -> None:
    daemons.start()
    with _undisturbed(daemons):
        for data in (b"x" * (LINE_MAX + 1), b'{"kind": "' + b"x" * (8 * LINE_MAX), b"x" * LINE_MAX + b"\n"):
            with contextlib.suppress(ConnectionError):
                answers = _send(daemons, data)
                assert [answer["kind"] for answer in answers] in ([], ["refused"])


def test_half_a_message_and_then_silence(daemons: Daemons) -> None:
    daemons.start(patch=QUICK)
    with _undisturbed(daemons), _connected(daemons) as half, _connected(daemons) as silent, _connected(daemons) as slow:
        half.sendall(b'{"kind": "hel')
        for byte in b'{"kind": "':  # a byte now and then is no message either
            slow.sendall(bytes([byte]))
            time.sleep(0.01)
        assert b"the end of a message has not come within 0.3 s" in half.recv(4096)
        assert half.recv(4096) == b""
        assert b"the end of a message has not come within 0.3 s" in slow.recv(4096)
        assert b"nothing has come for 0.6 s" in silent.recv(4096)


def test_a_thousand_connections(daemons: Daemons) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4000:
        pytest.skip("needs 4000 descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4000), hard))
    daemons.start()
    with contextlib.ExitStack() as stack, _undisturbed(daemons):
        peers = [stack.enter_context(_connected(daemons)) for _ in range(1000)]
        for peer in peers:
            peer.sendall(b'{"kind": "question", "v": 1, "what": "status"}\n')
        for peer in peers:
            assert json.loads(peer.recv(65536))["kind"] == "answer"


@needs_root
def test_too_many_connections_of_one_user(daemons: Daemons) -> None:
    daemons.start(patch={"agentcgroup.daemon.server:_USERS_SHARE": 1 << 12})

    def crowd() -> str:
        with contextlib.ExitStack() as stack:
            peers = [stack.enter_context(_connected(daemons)) for _ in range(40)]
            return peers[-1].recv(4096).decode()

    with _undisturbed(daemons):
        assert f"user {BOB} has" in as_user(BOB, crowd)


def test_a_reader_that_does_not_read(daemons: Daemons) -> None:
    daemons.start(patch=QUICK)
    question = b'{"kind": "question", "v": 1, "what": "list"}\n' * 1_000_000
    with _undisturbed(daemons), _connected(daemons, 10.0) as peer, pytest.raises((ConnectionError, TimeoutError)):
        peer.sendall(question)


@needs_root
def test_a_user_who_talks_without_end_does_not_disturb(daemons: Daemons) -> None:
    daemons.start()

    def talk() -> int:
        until_s, sent = time.monotonic() + 1.0, 0
        question = b'{"kind": "question", "v": 1, "what": "list"}\n' * 100
        with contextlib.ExitStack() as stack:
            peers = [stack.enter_context(_connected(daemons)) for _ in range(20)]
            for peer in peers:
                peer.setblocking(False)
            while time.monotonic() < until_s:
                for peer in peers:
                    with contextlib.suppress(BlockingIOError):
                        sent += peer.send(question)
                        peer.recv(1 << 20)
        return sent

    with _undisturbed(daemons):
        assert as_user(BOB, talk) > 0


def test_a_session_with_more_calls_than_a_line_holds(daemons: Daemons) -> None:
    async def check() -> None:
        daemons.start()
        session = FakeSession("s1", calls=20_000)
        await session.join(daemons.socket, require=True)
        await until(lambda: daemons.ask("status")["calls"] > 1000)
        assert session.joined

    asyncio.run(check())


@needs_root
def test_a_full_disk_under_the_kill_log(daemons: Daemons) -> None:
    daemons.configure('kill_log = "/dev/full"')
    daemons.start()

    async def die() -> None:
        session = FakeSession("hers", calls=1)
        await session.join(daemons.socket, require=True)
        session.decider.killed(KillRecord("hers", "c1", "test", "a test"))
        await asyncio.sleep(0.2)

    with _undisturbed(daemons):
        Child(ALICE, lambda: asyncio.run(die())).result()
        assert "the kill log /dev/full cannot be written: no space left on device; make room" in daemons.log.lower()


def test_the_socket_is_removed_under_the_daemon(daemons: Daemons) -> None:
    """Who is connected stays so."""
    daemons.start()
    with _connected(daemons) as peer:
        daemons.socket.unlink()
        peer.sendall(b'{"kind": "question", "v": 1, "what": "status"}\n')
        assert json.loads(peer.recv(65536))["kind"] == "answer"
    assert not Path(daemons.socket).exists()
