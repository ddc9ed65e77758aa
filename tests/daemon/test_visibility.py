"""A user sees and steers their own sessions, root those of all. The kernel says who is who."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentcgroup.daemon.ask import ask
from agentcgroup.daemon.messages import Question
from agentcgroup.daemon.places import VARIABLE
from agentcgroup.trace.kill_log import KillRecord, read_kill_log
from tests.daemon.daemons import Daemons, listed, until
from tests.daemon.fake import FakeSession
from tests.daemon.users import ALICE, BOB, Child, as_user, needs_root

pytestmark = needs_root


def _session(at: Path, name: str, seconds: float = 3.0, kills: int = 0) -> Callable[[], Any]:
    """A session that lives until it is told to end; its priority and whether it was held."""

    async def live() -> Any:
        session = FakeSession(name, calls=2)
        await session.join(at, require=True)
        held = False
        for number in range(kills):
            session.decider.killed(KillRecord("root-of-all", f"c{number}", "test", "a test", uid=0))
        deadline_s = time.monotonic() + seconds
        while not session.ended_for and time.monotonic() < deadline_s:
            held |= session.held
            await asyncio.sleep(0.005)
        return {"priority": session.priority.name, "held": held, "ended": session.ended_for}

    return lambda: asyncio.run(live())


def _asks(daemons: Daemons, what: str, session: str | None = None, value: str = "") -> Callable[[], Any]:
    return lambda: dict(ask(Question(what, session, value), daemons.socket))


def test_users_do_not_see_each_other(daemons: Daemons) -> None:
    async def check() -> None:
        daemons.start()
        alice, bob = Child(ALICE, _session(daemons.socket, "hers")), Child(BOB, _session(daemons.socket, "his"))
        await until(lambda: listed(daemons.ask("list")) == ["hers", "his"])
        assert listed(as_user(ALICE, _asks(daemons, "list"))) == ["hers"]
        assert listed(as_user(BOB, _asks(daemons, "list"))) == ["his"]
        status = as_user(BOB, _asks(daemons, "status"))
        assert (status["sessions"], status["calls"], status["counts"]) == (1, 2, None)
        for order in (("show",), ("freeze",), ("thaw",), ("end",), ("set-priority", "low")):
            refused = as_user(BOB, _asks(daemons, order[0], "hers", *order[1:]))
            assert refused.startswith("HostError: no session named 'hers'")
        assert "may have the configuration read again" in as_user(BOB, _asks(daemons, "reload"))
        as_user(ALICE, _asks(daemons, "set-priority", "hers", "high"))
        as_user(ALICE, _asks(daemons, "end", "hers", "done"))
        daemons.ask("end", "his", "root says so")
        assert alice.result() == {"priority": "HIGH", "held": False, "ended": ["done"]}
        assert bob.result() == {"priority": "NORMAL", "held": False, "ended": ["root says so"]}

    asyncio.run(check())


def test_the_same_name_of_two_users(daemons: Daemons) -> None:
    async def check() -> None:
        daemons.start()
        alice = Child(ALICE, _session(daemons.socket, "work"))
        await until(lambda: listed(daemons.ask("list")) == ["work"])
        bob = Child(BOB, _session(daemons.socket, "work"))
        await until(lambda: listed(daemons.ask("list")) == ["work", f"work~{BOB}"])
        assert listed(as_user(BOB, _asks(daemons, "list"))) == [f"work~{BOB}"]
        as_user(BOB, _asks(daemons, "end", "work", "mine"))
        assert bob.result()["ended"] == ["mine"]
        assert listed(daemons.ask("list")) == ["work"]
        daemons.ask("end", "work", "hers")
        assert alice.result()["ended"] == ["hers"]

    asyncio.run(check())


def test_a_session_cannot_speak_for_another(daemons: Daemons) -> None:
    """Whatever names it puts into its messages: they are of its own session, or the connection ends."""

    def claims() -> Any:
        found = []
        for name in ("hers", "../hers", "work~61001", "/sys/fs/cgroup/hers", "a" * 65):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(3)
                peer.connect(str(daemons.socket))
                hello = {"kind": "hello", "v": 1, "name": name, "now_s": time.monotonic(), "priority": "high"}
                call = {"call": "c1", "session": "hers", "priority": "high", "started_s": 1, "memory_bytes": 1}
                state = {"name": "hers", "session": "hers", "priority": "high", "memory_bytes": 1, "agent_bytes": 0}
                ended = {"signal": "ended", "call": "c00001", "session": "hers"}
                report = {"kind": "report", "seen": 0, "session": "hers", "signals": [ended], "ping": 1}
                report["state"] = {**state, "calls": [call]}
                peer.sendall(b"".join(json.dumps(message).encode() + b"\n" for message in (hello, report)))
                text = b""
                while b"pong" not in text and (data := peer.recv(65536)):
                    text += data
                first = json.loads(text.splitlines()[0])
                found.append((first["kind"], first.get("name"), b"refused" in text))
        return found

    async def check() -> None:
        daemons.start()
        alice = Child(ALICE, _session(daemons.socket, "hers"))
        await until(lambda: listed(daemons.ask("list")) == ["hers"])
        found = await asyncio.to_thread(as_user, BOB, claims)
        assert found[0] == ["welcome", f"hers~{BOB}", False]
        assert all(kind == "refused" for kind, *_ in found[1:])
        shown = daemons.ask("show", "hers")["session"]
        assert (shown["uid"], shown["running"], shown["priority"]) == (ALICE, 2, "normal")
        daemons.ask("end", "hers")
        alice.result()

    asyncio.run(check())


def test_kills_of_users_are_recorded_under_their_own_names(daemons: Daemons) -> None:
    async def check() -> None:
        daemons.start(patch={"agentcgroup.daemon.server:_SWEEP_S": 60.0})
        Child(ALICE, _session(daemons.socket, "hers", 0.3, kills=50)).result()
        kills = read_kill_log(daemons.kill_log)
        assert {(kill.session, kill.uid) for kill in kills.records} == {("hers", ALICE)}
        assert len(kills.records) == 20, "nobody can wash the log out"

    asyncio.run(check())


def test_a_daemon_of_a_user_is_for_that_user(daemons: Daemons) -> None:
    folder = daemons.folder / "alice"
    folder.mkdir()
    os.chown(folder, ALICE, ALICE)
    at, config = folder / "daemon" / "socket", daemons.config

    def serve() -> None:
        from agentcgroup.daemon import service

        service.run(config, (f"kill_log={folder}/kills",), at)

    async def check() -> None:
        daemon = Child(ALICE, serve)
        await until(at.exists)
        session = Child(ALICE, _session(at, "hers", 1.0))
        await until(lambda: listed(ask(Question("list"), at)) == ["hers"])
        assert "Permission denied" in as_user(BOB, lambda: dict(ask(Question("list"), at)))
        ask(Question("end", "hers"), at)
        assert session.result()["ended"]
        os.kill(daemon.pid, signal.SIGTERM)
        daemon.result()

    asyncio.run(check())


def test_a_member_trusts_only_root_and_its_own_user(daemons: Daemons) -> None:
    """A daemon of somebody else, at a place where one could be: it would decide over our calls."""
    folder = daemons.folder / "alice"
    folder.mkdir()
    os.chown(folder, ALICE, ALICE)
    at = folder / "socket"

    def listen() -> None:
        with socket.socket(socket.AF_UNIX) as false:
            false.bind(str(at))
            at.chmod(0o666)
            false.listen()
            time.sleep(9)

    child = Child(ALICE, listen)
    while not at.exists():
        time.sleep(0.01)
    time.sleep(0.05)
    at.chmod(0o666)
    refused = as_user(BOB, lambda: asyncio.run(FakeSession("s1").join(at, require=True)))
    assert f"belongs to user {ALICE}" in refused
    os.environ[VARIABLE] = str(at)
    try:
        assert f"belongs to user {ALICE}" in as_user(BOB, lambda: dict(ask(Question("status"))))
    finally:
        del os.environ[VARIABLE]
        os.kill(child.pid, signal.SIGKILL)
