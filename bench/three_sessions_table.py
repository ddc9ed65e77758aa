"""What a run of `bench.three_sessions` found, and the table of many: one line per arm.

The unit is the run: medians and 95 % percentile bootstrap intervals over runs, the quantiles of the high session's
allocation steps over all steps of all runs, with the runs resampled whole.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.statistics import interval, quantile

_HUGE = 1e15
ALONE = "alone"  # the arm that a low session's slow-down is measured against
MEMORY_HIGH = "memory.high"  # the arm that the others are compared with


@dataclass(frozen=True, slots=True)
class Told:
    """One session of one run."""

    session: str
    finished: bool  # its agent came to its end
    seconds: float  # of its calls, one after the other; all that we waited when it did not come to its end
    calls_ok: int  # by the exit statuses that its agent saw
    calls: int
    outcomes: tuple[str, ...]  # of its calls, as recorded
    killed: int  # by the kernel or the policy
    frozen_s: float
    queued_s: float
    throttled_s: float
    told: int  # calls whose agent was told something: why it was stopped, slowed, made to wait


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one arm; ``steps_ms`` are the allocation steps of the high session."""

    arm: str
    sessions: tuple[Told, ...]
    steps_ms: tuple[float, ...] = field(repr=False)


def read(file: Path) -> list[Run]:
    """The runs of a file with a JSON object in each line."""
    runs = []
    for line in file.read_text().splitlines():
        fields = json.loads(line)
        sessions = tuple(Told(**{**told, "outcomes": tuple(told["outcomes"])}) for told in fields["sessions"])
        runs.append(Run(fields["arm"], sessions, tuple(fields["steps_ms"])))
    return runs


def table(found: Sequence[Run]) -> str:
    """In Markdown, the arms in the order of their names."""
    head = (
        "arm",
        "n",
        "agents at their end",
        "calls of high",
        "of low",
        "killed",
        "high p95 (ms)",
        "p99 (ms)",
        "high needs (s)",
        "makespan (s)",
        "low slowed, times",
        "frozen, queued (s a run)",
    )
    alone = [_per_call(told) for run in found if run.arm == ALONE for told in run.sessions]
    base = quantile(alone, 0.5) if alone else math.nan
    rows = [head, ("---",) * len(head)]
    rows += [_row(arm, [run for run in found if run.arm == arm], base) for arm in sorted({run.arm for run in found})]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def comparisons(found: Sequence[Run]) -> list[str]:
    """How each arm compares with the control, a sentence each; rounds are resampled whole, since arms share them."""
    control = [run for run in found if run.arm == MEMORY_HIGH]
    lines = []
    for arm in sorted({run.arm for run in found} - {ALONE, MEMORY_HIGH}) if control else ():
        own = [run for run in found if run.arm == arm]
        rounds = list(zip(own, control, strict=False))
        parts = []
        for name, q in (("p95", 0.95), ("p99", 0.99)):
            value, low, high = _ratio(rounds, q)
            parts.append(f"{name} {value:.2g} [{low:.2g}, {high:.2g}]")
        lines.append(f"{arm} over {MEMORY_HIGH}, allocation latency of high: {', '.join(parts)}")
    return lines


def _ratio(rounds: Sequence[tuple[Run, Run]], q: float) -> tuple[float, float, float]:
    def ratio(chosen: Sequence[int]) -> float:
        return _steps([rounds[i][0] for i in chosen], q) / _steps([rounds[i][1] for i in chosen], q)

    return ratio(range(len(rounds))), *interval(ratio, len(rounds))


def _row(arm: str, runs: Sequence[Run], base: float) -> tuple[str, ...]:
    every = [told for run in runs for told in run.sessions]
    high = [told for told in every if told.session == "high"]
    low = [told for told in every if told.session != "high"]
    return (
        arm,
        str(len(runs)),
        f"{sum(told.finished for told in every)} of {len(every)}",
        _calls(high),
        _calls(low),
        str(sum(told.killed for told in every)),
        _over(runs, lambda some: _steps(some, 0.95)),
        _over(runs, lambda some: _steps(some, 0.99)),
        _over(
            runs, lambda some: _median(told.seconds for run in some for told in run.sessions if told.session == "high")
        ),
        _over(runs, lambda some: _median(max(told.seconds for told in run.sessions) for run in some)),
        _over(
            runs,
            lambda some: _median(_per_call(t) / base for run in some for t in run.sessions if t.session != "high"),
        ),
        ", ".join(
            f"{sum(held) / len(runs):.0f}" for held in zip(*((t.frozen_s, t.queued_s) for t in every), strict=True)
        ),
    )


def _calls(sessions: Sequence[Told]) -> str:
    return f"{sum(told.calls_ok for told in sessions)} of {sum(told.calls for told in sessions)}"


def _per_call(told: Told) -> float:
    """Seconds for each call that ended well."""
    return told.seconds / told.calls_ok if told.calls_ok else math.inf


def _steps(runs: Sequence[Run], q: float) -> float:
    return _quantile([step for run in runs for step in run.steps_ms], q)


def _median(values: Iterable[float]) -> float:
    return _quantile(list(values), 0.5)


def _quantile(values: Sequence[float], q: float) -> float:
    """As `bench.statistics.quantile`, of values that may be infinite; not a number of none."""
    if not values:
        return math.nan
    found = quantile([min(value, _HUGE) for value in values], q)  # infinity less infinity would be no number
    return math.inf if found > _HUGE / len(values) / 2 else found


def _over(runs: Sequence[Run], statistic: Callable[[Sequence[Run]], float]) -> str:
    """The statistic of all runs, with its interval."""
    value = statistic(runs)
    if math.isnan(value):
        return "-"
    low, high = interval(lambda indexes: statistic([runs[i] for i in indexes]), len(runs))
    return f"{_number(value)} [{_number(low)}, {_number(high)}]"


def _number(value: float) -> str:
    return "none" if math.isinf(value) or math.isnan(value) else f"{value:.3g}" if value < 10 else f"{value:.0f}"
