"""One row per session with everything that sessions are compared by. Nothing here is a metric."""

from __future__ import annotations

import polars as pl

from agentcgroup.study.load import Study
from agentcgroup.study.metrics.samples import whole

_MADE_UP = "<synthetic>"  # the model of messages that the framework wrote: an error of the API, say
_PLACEHOLDER = 10  # output tokens; fewer are no whole message
_MOST_PLACEHOLDERS = 0.1

# column of `sessions_frame` -> (name in tables, unit)
MEASURES = {
    "wall_s": ("whole duration", "s"),
    "active_s": ("active duration", "s"),
    "peak_bytes": ("peak memory", "B"),
    "average_bytes": ("average memory", "B"),
    "cpu_time_s": ("CPU time", "s"),
    "calls": ("calls", ""),
    "messages": ("messages of the model", ""),
    "output_tokens": ("output tokens", "tokens"),
}


def sessions_frame(study: Study) -> pl.DataFrame:
    """``session``, ``set``, ``task``, ``attempt``, the columns of `MEASURES`, and those of the published counts.

    A message of the model is counted once, with the most output tokens that one of its records says (the early ones of
    a message that is still streamed hold a placeholder); those that the framework made up itself are left out. In some
    logs no record says more than the placeholder: where more than a tenth of the messages claim fewer than ten tokens
    (a call of a tool alone takes more), the tokens of the session are not known. ``records`` and ``record_tokens`` are
    the published counts: records, one per block of content, and the sum of what they say. The peak is the kernel's
    where it counted one, else the highest sample. Null: the source does not say.
    """
    memory = pl.col("memory_bytes")
    samples = whole(study, "memory_bytes").group_by("session", maintain_order=True)
    levels = samples.agg(sampled_peak=memory.max(), average_bytes=memory.mean())
    answers = study.messages.filter(pl.col("type") == "assistant").group_by("session", maintain_order=True)
    tokens = pl.col("output_tokens")
    talk = answers.agg(records=pl.len(), record_tokens=pl.when(tokens.count() > 0).then(tokens.sum()))
    frame = study.sessions.select(
        "session",
        "set",
        "task",
        "attempt",
        "wall_s",
        "cpu_time_s",
        "memory_peak_bytes",
        active_s=pl.col("active_end_s") - pl.col("active_start_s"),
        calls="call_count",
    )
    for more in (levels, talk, _messages(study)):
        frame = frame.join(more, on="session", how="left", maintain_order="left")
    peak = pl.coalesce("memory_peak_bytes", "sampled_peak").alias("peak_bytes")
    return frame.with_columns(peak).drop("memory_peak_bytes", "sampled_peak")


def _messages(study: Study) -> pl.DataFrame:
    """``session``, ``messages`` of the model and their ``output_tokens``; null where these are placeholders."""
    said = study.messages.filter((pl.col("type") == "assistant") & pl.col("model").ne_missing(_MADE_UP))
    # A message without an id is one record.
    name = pl.coalesce("message", pl.format("record {}", pl.int_range(pl.len())))
    each = said.group_by("session", name.alias("message"), maintain_order=True).agg(pl.col("output_tokens").max())
    tokens = pl.col("output_tokens")
    sound = (tokens.count() > 0) & ((tokens < _PLACEHOLDER).mean() <= _MOST_PLACEHOLDERS)
    return each.group_by("session", maintain_order=True).agg(
        messages=pl.len(), output_tokens=pl.when(sound).then(tokens.sum())
    )
