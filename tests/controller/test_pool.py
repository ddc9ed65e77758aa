"""The pool of leaves: every grant given once, refilled as it is used, bounded."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from agentcgroup.controller.pool import LeafPool


def take(path: Path) -> str:
    """One grant, as a client takes it."""
    fifo = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(fifo, 32).rstrip(b"\0").decode()
    except BlockingIOError:
        return ""
    finally:
        os.close(fifo)


def test_grants_are_unique_refilled_and_bounded(tmp_path: Path) -> None:
    made: list[str] = []

    def make(name: str) -> bool:
        made.append(name)
        return True

    async def use() -> list[str]:
        pool = LeafPool(tmp_path / "pool", make, asyncio.get_running_loop())
        pool.prime()
        taken = []
        for running in range(200):
            name = take(tmp_path / "pool") or pool.take()
            taken.append(name)
            assert pool.claimed(name, running) or name not in pool.free
            await asyncio.sleep(0)
        pool.fill()
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(pool.free) <= 64
        assert not pool.claimed(taken[0], 0)
        pool.close()
        return taken

    taken = asyncio.run(use())
    assert len(set(taken)) == len(taken) == 200
    assert set(taken) <= set(made)
    assert len(made) == len(set(made)) <= 200 + 64


def test_a_tree_that_refuses_gives_no_grant(tmp_path: Path) -> None:
    async def use() -> None:
        pool = LeafPool(tmp_path / "pool", lambda _name: False, asyncio.get_running_loop())
        pool.prime()
        assert take(tmp_path / "pool") == ""
        assert pool.take() == ""
        pool.close()

    asyncio.run(use())


def test_rationed_leaves_are_kept_for_those_who_ask(tmp_path: Path) -> None:
    made: list[str] = []

    def make(name: str) -> bool:
        made.append(name)
        return True

    async def use() -> None:
        pool = LeafPool(tmp_path / "pool", make, asyncio.get_running_loop())
        pool.ration(2)
        pool.prime()
        assert list(pool.free) == ["c000001", "c000002"]
        pool.ration(0)
        assert take(tmp_path / "pool") == ""
        assert {pool.take(), pool.take()} == {"c000001", "c000002"}
        pool.ration(3)
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(pool.free) == 3
        pool.close()

    asyncio.run(use())
    assert len(made) == len(set(made)) == 5


def test_what_is_taken_and_not_claimed_is_counted_without_looking_at_the_leaves(tmp_path: Path) -> None:
    async def scene() -> None:
        pool = LeafPool(tmp_path / "pool", lambda _name: True, asyncio.get_running_loop())
        pool.prime()
        assert pool.unclaimed == 0
        taken = [take(tmp_path / "pool") for _ in range(2)]
        assert pool.unclaimed == 2
        assert pool.claimed(taken[0], 1)
        assert pool.unclaimed == 1
        pool.close()

    asyncio.run(scene())
