"""The samples of a published run (resources.json), with the load recovered from the running average."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

import polars as pl

from agentcgroup.study import schema
from agentcgroup.study.load import cpu
from agentcgroup.study.load.fields import mapping, number, text
from agentcgroup.study.load.values import parse_share, parse_usage, zone_of
from agentcgroup.study.oddities import Oddities

_usage = lru_cache(maxsize=1 << 14)(parse_usage)
_share = lru_cache(maxsize=1 << 14)(parse_share)


@dataclass(slots=True)
class Sampled:
    """Sound samples in order (Unix s, bytes, cores since the start); count, first and last include tear-down."""

    epochs: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    averages: list[float] = field(default_factory=list)
    limit_bytes: int | None = None
    count: int = 0
    first: float | None = None
    last: float | None = None
    zone_s: int | None = None

    @property
    def span_s(self) -> float | None:
        """Last minus first sample, tear-down included, as published."""
        return self.last - self.first if self.first is not None and self.last is not None else None


def read_samples(entries: Sequence[object], run: str, oddities: Oddities) -> Sampled:
    """Reads ``samples`` of resources.json; what cannot be used is left out and counted."""
    sampled = Sampled()
    rows: list[tuple[float, int, float]] = []
    limits: Counter[int] = Counter()
    for data in map(mapping, entries):
        epoch, stamp = number(data, "epoch"), text(data, "timestamp")
        memory, share = text(data, "mem_usage"), text(data, "cpu_percent")
        if epoch is None or memory is None or share is None:
            oddities.add("sample unreadable", run, 1, "no epoch, mem_usage or cpu_percent")
            continue
        try:
            (used, limit), average = _usage(memory), _share(share)
        except ValueError as error:
            oddities.add("sample unreadable", run, 1, str(error))
            continue
        sampled.count += 1
        sampled.first = epoch if sampled.first is None else min(sampled.first, epoch)
        sampled.last = epoch if sampled.last is None else max(sampled.last, epoch)
        if stamp is not None and sampled.zone_s is None:
            sampled.zone_s = zone_of(stamp, epoch)
        if used == limit == 0:
            continue  # the container was gone
        limits[limit] += 1
        rows.append((epoch, used, average))
    oddities.add("tear-down sample", run, sampled.count - len(rows))
    _note(sampled, rows, run, oddities)
    rows.sort(key=lambda row: row[0])
    sampled.epochs, sampled.memory = [row[0] for row in rows], [row[1] for row in rows]
    sampled.averages = [row[2] for row in rows]
    sampled.limit_bytes = limits.most_common(1)[0][0] if limits else None
    return sampled


def samples_frame(sampled: Sampled, origin: float) -> tuple[pl.DataFrame, float | None, float | None]:
    """Columns of `schema.SAMPLES` but session, with t = 0 at ``origin``; the offset (s) and the CPU time at the end."""
    if not sampled.epochs:
        return schema.empty(schema.SAMPLES).drop("session"), None, None
    found = cpu.recover(sampled.epochs, sampled.averages)
    frame = pl.DataFrame(
        {
            "t_s": [epoch - origin for epoch in sampled.epochs],
            "memory_bytes": sampled.memory,
            "cpu_time_s": found.time_s,
            "cpu_cores": found.cores,
            "cpu_error_cores": found.error_cores,
            "cpu_average_cores": sampled.averages,
        },
        schema_overrides={"cpu_cores": pl.Float32, "cpu_error_cores": pl.Float32, "cpu_average_cores": pl.Float32},
    )
    return frame.with_columns(pl.lit("session").alias("domain")), found.offset_s, found.time_s[-1]


def _note(sampled: Sampled, rows: list[tuple[float, int, float]], run: str, oddities: Oddities) -> None:
    oddities.add("samples out of order", run, sum(after[0] < before[0] for before, after in pairwise(rows)))
    if sampled.zone_s is not None:
        oddities.add("naive local time", run, 1, f"UTC{sampled.zone_s / 3600:+g} h")
    if not rows:
        oddities.add("no samples", run)
