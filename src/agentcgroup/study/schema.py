"""The frames of a study, column by column: one data model for recorded and for published sessions.

Times are seconds from t = 0 of their session unless the column says otherwise; durations are seconds, memory is bytes,
utilisation is cores (1.0: one core busy). **Null means that the source does not say; it is never written as 0.**
t = 0 is the first record of a recorded session, and the first sample (else the first message, else the first call) of a
published one.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import polars as pl

DType: TypeAlias = type[pl.DataType] | pl.DataType


class Column(NamedTuple):
    """One column: its name, type, unit ("" where it has none), meaning, and source in either kind of trace."""

    name: str
    dtype: DType
    unit: str
    meaning: str
    recorded: str  # where it comes from in our own traces; "-": always null
    published: str  # the same for the published format


Schema: TypeAlias = tuple[Column, ...]

_KEY = Column("session", pl.UInt32, "", "row of the session in the frame of sessions", "order of loading", "the same")

SESSIONS: Schema = (
    _KEY,
    Column("set", pl.String, "", "label of the set; part of the key", "--set, else the folder", "the same"),
    Column("task", pl.String, "", "name of the task; part of the key", "name of the folder", "the same"),
    Column("attempt", pl.Int32, "", "number of the attempt; part of the key", "attempt_N, else 1", "the same"),
    Column("last_attempt", pl.Boolean, "", "no later attempt of this task in its set", "counted", "counted"),
    Column("source", pl.String, "", "format: recorded or published", "-", "-"),
    Column("folder", pl.String, "", "where it was read from", "path", "path"),
    Column("selected", pl.Boolean, "", "counts in the metrics (rule: load.select)", "by rule", "by rule"),
    Column("published_rule", pl.Boolean, "", "passes the published filter", "-", "last attempt, n >= 10, >= 60 s"),
    Column("in_paper", pl.Boolean, "", "the packers say that the paper counts it", "-", "results.json in_paper"),
    Column("agent", pl.String, "", "framework that ran", "session_start.agent", "claude"),
    Column("model", pl.String, "", "models that answered, by name", "-", "trace message.model"),
    Column("image", pl.String, "", "container image", "-", "results.json image"),
    Column("image_bytes", pl.Int64, "B", "size of the image", "-", "image_info.size_bytes"),
    Column("start_epoch_s", pl.Float64, "Unix s", "t = 0", "wall clock of the first record", "epoch of sample 1"),
    Column("zone_s", pl.Int32, "s", "naive local times of its files minus UTC", "-", "timestamp - epoch"),
    Column("exit_code", pl.Int32, "", "of the agent; 128 + signal when killed", "session_end", "exit_code"),
    Column("success", pl.Boolean, "", "the task was solved", "-", "results.json success"),
    Column("error", pl.String, "", "why the run never began", "-", "error or error_class"),
    Column("cut", pl.Boolean, "", "the trace ends before the session", "no session_end", "-"),
    Column("memory_limit_bytes", pl.Int64, "B", "limit of the session", "limits.memory_max", "memory_limit"),
    Column("cpu_limit_cores", pl.Float64, "cores", "limit of the session", "-", "cpu_limit"),
    Column("host_memory_bytes", pl.Int64, "B", "of the host", "host.memory_bytes", "limit shown when there is none"),
    Column("memory_meaning", pl.String, "", "what the samples count", "memory.current", "podman (anon by 4.9)"),
    Column("call_clock", pl.String, "", "what the times of calls span", "command", "agent (with dispatch and checks)"),
    Column("pull_s", pl.Float64, "s", "pulling the image", "-", "pull_time"),
    Column("permission_fix_s", pl.Float64, "s", "changing owners in the image", "-", "permission_fix_time"),
    Column("wall_s", pl.Float64, "s", "whole run", "last - first record", "claude_time (with the copy of layers)"),
    Column("active_start_s", pl.Float64, "s", "first record of the agent's log", "-", "first timestamp in the trace"),
    Column("active_end_s", pl.Float64, "s", "last record of the agent's log", "-", "last timestamp in the trace"),
    Column("sampled_s", pl.Float64, "s", "last - first sample, as published", "of domain session", "with tear-down"),
    Column("sample_count", pl.Int64, "", "samples as published", "of domain session", "with tear-down"),
    Column("cpu_offset_s", pl.Float64, "s", "age of the container at sample 1", "-", "recovered (load.cpu)"),
    Column("memory_peak_bytes", pl.Int64, "B", "peak by the kernel's counter", "session_end.usage", "-"),
    Column("cpu_time_s", pl.Float64, "s", "CPU time of the session", "session_end.usage", "last cpu_percent x time"),
    Column("call_count", pl.Int64, "", "calls; 0 is known to be none", "counted", "tool_calls, else trace"),
    Column("message_count", pl.Int64, "", "records of the agent's log", "-", "trace"),
)

CALLS: Schema = (
    _KEY,
    Column("call", pl.String, "", "id of the call in its session", "call", "id"),
    Column("position", pl.UInt32, "", "0, 1 … in order of the starts", "counted", "counted"),
    Column("tool", pl.String, "", "tool of the agent", "shell", "tool"),
    Column("shell", pl.Boolean, "", "runs a shell command", "true", "tool is Bash"),
    Column(
        "kind",
        pl.String,
        "",
        "commands.Kind by the programs that run; null: no shell command",
        "argv, programs",
        "command",
    ),
    Column("program", pl.String, "", "heaviest program of it", "argv", "command"),
    Column("category_time", pl.String, "", "published rule, order of the time figure", "argv", "command"),
    Column("category_spike", pl.String, "", "published rule, order of the spike analysis", "argv", "command"),
    Column("command", pl.String, "", "text of the command", "script of bash -c", "input.command"),
    Column("start_s", pl.Float64, "s", "begin", "started_ns", "tool_use record"),
    Column("end_s", pl.Float64, "s", "end; null: not in the trace", "ended_ns", "tool_result record"),
    Column("duration_s", pl.Float64, "s", "end - start", "of the command", "with dispatch and permission check"),
    Column("requested_s", pl.Float64, "s", "asked for, before any queue", "requested_ns", "-"),
    Column("sidechain", pl.Boolean, "", "made by a sub-agent", "-", "isSidechain"),
    Column("parent", pl.String, "", "the call that encloses a sidechain call; null: none or not clear", "-", "times"),
    Column("leaf", pl.Boolean, "", "does work of its own; false: waits for other calls (Task …)", "true", "by tool"),
    Column("background", pl.Boolean, "", "asked to run in the background", "left processes", "run_in_background"),
    Column("is_error", pl.Boolean, "", "failed", "outcome", "tool_result.is_error"),
    Column("exit_code", pl.Int32, "", "exit status; 128 + signal", "call_end", "of the command, where its output says"),
    Column("outcome", pl.String, "", "model.Outcome", "outcome", "-"),
    Column("memory_peak_bytes", pl.Int64, "B", "peak of its leaf", "usage", "-"),
    Column("cpu_time_s", pl.Float64, "s", "CPU time of its leaf", "usage", "-"),
    Column("leftovers_killed", pl.Int32, "", "processes it left that were ended with it", "leftovers.killed", "-"),
    Column("leftovers_kept", pl.Int32, "", "processes it left that were let run on", "leftovers.kept", "-"),
)

SAMPLES: Schema = (
    _KEY,
    Column("t_s", pl.Float64, "s", "instant", "t_ns", "epoch"),
    Column("domain", pl.Categorical(), "", "session, agent, or the id of a call", "domain", "session"),
    Column("memory_bytes", pl.Int64, "B", "in use (sessions.memory_meaning)", "memory.current", "mem_usage, 4 digits"),
    Column("cpu_time_s", pl.Float64, "s", "CPU time since the start", "cpu.stat usage_usec", "recovered (load.cpu)"),
    Column("cpu_cores", pl.Float32, "cores", "utilisation since the sample before", "difference", "difference"),
    Column("cpu_error_cores", pl.Float32, "cores", "cpu_cores may be off by this", "0", "from rounding (load.cpu)"),
    Column("cpu_average_cores", pl.Float32, "cores", "average since the container started", "-", "cpu_percent"),
    Column("pids", pl.Int32, "", "processes", "pids.current", "-"),
    Column("memory_some_s", pl.Float64, "s", "PSI memory some, cumulative", "memory.pressure", "-"),
    Column("memory_full_s", pl.Float64, "s", "PSI memory full, cumulative", "memory.pressure", "-"),
    Column("cpu_some_s", pl.Float64, "s", "PSI cpu some, cumulative", "cpu.pressure", "-"),
)

MESSAGES: Schema = (
    _KEY,
    Column("t_s", pl.Float64, "s", "instant of the record", "-", "timestamp"),
    Column("type", pl.String, "", "assistant, user …", "-", "type"),
    Column("model", pl.String, "", "model that answered", "-", "message.model"),
    Column("message", pl.String, "", "id; one message is one record per content block", "-", "message.id"),
    Column("first", pl.Boolean, "", "first record of its message: count these, not records", "-", "counted"),
    Column("sidechain", pl.Boolean, "", "of a sub-agent", "-", "isSidechain"),
    Column("input_tokens", pl.Int64, "tokens", "of the message, repeated in each record", "-", "usage"),
    Column("output_tokens", pl.Int64, "tokens", "of the message, repeated in each record", "-", "usage"),
    Column("cache_creation_tokens", pl.Int64, "tokens", "the same", "-", "usage.cache_creation_input_tokens"),
    Column("cache_read_tokens", pl.Int64, "tokens", "the same", "-", "usage.cache_read_input_tokens"),
    Column("tool_uses", pl.Int32, "", "calls that the record asks for", "-", "content"),
)

FRAMES: dict[str, Schema] = {"sessions": SESSIONS, "calls": CALLS, "samples": SAMPLES, "messages": MESSAGES}


def dtypes(schema: Schema) -> dict[str, DType]:
    """Names and types, as polars takes them."""
    return {column.name: column.dtype for column in schema}


def empty(schema: Schema) -> pl.DataFrame:
    """A frame of this schema without rows."""
    return pl.DataFrame(schema=dtypes(schema))


def fit(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """``frame`` with the columns of ``schema`` in its order and types; what is missing becomes null."""
    present = set(frame.columns)
    return frame.select(
        (pl.col(c.name) if c.name in present else pl.lit(None).alias(c.name)).cast(c.dtype) for c in schema
    )
