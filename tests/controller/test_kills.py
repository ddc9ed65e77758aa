"""Kill records: what the decider said, joined with what the kernel counted."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from agentcgroup.controller.kills import Kills, Noting
from agentcgroup.controller.local import LocalDecider
from agentcgroup.model import CallEnd, CallStart, Limits, Outcome, Priority, Usage
from agentcgroup.policy.none import Nothing
from agentcgroup.policy.world import Action, CallId, CallState, Decision, Kill, SessionState, Signal, Thaw, Woken, World
from agentcgroup.trace.kill_log import KillRecord, read_kill_log
from agentcgroup.trace.records import Record

CALL = CallId("one", "c000001")
KILL = Kill(CALL, "room", "no room was left")


class Session:
    """Governed: one call that holds 7 bytes."""

    name = "one"

    def __init__(self) -> None:
        self.done: list[Action] = []

    def world(self) -> World:
        call = CallState(CALL, Priority.NORMAL, 0.0, 7)
        return World(time.monotonic(), 100, 50, (SessionState("one", Priority.NORMAL, 9, calls=(call,)),))

    def carry_out(self, actions: Sequence[Action]) -> None:
        self.done.extend(actions)

    def set_priority(self, priority: Priority) -> None:
        raise AssertionError

    def hold(self, frozen: bool, reason: str) -> None:
        raise AssertionError

    def end(self, reason: str) -> None:
        raise AssertionError


class Killer(Nothing):
    """Kills the call when it is woken."""

    def decide(self, world: World, signal: Signal) -> Decision:
        return Decision(self, (KILL, Thaw(CALL, "")) if isinstance(signal, Woken) else ())


def begin(kills: Kills, call: str = "c000001") -> None:
    start = CallStart(call, ("bash", "-c", "make all"), 10, "/", 0, 0, limits=Limits(memory_max_bytes=64))
    kills.see(Record(0, "", "one", start))


def end(kills: Kills, outcome: Outcome, call: str = "c000001") -> None:
    kills.see(Record(0, "", "one", CallEnd(call, 1, 1, 0, 9, outcome, Usage(memory_peak_bytes=60), reason="its end")))


def test_a_kill_is_recorded_when_the_call_has_ended(tmp_path: Path) -> None:
    said: list[str] = []
    told: list[KillRecord] = []
    log = tmp_path / "kills.jsonl"
    kills = Kills("one", log, said.append)
    kills.tell = told.append
    begin(kills)
    session = Session()
    decider = Noting(LocalDecider(Killer()), kills)
    decider.start(session)
    decider.close()
    assert session.done == [KILL, Thaw(CALL, "")]
    assert not log.exists()
    end(kills, Outcome.KILLED)
    (record,) = read_kill_log(log).records
    assert (record.session, record.call, record.rule, record.reason) == ("one", "c000001", "room", "no room was left")
    assert (record.program, record.command) == ("bash", "make all")
    assert (record.memory_bytes, record.peak_bytes, record.limit_bytes) == (7, 60, 64)
    assert [one.call for one in told] == ["c000001"]
    assert said == []


def test_other_ends_are_no_kills(tmp_path: Path) -> None:
    kills = Kills("one", tmp_path / "log", lambda line: None)
    for outcome in set(Outcome) - {Outcome.KILLED}:
        begin(kills)
        end(kills, outcome)
    assert not (tmp_path / "log").exists()


def test_a_log_that_cannot_be_written_is_said_once(tmp_path: Path) -> None:
    said: list[str] = []
    kills = Kills("one", tmp_path, said.append)  # a folder
    for number in range(3):
        begin(kills, f"c{number}")
        end(kills, Outcome.KILLED, f"c{number}")
    (line,) = said
    assert "cannot be written" in line
