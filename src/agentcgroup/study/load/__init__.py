"""Loads runs into one `Study`: frames of sessions, calls, samples and messages, and everything that was odd."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from agentcgroup.errors import TraceError
from agentcgroup.study import schema
from agentcgroup.study.find import Run, Wanted, find_runs
from agentcgroup.study.load.published import load_published
from agentcgroup.study.load.recorded import load_recorded
from agentcgroup.study.load.rows import Rows
from agentcgroup.study.oddities import Oddities

SHORTEST_S = 60.0  # the published filter
FEWEST_SAMPLES = 10


@dataclass(frozen=True, slots=True)
class Study:
    """What was loaded. Columns: `agentcgroup.study.schema`; ``samples`` is lazy, because it can be large."""

    sessions: pl.DataFrame
    calls: pl.DataFrame
    samples: pl.LazyFrame
    messages: pl.DataFrame
    oddities: Oddities

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
        return Study(
            sessions,
            self.calls.join(keys, on="session", how="semi", maintain_order="left"),
            self.samples.join(keys.lazy(), on="session", how="semi", maintain_order="left"),
            self.messages.join(keys, on="session", how="semi", maintain_order="left"),
            self.oddities,
        )


def load(paths: Sequence[Path], wanted: Sequence[Wanted] = (), *, everything: bool = False) -> Study:
    """All runs below ``paths``. UsageError as `find_runs`; TraceError when every single one is broken.

    ``selected`` marks the last attempt of each task, of published runs those that pass the published filter; with
    ``everything`` every run that began.
    """
    oddities = Oddities()
    runs = find_runs(paths, wanted, oddities)
    rows: list[Rows] = []
    for run in runs:
        rows += _load_one(run, oddities)
    if not rows:
        first = oddities.example("broken run")
        raise TraceError(f"none of the {len(runs)} runs can be read", f"the first is {first}")
    study = _frames(rows, oddities)
    return _select(study, everything)


def _load_one(run: Run, oddities: Oddities) -> list[Rows]:
    try:
        rows = load_recorded(run) if run.recorded else [load_published(run)]
    except TraceError as error:
        oddities.add("broken run", run.label, 1, error.message)
        return []
    if not rows:
        oddities.add("broken run", run.label, 1, "it holds no record")
    return rows


def _frames(rows: list[Rows], oddities: Oddities) -> Study:
    """The frames of all runs; a session is its place in ``rows``."""
    sessions = _frame([row.session | {"session": n} for n, row in enumerate(rows)], schema.SESSIONS)
    calls = _frame([call | {"session": n} for n, row in enumerate(rows) for call in row.calls], schema.CALLS)
    messages = _frame([one | {"session": n} for n, row in enumerate(rows) for one in row.messages], schema.MESSAGES)
    samples = [
        schema.fit(row.samples.with_columns(pl.lit(n).alias("session")), schema.SAMPLES)
        for n, row in enumerate(rows)
        if row.samples.height
    ]
    for row in rows:
        oddities.extend(row.oddities)
    together = pl.concat(samples) if samples else schema.empty(schema.SAMPLES)
    return Study(sessions, calls, together.lazy(), messages, oddities)


def _frame(rows: list[dict[str, object]], wanted: schema.Schema) -> pl.DataFrame:
    # Rows may lack columns, and from_dicts would infer types from the first hundred.
    return pl.DataFrame({c.name: pl.Series(c.name, [row.get(c.name) for row in rows], c.dtype) for c in wanted})


def _select(study: Study, everything: bool) -> Study:
    """Marks attempts and selection, and counts what is left out."""
    last = pl.col("attempt") == pl.col("attempt").max().over("set", "task")
    long = (pl.col("sample_count") >= FEWEST_SAMPLES) & (pl.col("sampled_s") >= SHORTEST_S)
    published, began = pl.col("source") == "published", pl.col("start_epoch_s").is_not_null() | pl.col("cut")
    sessions = study.sessions.with_columns(last.alias("last_attempt")).with_columns(
        pl.when(published).then(pl.col("last_attempt") & long.fill_null(value=False)).alias("published_rule")
    )
    rule = began & (
        pl.lit(everything) | pl.when(published).then(pl.col("published_rule")).otherwise(pl.col("last_attempt"))
    )
    sessions = sessions.with_columns(rule.fill_null(value=False).alias("selected"))
    for name, task, attempt, latest, error, selected in sessions.select(
        "set", "task", "attempt", "last_attempt", "error", "selected"
    ).iter_rows():
        if selected or error is not None:
            continue
        reason = "too short" if latest else "earlier attempt"
        study.oddities.add(reason, f"{name}/{task}#{attempt}")
    return Study(sessions, study.calls, study.samples, study.messages, study.oddities)
