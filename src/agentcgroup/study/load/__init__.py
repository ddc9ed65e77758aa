"""Loads runs into one `Study`: frames of sessions, calls, samples and messages, and everything that was odd."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from agentcgroup.errors import TraceError
from agentcgroup.study.engine import Engine, Inline
from agentcgroup.study.find import Run, Wanted, find_runs
from agentcgroup.study.load.published import load_published
from agentcgroup.study.load.recorded import load_recorded
from agentcgroup.study.load.rows import Rows
from agentcgroup.study.load.study import Study, from_rows, join
from agentcgroup.study.oddities import Oddities

SHORTEST_S = 60.0  # the published filter
FEWEST_SAMPLES = 10
_RUNS_AT_ONCE = 16  # of one piece of work: small, so that no worker waits long for the last one

__all__ = ["FEWEST_SAMPLES", "SHORTEST_S", "Study", "load", "load_runs"]


def load(paths: Sequence[Path], wanted: Sequence[Wanted] = (), *, everything: bool = False) -> Study:
    """All runs below ``paths``, read in this process: `find_runs`, then `load_runs`. Raises what these raise."""
    oddities = Oddities()
    return load_runs(find_runs(paths, wanted, oddities), oddities, everything=everything)


def load_runs(
    runs: Sequence[Run], oddities: Oddities, *, everything: bool = False, engine: Engine | None = None
) -> Study:
    """What ``runs`` hold; ``oddities``, of finding them, are extended. TraceError when every single one is broken.

    ``selected`` marks the last attempt of each task, of published runs those that pass the published filter; with
    ``everything`` every run that began. Without ``engine`` it is this process that reads.
    """
    pieces = [tuple(runs[at : at + _RUNS_AT_ONCE]) for at in range(0, len(runs), _RUNS_AT_ONCE)]
    study = join((engine or Inline()).map(_load_some, None, pieces))
    oddities.extend(study.oddities)
    if study.sessions.is_empty():
        first = oddities.example("broken run")
        raise TraceError(f"none of the {len(runs)} runs can be read", f"the first is {first}")
    return _select(replace(study, oddities=oddities), everything)


def _load_some(_: None, runs: tuple[Run, ...]) -> Study:
    """The frames of some runs; those that are broken are counted."""
    oddities = Oddities()
    rows = [row for run in runs for row in _load_one(run, oddities)]
    return from_rows(rows, oddities)


def _load_one(run: Run, oddities: Oddities) -> list[Rows]:
    try:
        rows = load_recorded(run) if run.recorded else [load_published(run)]
    except TraceError as error:
        oddities.add("broken run", run.label, 1, error.message)
        return []
    if not rows:
        oddities.add("broken run", run.label, 1, "it holds no record")
    return rows


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
    return replace(study, sessions=sessions)
