"""What a study has loaded: its frames, whole or in parts that are put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from agentcgroup.study import schema
from agentcgroup.study.load import stream
from agentcgroup.study.load.rows import Rows
from agentcgroup.study.load.stream import Samples
from agentcgroup.study.oddities import Oddities


@dataclass(frozen=True, slots=True)
class Study:
    """What was loaded. Columns: `agentcgroup.study.schema`; ``samples`` is lazy, because it can be large.

    ``sources`` is where ``samples`` come from; with it a study can go to another process, and leave out sessions
    without reading them.
    """

    sessions: pl.DataFrame
    calls: pl.DataFrame
    samples: pl.LazyFrame
    messages: pl.DataFrame
    oddities: Oddities
    sources: Samples | None = None

    @property
    def sets(self) -> tuple[str, ...]:
        """The labels, by name."""
        return tuple(sorted(self.sessions.get_column("set").unique()))

    def selected(self) -> Study:
        """The sessions that count in the metrics, with what belongs to them."""
        return self.only(pl.col("selected"))

    def only(self, condition: pl.Expr) -> Study:
        """The sessions that meet ``condition`` on their frame, with what belongs to them."""
        sessions = self.sessions.filter(condition)
        keys = sessions.select("session")
        sources = self.sources.only(keys["session"]) if self.sources else None
        return Study(
            sessions,
            self.calls.join(keys, on="session", how="semi", maintain_order="left"),
            sources.lazy()
            if sources
            else self.samples.join(keys.lazy(), on="session", how="semi", maintain_order="left"),
            self.messages.join(keys, on="session", how="semi", maintain_order="left"),
            self.oddities,
            sources,
        )

    def __reduce__(self) -> tuple[object, ...]:
        sources = self.sources or Samples((self.samples.collect(),))
        return _study, (self.sessions, self.calls, sources, self.messages, self.oddities)


def _study(
    sessions: pl.DataFrame, calls: pl.DataFrame, sources: Samples, messages: pl.DataFrame, oddities: Oddities
) -> Study:
    return Study(sessions, calls, sources.lazy(), messages, oddities, sources)


def from_rows(rows: Sequence[Rows], oddities: Oddities) -> Study:
    """The frames of some runs; a session is its place in ``rows``."""
    sessions = _frame([row.session | {"session": n} for n, row in enumerate(rows)], schema.SESSIONS)
    calls = _frame([call | {"session": n} for n, row in enumerate(rows) for call in row.calls], schema.CALLS)
    messages = _frame([one | {"session": n} for n, row in enumerate(rows) for one in row.messages], schema.MESSAGES)
    samples = []
    for n, row in enumerate(rows):
        if row.file is not None:
            samples.append(Samples((row.file,)).shift(n))
        elif row.samples.height:
            frame = row.samples.with_columns(pl.lit(n).alias("session"))
            samples.append(Samples((schema.fit(frame, schema.SAMPLES),)))
        oddities.extend(row.oddities)
    return _study(sessions, calls, stream.join(samples), messages, oddities)


def join(parts: Sequence[Study]) -> Study:
    """One study of parts that `from_rows` made; the sessions of a part come after those of the parts before it."""
    offset, offsets, oddities = 0, [], Oddities()
    for part in parts:
        offsets.append(offset)
        offset += part.sessions.height
        oddities.extend(part.oddities)
    pairs = list(zip(parts, offsets, strict=True))
    sources = stream.join(part.sources.shift(by) for part, by in pairs if part.sources)
    # In one piece, so that a sum adds in the same order here and in a process to which the frame was sent.
    return _study(
        pl.concat([_after(part.sessions, by) for part, by in pairs], rechunk=True),
        pl.concat([_after(part.calls, by) for part, by in pairs], rechunk=True),
        sources,
        pl.concat([_after(part.messages, by) for part, by in pairs], rechunk=True),
        oddities,
    )


def _after(frame: pl.DataFrame, by: int) -> pl.DataFrame:
    return frame.with_columns((pl.col("session") + by).cast(pl.UInt32))


def _frame(rows: list[dict[str, object]], wanted: schema.Schema) -> pl.DataFrame:
    # Rows may lack columns, and from_dicts would infer types from the first hundred.
    return pl.DataFrame({c.name: pl.Series(c.name, [row.get(c.name) for row in rows], c.dtype) for c in wanted})
