"""Sessions with a memory curve of one's own, and the numbers of a metric over them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agentcgroup.study.load import Study, load
from agentcgroup.study.metrics import find_metrics
from agentcgroup.study.number import Number
from tests.study.build import Json, sample, write_run


def curve(megabytes: Sequence[float], percents: Sequence[float] = (), step: float = 1.0) -> list[Json]:
    """Samples with these values (decimal MB), one each ``step`` seconds; running averages of 10 % if not given."""
    shares = percents or [10.0] * len(megabytes)
    return [
        sample(n * step, f"{memory:g}MB / 134.5GB", f"{share:.2f}%")
        for n, (memory, share) in enumerate(zip(megabytes, shares, strict=True))
    ]


def one(tmp_path: Path, megabytes: Sequence[float], calls: Sequence[Json] = (), **more: object) -> Study:
    """A study of one session with this curve."""
    write_run(tmp_path / "s/a", calls, curve(megabytes), **more)  # type: ignore[arg-type]
    return load([tmp_path / "s"], everything=True)


def numbers(study: Study, name: str) -> dict[tuple[str, str], Number]:
    """The numbers of one metric of a study with one set, by item and statistic."""
    (metric,) = find_metrics((name,))
    return {(number.item, number.statistic): number for number in metric.compute(study.selected())}


def values(study: Study, name: str) -> dict[tuple[str, str], float | None]:
    """Their values."""
    return {key: number.value for key, number in numbers(study, name).items()}
