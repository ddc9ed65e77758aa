"""What a client asks before it begins, and what it does with the answers: grants, queues, refusals, late news."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from agentcgroup.client import wire
from tests.client.harness import Controller, Session, Tree

HINT = "memory:2g"


@pytest.fixture(params=["static", "sanitized"])
def both(request: pytest.FixtureRequest, session: Session) -> Session:
    if request.param == "sanitized":
        session.client = request.getfixturevalue("checked_client")
    return session


@pytest.fixture
def pool(both: Session, tree: Tree) -> Iterator[str]:
    """A pool with one leaf, c1."""
    tree.leaf("c1")
    path = both.folder / "pool"
    os.mkfifo(path)
    fifo = os.open(path, os.O_RDWR)
    os.write(fifo, wire.grant_entry("c1"))
    yield str(path)
    os.close(fifo)


def _requests(controller: Controller) -> list[wire.Request]:
    messages = [message for connection in controller.calls() for message in connection.of(wire.Request)]
    return [message for message in messages if isinstance(message, wire.Request)]


@pytest.mark.parametrize(
    ("script", "environment"),
    [
        ("true", {"AGENT_RESOURCE_HINT": HINT}),
        (f"AGENT_RESOURCE_HINT={HINT} true", {}),
        (f"# resource: {HINT}\ntrue", {}),
    ],
    ids=["environment", "assignment", "comment"],
)
def test_a_command_that_declares_what_it_needs_is_decided_about_first(
    both: Session, controller: Controller, pool: str, script: str, environment: dict[str, str]
) -> None:
    stand_in = both.stand_in(pool=pool, deadline_ms=2000)
    subprocess.run(["bash", "-c", script], executable=stand_in, check=True, env={**os.environ, **environment})
    (request,) = _requests(controller)
    assert request.argv == ("bash", "-c", script)
    assert request.hint == environment.get("AGENT_RESOURCE_HINT", "")
    assert controller.calls()[0].start.hint == request.hint


def test_a_command_that_declares_nothing_does_not_ask(both: Session, controller: Controller, pool: str) -> None:
    subprocess.run(["bash", "-c", "true"], executable=both.stand_in(pool=pool), check=True)
    assert _requests(controller) == []


def test_a_refused_command_does_not_begin_and_says_why(both: Session, controller: Controller) -> None:
    controller.grant = lambda _: wire.encode(wire.Refuse("no room for this\n"))
    stand_in = both.stand_in(deadline_ms=2000)
    done = subprocess.run(["bash", "-c", "echo ran"], executable=stand_in, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (75, "", "no room for this\n")


def test_in_the_queue_a_signal_ends_the_command_that_has_not_begun(both: Session, controller: Controller) -> None:
    asked: list[wire.Request] = []

    def grant(request: wire.Request) -> bytes:
        asked.append(request)
        return wire.encode(wire.Wait(60_000))

    controller.grant = grant
    process = subprocess.Popen(["bash", "-c", "echo ran"], executable=both.stand_in(), stdout=subprocess.PIPE)
    until = time.monotonic() + 5
    while not asked and time.monotonic() < until:
        time.sleep(0.005)
    time.sleep(0.1)
    assert process.poll() is None  # WAIT moved the deadline
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=5)[0] == b""
    assert process.returncode == -signal.SIGTERM


def test_news_during_the_call_is_waited_for_at_its_end(both: Session, controller: Controller, pool: str) -> None:
    controller.done = lambda _: wire.encode(wire.Done("it was throttled\n"))
    stand_in = both.stand_in(pool=pool, deadline_ms=2000)
    line = ["bash", "-c", "sleep 0.2"]
    assert subprocess.run(line, executable=stand_in, capture_output=True, check=True).stderr == b""
    controller.news = wire.encode(wire.Wait(2000))
    os.write(fifo := os.open(pool, os.O_RDWR), wire.grant_entry("c1"))
    done = subprocess.run(line, executable=stand_in, capture_output=True, check=True)
    os.close(fifo)
    assert done.stderr == b"it was throttled\n"
