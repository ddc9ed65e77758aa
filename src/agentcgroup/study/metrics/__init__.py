"""What a study can compute: `METRICS`, in the order in which they are shown.

A metric is a function from a `Study` (already selected) to `Number` rows; its docstring holds definition, unit, source
and filters. To add one, write the function in a file of its room and a line here; the command, the report and the
comparison of sets take it from this list.
"""

from __future__ import annotations

from agentcgroup.errors import UsageError
from agentcgroup.study.metrics.execution import duration, phases
from agentcgroup.study.metrics.overlap import call_overlap, unseen_calls
from agentcgroup.study.metrics.tools import category_share, kind_duration, tool_duration, tool_position, tool_share
from agentcgroup.study.metrics.wait import permission_wait
from agentcgroup.study.number import Metric

_EXECUTION = "execution"
METRICS: tuple[Metric, ...] = (
    Metric("duration", "How long sessions take", _EXECUTION, duration),
    Metric("phases", "Where the time goes: initialization, model, tools", _EXECUTION, phases),
    Metric("permission_wait", "The wait for a permission check, estimated", _EXECUTION, permission_wait),
    Metric("tool_share", "Tools: their part of calls and of time", _EXECUTION, tool_share),
    Metric("tool_duration", "Tools: how long a call takes", _EXECUTION, tool_duration),
    Metric("kind_duration", "Shell commands by the programs that they run", _EXECUTION, kind_duration),
    Metric("category_share", "Shell commands by the published rule", _EXECUTION, category_share),
    Metric("tool_position", "When in a session tools are called", _EXECUTION, tool_position),
    Metric("call_overlap", "How much calls overlap", _EXECUTION, call_overlap),
    Metric("unseen_calls", "Calls that sampling cannot see", _EXECUTION, unseen_calls),
)


def find_metrics(names: tuple[str, ...]) -> tuple[Metric, ...]:
    """The metrics of these names or rooms, all for none, in the order of `METRICS`; UsageError for an unknown name."""
    known = {metric.name for metric in METRICS} | {metric.room for metric in METRICS}
    for name in names:
        if name not in known:
            raise UsageError(f"no metric {name!r}", f"there are {', '.join(metric.name for metric in METRICS)}")
    return tuple(metric for metric in METRICS if not names or metric.name in names or metric.room in names)
