"""Where the work of a study is done: in this process, in processes of this machine, or by Dask on several.

Whichever it is, the results are the same, bit for bit. Two things make that so: work is cut into the same pieces
everywhere and put together in their order, and every process gives polars one thread, because with more the order in
which floats are added is that in which threads happen to finish.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeAlias, TypeVar

from agentcgroup.errors import UsageError

C = TypeVar("C")
T = TypeVar("T")
R = TypeVar("R")
Told: TypeAlias = Callable[[int], None]

NAMES = ("local", "dask")
_THREADS = "POLARS_MAX_THREADS"  # read by polars once, when it is imported
_MOST_AUTOMATIC = 8  # workers nobody asked for; each takes 150 MB and half a second
_RUNS_PER_WORKER = 150  # fewer are read sooner than a worker starts


class Engine(Protocol):
    """Calls a function once for each item."""

    workers: int

    def map(self, function: Callable[[C, T], R], common: C, items: Sequence[T], told: Told | None = None) -> list[R]:
        """``function(common, item)`` for each item, in their order; the first error of any is raised.

        ``function`` is one of a module, and everything goes through pickle: a worker may be another process. ``told``
        hears how many of the first items are done, as far as that is known.
        """
        ...


class Inline:
    """This process, one item after the other."""

    workers = 1

    def map(self, function: Callable[[C, T], R], common: C, items: Sequence[T], told: Told | None = None) -> list[R]:
        """As `Engine.map`."""
        return gathered((function(common, item) for item in items), told)


def gathered(results: Iterable[R], told: Told | None) -> list[R]:
    """All of them, telling how many there are after each."""
    done: list[R] = []
    for result in results:
        done.append(result)
        if told is not None:
            told(len(done))
    return done


def automatic_workers(runs: int) -> int:
    """How many workers so many runs are worth on this machine; 1: none beside this process."""
    return max(1, min(len(os.sched_getaffinity(0)), _MOST_AUTOMATIC, runs // _RUNS_PER_WORKER))


@contextmanager
def open_engine(name: str, workers: int) -> Iterator[Engine]:
    """An engine by name (one of `NAMES`) with so many workers, until the end of the block.

    UsageError for another name, HostError when the packages of an engine are not installed or its workers fail.
    """
    if name not in NAMES:
        raise UsageError(f"no engine {name!r}", f"there are {', '.join(NAMES)}")
    if name == "local" and workers == 1:
        yield Inline()
    elif name == "local":
        from agentcgroup.study.engine.local import open_pool

        with one_thread(), open_pool(workers) as pool:
            yield pool
    else:
        from agentcgroup.study.engine.cluster import open_cluster

        with one_thread(), open_cluster(workers) as cluster:
            yield cluster


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for polars in this process, if it is not imported yet, and in all that are started meanwhile."""
    before = os.environ.get(_THREADS)
    os.environ[_THREADS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_THREADS]
        else:
            os.environ[_THREADS] = before
