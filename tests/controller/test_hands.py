"""What the hands of a session do when a policy changes its mind faster than the kernel can follow."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from agentcgroup.controller.cases import Case
from agentcgroup.controller.hands import Hands
from agentcgroup.enforce import cgroups, memory
from agentcgroup.enforce.result import DONE, GONE, Result
from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.policy.world import CallId, Protect, Reclaim, Tripwire

MIB = 1 << 20


def hands_of(folder: Path, notes: list[tuple[str | None, str, str]]) -> Hands:
    """On a folder that passes for the cgroup of a session."""
    calls = folder / "calls"
    for path in (calls, calls / "c1"):
        path.mkdir()
        (path / "memory.current").write_text("0")
        (path / "memory.max").write_text("max\n")
        (path / "cgroup.freeze").write_text("0")
        (path / "cgroup.events").write_text("populated 1\nfrozen 0\n")
    tree = SimpleNamespace(session=Cgroup(folder), agent=Cgroup(folder / "agent"), calls=Cgroup(calls))
    return Hands(tree, lambda *note: notes.append(note))  # type: ignore[arg-type]


def test_of_many_limits_the_first_and_the_last_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[tuple[str | None, str, str]] = []
    written: list[int | None] = []
    go_on = threading.Event()

    def limit(cgroup: Cgroup, high: int | None, *_: object) -> Result:
        written.append(high)
        go_on.wait(10)
        return DONE

    monkeypatch.setattr(memory, "limit", limit)  # a kernel that takes its time

    async def check() -> None:
        hands = hands_of(tmp_path, notes)
        for size in range(100):
            hands.stretch(Tripwire("s", size * MIB, "a test"))
            await asyncio.sleep(0)
        go_on.set()
        await asyncio.sleep(0.2)
        hands.close()

    asyncio.run(check())
    assert written == [0, 99 * MIB]
    assert notes == []


@pytest.mark.parametrize(("result", "noted"), [(GONE, []), (Result(False, "no"), [("c1", "reclaim-refused", "no")])])
def test_a_refusal_is_noted_unless_the_call_has_ended_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, result: Result, noted: list[tuple[str, str, str]]
) -> None:
    notes: list[tuple[str | None, str, str]] = []
    monkeypatch.setattr(memory, "reclaim", lambda *_: result)

    async def check() -> None:
        hands = hands_of(tmp_path, notes)
        hands.on_leaf(cast(Case, SimpleNamespace(call="c1")), Reclaim(CallId("s", "c1"), MIB, "a test"))
        await asyncio.sleep(0.2)
        hands.close()

    asyncio.run(check())
    assert notes == [("c1", "reclaim", "a test"), *noted]


def test_a_session_called_agent_is_protected_as_well_as_its_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: dict[Path, tuple[int, int]] = {}

    def protect(cgroup: Cgroup, low: int, minimum: int, above: object) -> Result:
        written[cgroup.path] = low, minimum
        return DONE

    monkeypatch.setattr(memory, "protect", protect)
    session = tmp_path / "agent"
    session.mkdir()

    async def check() -> None:
        hands = hands_of(session, [])
        hands.protect(Protect("agent", 7 * MIB, 3 * MIB, "a test"))
        await asyncio.sleep(0.1)
        hands.close()

    asyncio.run(check())
    assert written == {session: (7 * MIB, 3 * MIB), session / "agent": (3 * MIB, 3 * MIB)}


def test_a_freeze_that_is_taken_back_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[tuple[str | None, str, str]] = []

    async def for_ever(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(cgroups, "wait_event", for_ever)  # a kernel that never confirms it

    async def check() -> None:
        hands = hands_of(tmp_path, notes)
        for _ in range(50):
            hands.hold_leaf("c1", True)
            await asyncio.sleep(0.002)
            hands.hold_leaf("c1", False)
            await asyncio.sleep(0.002)
        assert (tmp_path / "calls" / "c1" / "cgroup.freeze").read_text() == "0"
        assert len(asyncio.all_tasks()) <= 2  # this one, and a last thaw
        hands.close()

    asyncio.run(check())
    assert notes == []
