"""What a study can compute: `METRICS`, in the order in which they are shown.

A metric is a function from a `Study` (already selected) to `Number` rows; its docstring holds definition, unit, source
and filters. To add one, write the function in a file of its room and a line here; the command, the report and the
comparison of sets take it from this list.
"""

from __future__ import annotations

from agentcgroup.errors import UsageError
from agentcgroup.study.metrics.bursts import bursts, excursions
from agentcgroup.study.metrics.cpu import cpu_load, cpu_memory_correlation
from agentcgroup.study.metrics.density import concurrency
from agentcgroup.study.metrics.execution import duration, phases
from agentcgroup.study.metrics.host import image_size, left_processes
from agentcgroup.study.metrics.memory import memory_baseline, memory_level, trajectory
from agentcgroup.study.metrics.missed import missed_by_sampling
from agentcgroup.study.metrics.overlap import call_overlap, unseen_calls
from agentcgroup.study.metrics.rates import change_rate
from agentcgroup.study.metrics.relation import correlations
from agentcgroup.study.metrics.retries import retry_loops
from agentcgroup.study.metrics.spikes import spikes
from agentcgroup.study.metrics.tools import category_share, kind_duration, tool_duration, tool_position, tool_share
from agentcgroup.study.metrics.variation import repeats, same_tasks, task_variation
from agentcgroup.study.metrics.wait import permission_wait
from agentcgroup.study.metrics.waste import memory_waste
from agentcgroup.study.number import Metric

_EXECUTION = "execution"
_RESOURCES = "resources"
_UNPREDICTABILITY = "unpredictability"
_WASTE = "waste"
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
    Metric("memory_baseline", "Memory: what the framework takes", _RESOURCES, memory_baseline),
    Metric("memory_level", "Memory: peaks and averages", _RESOURCES, memory_level),
    Metric("trajectory", "Memory and load over a session", _RESOURCES, trajectory),
    Metric("bursts", "Memory: bursts, as levels and as rises", _RESOURCES, bursts),
    Metric("excursions", "Memory: how long it stays above a level", _RESOURCES, excursions),
    Metric("change_rate", "How fast memory and load change", _RESOURCES, change_rate),
    Metric("cpu_load", "Load: instantaneous and the running average", _RESOURCES, cpu_load),
    Metric("spikes", "Memory: rises by kind of command", _RESOURCES, spikes),
    Metric("cpu_memory_correlation", "How load and memory go together", _RESOURCES, cpu_memory_correlation),
    Metric("retry_loops", "Retry loops by three definitions", _RESOURCES, retry_loops),
    Metric("image_size", "Container images", _RESOURCES, image_size),
    Metric("left_processes", "Processes that outlive their call", _RESOURCES, left_processes),
    Metric("missed_by_sampling", "What one sample a second misses", _RESOURCES, missed_by_sampling),
    Metric("task_variation", "How much sessions differ across tasks", _UNPREDICTABILITY, task_variation),
    Metric("repeats", "How much runs of one task differ", _UNPREDICTABILITY, repeats),
    Metric("same_tasks", "The same tasks in two sets", _UNPREDICTABILITY, same_tasks),
    Metric("correlations", "Rounds and tokens with time and memory", _UNPREDICTABILITY, correlations),
    Metric("memory_waste", "What a memory limit wastes", _WASTE, memory_waste),
    Metric("concurrency", "How many sessions a host carries", _WASTE, concurrency),
)


def find_metrics(names: tuple[str, ...]) -> tuple[Metric, ...]:
    """The metrics of these names or rooms, all for none, in the order of `METRICS`; UsageError for an unknown name."""
    known = {metric.name for metric in METRICS} | {metric.room for metric in METRICS}
    for name in names:
        if name not in known:
            raise UsageError(f"no metric {name!r}", f"there are {', '.join(metric.name for metric in METRICS)}")
    return tuple(metric for metric in METRICS if not names or metric.name in names or metric.room in names)
