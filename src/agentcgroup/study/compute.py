"""Computes the metrics of a study, one piece of work each."""

from __future__ import annotations

from collections.abc import Sequence

from agentcgroup.errors import UsageError
from agentcgroup.study.engine import Engine
from agentcgroup.study.load import Study
from agentcgroup.study.metrics import find_metrics
from agentcgroup.study.number import Metric, Number


def compute(study: Study, metrics: Sequence[Metric], engine: Engine) -> list[tuple[Metric, list[Number]]]:
    """The numbers of each metric, over the selected sessions; UsageError when there is none."""
    chosen = study.selected()
    if chosen.sessions.is_empty():
        left = ", ".join(f"{study.oddities.count(name)} {name}" for name in study.oddities.names())
        raise UsageError(f"no session is left to compute with ({left})", "give --all, or more traces")
    found = engine.map(_numbers, chosen, [metric.name for metric in metrics])
    return list(zip(metrics, found, strict=True))


def _numbers(study: Study, name: str) -> list[Number]:
    """By name, because a worker has the same list of metrics."""
    return find_metrics((name,))[0].compute(study)
