"""The figures of a report: `FIGURES`, in the order in which they are shown.

Each is a function from `Data` to a `Drawn`, or None where the data has nothing to draw. The eight figures of the paper
are among them (`paper` says which part of it a figure answers); where its definition differs from ours, both are in
the figure, on one scale.
"""

from __future__ import annotations

from agentcgroup.study.report.figures.commands import command_kinds, retries, tool_places, tool_shares, unseen
from agentcgroup.study.report.figures.drawing import Picture
from agentcgroup.study.report.figures.execution import execution_time, phases
from agentcgroup.study.report.figures.load import change_rates, cpu_memory, load
from agentcgroup.study.report.figures.memory import bursts, images, peaks, trajectory
from agentcgroup.study.report.figures.timelines import extreme_session, usual_session
from agentcgroup.study.report.figures.variety import density, rounds, same_tasks, variation

FIGURES: tuple[Picture, ...] = (
    Picture("execution_time", "How long sessions take", ("duration",), execution_time),
    Picture("phases", "Where the time goes", ("phases",), phases),
    Picture("tool_shares", "Time by tool", ("tool_share",), tool_shares),
    Picture("command_kinds", "Shell time by kind of command", ("category_share", "kind_duration"), command_kinds),
    Picture("tool_places", "When in a session tools are called", ("tool_position",), tool_places),
    Picture("usual_session", "The time line of a usual session", ("memory_level",), usual_session),
    Picture("extreme_session", "The time line of the most extreme session", ("memory_level",), extreme_session),
    Picture("trajectory", "Memory and load over a session", ("trajectory",), trajectory),
    Picture("peaks", "Peak and average memory", ("memory_level",), peaks),
    Picture("bursts", "Bursts of memory and tool calls", ("bursts",), bursts),
    Picture("change_rates", "How fast memory and load change", ("change_rate",), change_rates),
    Picture("load", "Load: instantaneous and running average", ("cpu_load",), load),
    Picture("cpu_memory", "How load and memory go together", ("cpu_memory_correlation",), cpu_memory),
    Picture("retries", "Retry loops by three definitions", ("retry_loops",), retries),
    Picture("images", "Container images", ("image_size",), images),
    Picture("variation", "How much sessions differ", ("task_variation",), variation),
    Picture("same_tasks", "The same tasks in two sets", ("same_tasks",), same_tasks),
    Picture("rounds", "Rounds of the model, time and memory", ("correlations",), rounds),
    Picture("unseen", "Calls that sampling cannot see", ("unseen_calls",), unseen),
    Picture("density", "Sessions that a host of 32 GB carries", ("concurrency",), density),
)
