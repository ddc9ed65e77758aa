"""How many sessions fit on a host, by Monte Carlo over their real time lines."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import accumulate

import polars as pl

from agentcgroup.study.load import Study
from agentcgroup.study.metrics.samples import labelled, whole
from agentcgroup.study.number import Number, Table, each_set
from agentcgroup.study.statistics import SEED, plain, simulated

HOST_BYTES = 32_000_000_000
WINDOW_S = 1800.0
GRID_S = 5.0
_REPLICATES = 30  # of the sessions, drawn anew in each
_ROUNDS = 20  # of each replicate
_MOST_SESSIONS = 300  # of a set
_MOST_CELLS = 1_000_000  # of a replicate: 58 days; sessions of days are fewer than the set has, so the interval wider
_MOST = 1000  # slots: small sessions on a large host need not be counted further


def concurrency(study: Study) -> list[Number]:
    """Definition: how many sessions at once a host of 32 GB carries for half an hour without being asked for more.

    Monte Carlo: each slot of the host runs sessions of the set back to back, from a random instant of a random one on
    (longer sessions are met more often, as they are in reality), in their real time lines on a grid of 5 s, each cell
    its highest sample. Slots are added until the sum exceeds the host at any instant; one less is what this round
    carries. Rounds: 30 times sessions drawn anew with 20 rounds each, seeded. "Carried": mean over the rounds. "One
    round in twenty fails": their 5th percentile. To compare: as many as fit when each reserves the highest peak of the
    set, the 95th percentile of the peaks, or the median of the peaks. Nothing reacts here: no throttle, no slow-down,
    and sessions do not move each other; and the slots are independent, which bursts of one release are not. Unit:
    sessions, and a ratio. Source: samples. Filters: selected sessions with two samples or more, 300 of a set at most
    (drawn with the seed). Interval: of 95 % of the replicates.
    """
    lines = _lines(study)

    def fill(table: Table, _: Study) -> None:
        own = lines.filter(pl.col("set") == table.set)
        if own.is_empty():
            return
        each = own.group_by("session", maintain_order=True).agg(pl.len(), peak=pl.col("memory").max())
        n, peaks = each.height, each["peak"]
        low, middle, most = (float(peaks.quantile(q, "linear") or 0.0) for q in (0.5, 0.95, 1.0))
        for item, peak in (
            ("reserving the highest peak", most),
            ("reserving the 95th percentile of the peaks", middle),
            ("reserving the median peak", low),
        ):
            if peak <= 0:
                return  # nothing was measured
            table.add(item, "sessions", "", plain(float(HOST_BYTES // peak), n))
        carried = simulate(own["memory"], each["len"].to_list(), HOST_BYTES)
        rounds = len(carried)
        drawn = pl.DataFrame({"replicate": [k // _ROUNDS for k in range(rounds)], "carried": carried})
        found = drawn.group_by("replicate", maintain_order=True).agg(
            middle=pl.col("carried").mean(), low=pl.col("carried").quantile(0.05, "linear")
        )
        table.add("sharing, carried", "sessions", "", simulated(found["middle"], rounds, n), "rounds")
        table.add("sharing, one round in twenty fails", "sessions", "", simulated(found["low"], rounds, n), "rounds")
        gain = simulated(found["low"] * most / HOST_BYTES, rounds, n)
        table.add("sharing over reserving the highest peak", "ratio", "", gain, "rounds")

    return each_set("concurrency", study, fill)


@dataclass(frozen=True, slots=True)
class _Tape:
    """Sessions back to back, one stretch for each replicate, and where it begins."""

    memory: pl.Series
    begins: list[int]
    lengths: list[int]


def simulate(memory: pl.Series, lengths: list[int], host_bytes: float, seed: int = SEED) -> list[int]:
    """How many slots each round carries; replicate after replicate, `_ROUNDS` each.

    ``memory`` (B) has the cells of `GRID_S` of all sessions, one after the other, and ``lengths`` how many each has.
    """
    source = random.Random(seed)  # noqa: S311 - a simulation, to be repeated
    tape = _record(memory, lengths, source)
    cells = int(WINDOW_S / GRID_S)
    rounds = _REPLICATES * _ROUNDS
    tape_lengths = [tape.lengths[n // _ROUNDS] for n in range(rounds)]
    begin = _each([tape.begins[n // _ROUNDS] for n in range(rounds)], cells)
    length, cell = _each(tape_lengths, cells), pl.int_range(rounds * cells, eager=True) % cells
    total = pl.zeros(rounds * cells, dtype=pl.Float64, eager=True)
    carried = [0] * rounds
    alive = pl.Series([True] * rounds)
    for slot in range(_MOST):
        offset = _each([source.randrange(most) for most in tape_lengths], cells)
        total = total + tape.memory.gather(begin + (cell + offset) % length)
        fits = total.reshape((rounds, cells)).arr.max() <= host_bytes
        alive = alive & fits
        if not alive.any():
            break
        carried = [slot + 1 if fit else before for fit, before in zip(alive, carried, strict=True)]
    return carried


def _each(values: list[int], times: int) -> pl.Series:
    """Every value so many times in a row."""
    rows = pl.int_range(len(values) * times, eager=True) // times
    return pl.Series(values, dtype=pl.Int64).gather(rows)


def _record(memory: pl.Series, lengths: list[int], source: random.Random) -> _Tape:
    starts = [0, *accumulate(lengths)]
    begins, taken, drawn = [], [], []
    most = max(1, min(len(lengths), _MOST_CELLS * len(lengths) // starts[-1]))
    used = 0
    for _ in range(_REPLICATES):
        chosen = source.choices(range(len(lengths)), k=most)
        begins.append(used)
        taken.append(sum(lengths[n] for n in chosen))
        used += taken[-1]
        drawn += chosen
    spans = pl.DataFrame({"begin": [starts[n] for n in drawn], "end": [starts[n + 1] for n in drawn]})
    rows = spans.select(pl.int_ranges("begin", "end", dtype=pl.UInt32).explode()).to_series()
    return _Tape(memory.rechunk().gather(rows), begins, taken)


def _lines(study: Study) -> pl.DataFrame:
    """``session``, ``set``, ``memory``: the highest sample of each cell; a cell without one keeps the last."""
    sampled = study.sessions.filter(pl.col("sample_count") > 1)
    # Of a large set some are enough, and the tapes of all would be too long.
    chosen = [
        part.sample(min(part.height, _MOST_SESSIONS), seed=SEED).select("session")
        for part in sampled.partition_by("set", maintain_order=True)
    ]
    if not chosen:
        return pl.DataFrame(schema={"session": pl.UInt32, "set": pl.String, "memory": pl.Float64})
    samples = whole(study.only(pl.col("session").is_in(pl.concat(chosen)["session"].implode())), "memory_bytes")
    cell = ((pl.col("t_s") - pl.col("t_s").first().over("session")) / GRID_S).floor().cast(pl.Int64)
    cells = samples.drop_nulls().with_columns(cell=cell).group_by("session", "cell", maintain_order=True)
    highest = cells.agg(memory=pl.col("memory_bytes").max().cast(pl.Float64))
    length = pl.col("cell").shift(-1).over("session") - pl.col("cell")
    filled = highest.with_columns(length=length.fill_null(1)).select(
        pl.all().exclude("cell", "length").repeat_by("length").explode()
    )
    return labelled(study, filled)
