"""Workers of Dask: those of the cluster whose scheduler DASK_SCHEDULER_ADDRESS names, else processes started here.

The machines of a cluster read the traces themselves, so these must lie at the same path on all of them, and they need
agentcgroup with the extra ``dask``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from agentcgroup.errors import HostError
from agentcgroup.study.engine import C, R, T, Told, gathered

_PATIENCE_S = 10


class Cluster:
    """A client of Dask, as an `Engine`."""

    def __init__(self, client: Any, workers: int) -> None:
        self.workers = workers
        self._client = client

    def map(self, function: Callable[[C, T], R], common: C, items: Sequence[T], told: Told | None = None) -> list[R]:
        """As `Engine.map`. HostError when workers die or their polars has several threads."""
        killed = import_module("distributed").KilledWorker
        # By hash, Dask would take equal items for one and keep results of a study whose files have changed since.
        shared = self._client.scatter(common, broadcast=True, hash=False)
        futures = [self._client.submit(_call, function, shared, item, pure=False) for item in items]
        try:
            return gathered((future.result() for future in futures), told)
        except killed as error:
            raise HostError(
                "workers of the study died", "memory may be short: give them fewer tasks or more"
            ) from error
        finally:
            self._client.cancel([*futures, shared])


@contextmanager
def open_cluster(workers: int) -> Iterator[Cluster]:
    """The workers of a cluster that is there, or ``workers`` processes of this machine."""
    try:
        distributed: Any = import_module("distributed")
    except ImportError as error:
        raise HostError("the engine dask is not installed", "run: pip install 'agentcgroup[dask]'") from error
    address = os.environ.get("DASK_SCHEDULER_ADDRESS")
    if address:
        with _connect(distributed, address) as client:
            client.run(_one_thread)
            yield Cluster(client, len(client.nthreads()))
        return
    local = distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0")
    with local, distributed.Client(local) as client:
        yield Cluster(client, workers)


def _connect(distributed: Any, address: str) -> Any:
    """A client of the scheduler at ``address``, which has workers."""
    try:
        client = distributed.Client(address, timeout=_PATIENCE_S)
    except (OSError, ValueError) as error:
        raise HostError(f"no Dask scheduler answers at {address}", "check DASK_SCHEDULER_ADDRESS") from error
    try:
        client.wait_for_workers(1, timeout=_PATIENCE_S)
    except TimeoutError as error:
        client.close()
        raise HostError(f"the Dask scheduler at {address} has no workers", "start some: dask worker") from error
    return client


def _one_thread() -> None:
    """For workers that others have started, before they import polars."""
    os.environ["POLARS_MAX_THREADS"] = "1"


def _call(function: Callable[[C, T], R], common: C, item: T) -> R:
    import polars as pl

    if pl.thread_pool_size() != 1:
        raise HostError(
            "a worker of Dask runs polars with several threads, and its results would vary",
            "start the workers with POLARS_MAX_THREADS=1",
        )
    return function(common, item)
