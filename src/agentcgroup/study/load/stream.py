"""Samples that stay where they are: a recorded session's are read from its Parquet file each time they are asked for.

A fleet has more samples than fit in memory, and most metrics want two columns of them. The frame of samples is lazy, so
polars says which columns and rows it wants, and gets them one session at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

import polars as pl
from polars.io.plugins import register_io_source

from agentcgroup.errors import TraceError
from agentcgroup.study import schema
from agentcgroup.trace.frames import PARQUET

_STEP = pl.col("t_ns").diff().over("domain") / 1e9
_TIME = pl.col("cpu_time_us") / 1e6
# column of `schema.SAMPLES` -> how it follows from columns of the trace format; the others are null
_COLUMNS = {
    "domain": pl.col("domain"),
    "memory_bytes": pl.col("memory_bytes"),
    "cpu_time_s": _TIME,
    "cpu_cores": pl.when(_STEP > 0).then(_TIME.diff().over("domain") / _STEP),
    "cpu_error_cores": pl.when(_STEP > 0).then(pl.lit(0.0)),
    "pids": pl.col("pids"),
    "memory_some_s": pl.col("memory_some_us") / 1e6,
    "memory_full_s": pl.col("memory_full_us") / 1e6,
    "cpu_some_s": pl.col("cpu_some_us") / 1e6,
}
# What metrics ask for of whole sessions, sooner or later.
_USUAL = ("t_s", "memory_bytes", "cpu_time_s", "cpu_cores", "cpu_error_cores")
_MADE = frozenset(schema.dtypes(schema.SAMPLES)) - {*_COLUMNS, "t_s"}  # the same in all rows: no file need be read
_KEPT_BYTES = 384 << 20  # in one process: whole sessions of 10 million samples


@dataclass(frozen=True, slots=True)
class SampleFile:
    """The samples of one recorded session, sound and in order of their instants when the session was loaded."""

    folder: str
    zero_ns: int  # CLOCK_MONOTONIC at t = 0
    rows: int
    session: int = 0

    def read(self, columns: Sequence[str], condition: pl.Expr | None = None) -> pl.DataFrame:
        """These columns of `schema.SAMPLES`, the rows that meet ``condition``: on these columns, or on the domain.

        TraceError when the file is not what it was.
        """
        expressions = [_expression(column, self.session, self.zero_ns) for column in columns]
        needed = {name for expression in expressions for name in expression.meta.root_names()}
        by_domain = condition is not None and _of_domain(condition)
        path = Path(self.folder) / PARQUET
        try:
            # Instants are read in any case: they tell the number of rows where nothing else is wanted.
            needed |= {"t_ns", "domain"} if by_domain else {"t_ns"}
            frame = pl.read_parquet(path, columns=sorted(needed), use_statistics=False)
        except (OSError, pl.exceptions.PolarsError) as error:
            reason = str(error).partition("\n")[0]
            raise TraceError(f"{path} can no longer be read: {reason}", "leave the traces alone meanwhile") from error
        if frame.height != self.rows:
            raise TraceError(f"{path} has changed while it was studied", "leave the traces alone meanwhile")
        if condition is None:
            return columns_of(frame, self.session, self.zero_ns, columns)
        if by_domain:
            # No column mixes domains, so those that nobody wants need not be computed.
            frame = frame.filter(
                columns_of(frame, self.session, self.zero_ns, ["domain"]).select(condition).to_series()
            )
            return columns_of(frame, self.session, self.zero_ns, columns)
        return columns_of(frame, self.session, self.zero_ns, columns).filter(condition)


class Kept:
    """Rows of files that were asked for by their domain, to be asked for again by the next metric: up to a size.

    Nearly every metric wants samples of whole sessions. These are a part of the rows, and take a tenth of the memory
    that all would; to read them twenty times takes longer than to compute with them.
    """

    def __init__(self) -> None:
        self._columns: dict[tuple[str, bytes], dict[str, pl.Series]] = {}
        self._left = _KEPT_BYTES

    def read(self, file: SampleFile, columns: Sequence[str], condition: pl.Expr, key: bytes) -> pl.DataFrame:
        """As `SampleFile.read`; ``key`` stands for ``condition``, which is about the domain alone."""
        kept = self._columns.get((file.folder, key), {})
        found = dict(kept)
        missing = [name for name in columns if name not in found and name not in _MADE]
        if missing or not found:
            # Whoever comes a second time comes for other columns: all that metrics want are then read at once.
            more = _USUAL if found and self._left > 0 else ("t_s",)
            new = file.read(list(dict.fromkeys((*missing, *(name for name in more if name not in found)))), condition)
            found |= {series.name: series for series in new}
            self._keep(file.folder, key, new)
        rows = len(found["t_s"])
        return pl.DataFrame([found[name] if name in found else _made(name, file.session, rows) for name in columns])

    def _keep(self, folder: str, key: bytes, frame: pl.DataFrame) -> None:
        if self._left > 0:
            self._columns.setdefault((folder, key), {}).update((series.name, series) for series in frame)
            self._left -= int(frame.estimated_size())

    def __reduce__(self) -> tuple[type[Kept], tuple[()]]:
        return Kept, ()


Part: TypeAlias = pl.DataFrame | SampleFile


@dataclass(frozen=True, slots=True)
class Samples:
    """The samples of many sessions in order of these: frames in memory, and files that are read when asked for."""

    parts: tuple[Part, ...] = ()
    kept: Kept = field(default_factory=Kept, compare=False, repr=False)

    def only(self, sessions: Iterable[int]) -> Samples:
        """Those of these sessions. Nothing is read."""
        kept = frozenset(sessions)
        chosen = [_of(part, kept) for part in self.parts]
        return Samples(tuple(part for part in chosen if part is not None), self.kept)

    def shift(self, by: int) -> Samples:
        """The same with ``by`` added to the number of each session."""
        return Samples(tuple(_shifted(part, by) for part in self.parts))

    def lazy(self) -> pl.LazyFrame:
        """As one frame with the columns of `schema.SAMPLES`."""
        frames = []
        for in_memory, parts in groupby(self.parts, lambda part: isinstance(part, pl.DataFrame)):
            if in_memory:
                frames.append(pl.concat([part for part in parts if isinstance(part, pl.DataFrame)]).lazy())
            else:
                frames.append(_scan(tuple(part for part in parts if isinstance(part, SampleFile)), self.kept))
        return pl.concat(frames) if len(frames) > 1 else frames[0] if frames else schema.empty(schema.SAMPLES).lazy()


def join(samples: Iterable[Samples]) -> Samples:
    """All of them, one after the other; what is in memory and adjacent becomes one frame."""
    parts: list[Part] = []
    every = [part for one in samples for part in one.parts]
    for in_memory, group in groupby(every, lambda part: isinstance(part, pl.DataFrame)):
        adjacent = list(group)
        if in_memory:
            parts.append(pl.concat([part for part in adjacent if isinstance(part, pl.DataFrame)], rechunk=True))
        else:
            parts += adjacent
    return Samples(tuple(parts))


def columns_of(trace: pl.DataFrame, session: int, zero_ns: int, columns: Iterable[str]) -> pl.DataFrame:
    """Columns of `schema.SAMPLES`, from those of the trace format that they need, of one session."""
    kinds = schema.dtypes(schema.SAMPLES)
    return trace.select(_expression(name, session, zero_ns).cast(kinds[name]).alias(name) for name in columns)


def _expression(column: str, session: int, zero_ns: int) -> pl.Expr:
    if column == "session":
        return pl.repeat(session, pl.len())
    if column == "t_s":
        return (pl.col("t_ns") - zero_ns) / 1e9
    return _COLUMNS[column] if column in _COLUMNS else pl.repeat(None, pl.len())


def _made(column: str, session: int, rows: int) -> pl.Series:
    """A column of `_MADE`."""
    value = session if column == "session" else None
    return pl.repeat(value, rows, dtype=schema.dtypes(schema.SAMPLES)[column], eager=True).alias(column)


def _scan(files: tuple[SampleFile, ...], kept: Kept) -> pl.LazyFrame:
    """A lazy frame that reads one file after the other, and of each the columns that are wanted."""

    def read(
        columns: list[str] | None, condition: pl.Expr | None, most: int | None, _batch: int | None
    ) -> Iterator[pl.DataFrame]:
        wanted = columns if columns is not None else list(schema.dtypes(schema.SAMPLES))
        left = most
        by_domain = condition.meta.serialize() if condition is not None and _of_domain(condition) else b""
        for file in files:
            if left is None and condition is not None and by_domain:
                yield kept.read(file, wanted, condition, by_domain)
            elif left is None:
                yield file.read(wanted, condition)
            elif left > 0:
                frame = file.read(wanted).head(left)  # both given: the first so many rows, of which some meet it
                left -= frame.height
                yield frame if condition is None else frame.filter(condition)

    return register_io_source(read, schema=schema.dtypes(schema.SAMPLES), is_pure=True, explain_name="samples")


def _of_domain(condition: pl.Expr) -> bool:
    return set(condition.meta.root_names()) == {"domain"}


def _of(part: Part, kept: frozenset[int]) -> Part | None:
    if isinstance(part, SampleFile):
        return part if part.session in kept else None
    frame = part.filter(pl.col("session").is_in(list(kept)))
    return frame if frame.height else None


def _shifted(part: Part, by: int) -> Part:
    if isinstance(part, SampleFile):
        return replace(part, session=part.session + by)
    return part.with_columns((pl.col("session") + by).cast(pl.UInt32))
