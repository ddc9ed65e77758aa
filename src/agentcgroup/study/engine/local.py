"""Processes of this machine. They end with the process that started them, even when that is killed."""

from __future__ import annotations

import os
import pickle
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache
from multiprocessing import get_context, parent_process
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from agentcgroup.errors import HostError
from agentcgroup.study.engine import C, R, T, Told, gathered


class Pool:
    """Processes that take the next item as soon as they are free; what all items share lies in a file for them."""

    def __init__(self, pool: ProcessPoolExecutor, folder: Path, workers: int) -> None:
        self.workers = workers
        self._pool = pool
        self._folder = folder
        self._maps = 0

    def map(self, function: Callable[[C, T], R], common: C, items: Sequence[T], told: Told | None = None) -> list[R]:
        """As `Engine.map`. HostError when a worker dies, which is what running out of memory looks like."""
        self._maps += 1
        path = self._folder / f"{self._maps}.pickle"
        path.write_bytes(pickle.dumps(common, protocol=5))
        futures = [self._pool.submit(_call, str(path), function, item) for item in items]
        try:
            return gathered((future.result() for future in futures), told)
        except BrokenProcessPool as error:
            raise HostError("a worker of the study died", "memory may be short: give fewer --workers") from error
        finally:
            for future in futures:
                future.cancel()
            path.unlink()


@contextmanager
def open_pool(workers: int) -> Iterator[Pool]:
    """A pool of so many processes. They are spawned: a fork of a process in which polars has run may hang."""
    with TemporaryDirectory(prefix="agentcgroup-study-") as folder:
        pool = ProcessPoolExecutor(workers, get_context("spawn"), _watch_parent, (folder,))
        try:
            yield Pool(pool, Path(folder), workers)
        finally:
            pool.shutdown(cancel_futures=True)


def _watch_parent(folder: str) -> None:
    """End this worker when its parent is gone.

    A pool ends its workers when it is closed, for which a process that is killed finds no time. They wait for work on a
    queue that they hold open themselves, so they would wait for ever, or compute to the end for nobody.
    """
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent, folder), daemon=True).start()


def _end_with(parent: Any, folder: str) -> None:
    parent.join()  # its end of a pipe is closed, however it ended
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _call(path: str, function: Callable[[Any, T], R], item: T) -> R:
    return function(_common(path), item)


@lru_cache(maxsize=1)  # the next items of the same map
def _common(path: str) -> object:
    value: object = pickle.loads(Path(path).read_bytes())  # noqa: S301 - written by our own parent, in its own folder
    return value
