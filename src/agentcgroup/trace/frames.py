"""Samples and calls of a trace as polars frames. polars (0.2 s to import) is imported in here only when called."""

from __future__ import annotations

import contextlib
import json
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from agentcgroup.errors import TraceError
from agentcgroup.trace.records import limits_json, usage_json
from agentcgroup.trace.samples import SPOOL, Sample, SpoolDamage, read_spool
from agentcgroup.trace.text import command_of, utf8
from agentcgroup.trace.views import Call, Damage

if TYPE_CHECKING:
    import polars as pl

PARQUET = "samples.parquet"
COUNTERS = tuple(name for name in Sample._fields if name not in ("t_ns", "domain"))


def finish_samples(folder: Path) -> int:
    """Turn the spool of ``folder`` into ``samples.parquet`` and remove it; the number of samples.

    Without a spool nothing happens. TraceError when it cannot be read or written: the spool then stays,
    and readers take it instead.
    """
    spool = folder / SPOOL
    if not spool.exists():
        return 0
    import polars as pl

    partial = folder / f"{PARQUET}.partial"
    try:
        frame, _ = _read_spool(spool)
        frame.write_parquet(partial, compression="zstd")
        partial.rename(folder / PARQUET)
        spool.unlink()
    except (OSError, pl.exceptions.PolarsError) as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise TraceError(f"{folder / PARQUET} cannot be written: {error}", f"{spool} holds the samples") from error
    return frame.height


def read_samples(folder: Path) -> tuple[pl.DataFrame, tuple[Damage, ...]]:
    """The samples of a trace, from Parquet or the spool, ordered by ``t_ns``, and what could not be read."""
    parquet, spool = folder / PARQUET, folder / SPOOL
    damage: tuple[Damage, ...] = ()
    if parquet.is_file():
        frame, reason = _read_parquet(parquet)
        if frame is not None:
            return frame, ()
        damage = (Damage(PARQUET, 0, 0, reason),)
    if spool.is_file():
        try:
            frame, found = _read_spool(spool)
        except OSError as error:
            return _frame([], {}), (*damage, Damage(SPOOL, 0, 0, error.strerror or str(error)))
        return frame, damage + found
    return _frame([], {}), damage


def calls_frame(calls: Iterable[Call]) -> pl.DataFrame:
    """One row per call: identity, instants, outcome, limits, usage (columns: docs/reference/trace-format.md)."""
    import polars as pl

    schema = _call_schema()
    return pl.DataFrame([_call_row(call) for call in calls], schema=schema, orient="row")


def _read_parquet(path: Path) -> tuple[pl.DataFrame | None, str]:
    import polars as pl

    try:
        frame = pl.read_parquet(path, columns=["t_ns", "domain", *COUNTERS], use_statistics=False)
        return frame.cast(_schema()), ""  # type: ignore[arg-type]
    except OSError as error:
        return None, error.strerror or str(error)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        first = str(error).partition("\n")[0]
        return None, f"not a Parquet file of samples: {first}"


def _read_spool(path: Path) -> tuple[pl.DataFrame, tuple[Damage, ...]]:
    columns = [array("q") for _ in ("t_ns", *COUNTERS)]
    indexes: dict[str, int] = {}
    domains = array("I")
    damage: list[Damage] = []
    for row in read_spool(path):
        if isinstance(row, SpoolDamage):
            damage.append(Damage(SPOOL, 0, row.offset, row.reason))
            continue
        domains.append(indexes.setdefault(row.domain, len(indexes)))
        for column, value in zip(columns, row.values, strict=True):
            column.append(value)
    return _frame(columns, indexes, domains), tuple(damage)


def _frame(columns: list[array[int]], indexes: dict[str, int], domains: array[int] | None = None) -> pl.DataFrame:
    import polars as pl

    if not columns or domains is None:
        return pl.DataFrame(schema=_schema())
    names = pl.Series("domain", list(indexes), dtype=pl.String)
    data = {"t_ns": columns[0]} | dict(zip(COUNTERS, columns[1:], strict=True))
    frame = pl.DataFrame({name: pl.Series(name, column, dtype=pl.Int64) for name, column in data.items()})
    frame = frame.with_columns(
        names.gather(pl.Series(domains, dtype=pl.UInt32)).alias("domain"),
        *(pl.when(pl.col(name) >= 0).then(pl.col(name)).alias(name) for name in COUNTERS),
    )
    return frame.select("t_ns", "domain", *COUNTERS).sort("t_ns", maintain_order=True)


def _schema() -> dict[str, type[pl.DataType]]:
    import polars as pl

    return {"t_ns": pl.Int64, "domain": pl.String} | dict.fromkeys(COUNTERS, pl.Int64)


_CALL_TEXTS = frozenset(
    {"session", "call", "command", "argv", "cwd", "agent", "tool_call_id", "outcome", "reason"}
    | {"background_reason", "usage_source", "caught", "programs"}
)
_CALL_FLAGS = frozenset({"managed", "limit_memory_oom_group"})


def _call_schema() -> dict[str, type[pl.DataType]]:
    import polars as pl

    row = _call_row(Call(session="", id=""))
    return {name: pl.String if name in _CALL_TEXTS else pl.Boolean if name in _CALL_FLAGS else pl.Int64 for name in row}


def _call_row(call: Call) -> dict[str, object]:
    start, end, left, background = call.start, call.end, call.end and call.end.leftovers, call.background
    usage = usage_json(call.usage)
    source = usage.pop("source")
    limits = limits_json(call.limits)
    row: dict[str, object] = {
        "session": call.session,
        "call": call.id,
        "command": start and command_of(start.argv),
        "argv": start and json.dumps(start.argv, ensure_ascii=False),
        "cwd": start and start.cwd,
        "agent": start and start.agent,
        "tool_call_id": start and start.tool_call_id,
        "outcome": str(call.outcome),
        "reason": end and end.reason,
        "managed": start and start.managed,
        "caught": start and start.caught,
        "programs": end and json.dumps(end.programs, ensure_ascii=False),
        "argv_bytes": start and start.argv_bytes,
        "pid": start and start.pid,
        "status": end and end.status,
        "signal": end and end.signal,
        "requested_ns": call.requested_ns,
        "started_ns": call.started_ns,
        "ended_ns": call.ended_ns,
        "returned_ns": end and end.returned_ns,
        "background_end_ns": call.background_end_ns,
        "background_reason": background and background.reason,
        "leftovers_killed": left and left.killed,
        "leftovers_kept": left and left.kept,
        "usage_source": source if end else None,
    }
    row |= {f"limit_{name}": value if start else None for name, value in limits.items()}
    row |= usage
    return {name: utf8(value) if isinstance(value, str) else value for name, value in row.items()}
