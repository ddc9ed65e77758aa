"""How far a study has come: a bar on the terminal, and nothing where there is none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from agentcgroup.study.engine import C, Engine, R, T, Told

Tell = Callable[[str, int, int], None]  # what is done now, how much of it is done, how much there is


@contextmanager
def progress() -> Iterator[Tell]:
    """A bar on standard error until the end of the block; silent unless that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _what, _done, _of: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def tell(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=of)
            bar.update(tasks[what], completed=done, total=of)

        yield tell


class Watched:
    """An engine that tells how far it is."""

    def __init__(self, engine: Engine, tell: Tell, what: str) -> None:
        self.workers = engine.workers
        self._engine, self._tell, self._what = engine, tell, what

    def map(self, function: Callable[[C, T], R], common: C, items: Sequence[T], told: Told | None = None) -> list[R]:
        """As `Engine.map`."""

        def hear(done: int) -> None:
            self._tell(self._what, done, len(items))
            if told is not None:
                told(done)

        self._tell(self._what, 0, len(items))
        found = self._engine.map(function, common, items, hear)
        self._tell(self._what, len(items), len(items))
        return found
