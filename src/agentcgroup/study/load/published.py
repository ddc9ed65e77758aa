"""Loads one run in the published format, plain or packed: results, resources, calls and the log of the agent."""

from __future__ import annotations

from agentcgroup.study.find import Run
from agentcgroup.study.load import files
from agentcgroup.study.load.calls import read_calls
from agentcgroup.study.load.fields import Json, flag, integer, items, mapping, number, text
from agentcgroup.study.load.rows import Rows
from agentcgroup.study.load.samples import Sampled, read_samples, samples_frame
from agentcgroup.study.load.transcript import Transcript, read_transcript
from agentcgroup.study.load.values import parse_limit
from agentcgroup.study.oddities import Oddities
from agentcgroup.trace.text import utf8

_LATE_S = 60.0  # sampling went on for longer than this after the agent had stopped: worth a word


def load_published(run: Run) -> Rows:
    """One session; TraceError when one of its files is broken, because half a run would be taken for a whole one."""
    oddities = Oddities()
    results = _results(run, oddities)
    sampled = _samples(run, results, oddities)
    log = _log(run, results, oddities)
    listed = _listed(run)
    calls = read_calls(listed, log, run.label, oddities)
    origin = _origin(sampled, log, calls)
    session = _session(run, results) | _from_samples(sampled, results) | _from_log(log, origin)
    frame, offset, cpu_time = samples_frame(sampled, origin or 0.0)
    session |= {
        "start_epoch_s": origin,
        "cpu_offset_s": offset,
        "cpu_time_s": cpu_time,
        "call_count": len(calls) if listed is not None or log is not None else None,
    }
    messages = log.records if log else []
    _shift(calls, messages, origin or 0.0)
    _check(run, session, sampled, calls, origin or 0.0, oddities)
    return Rows(session, calls, messages, frame, oddities)


def _results(run: Run, oddities: Oddities) -> Json:
    path = files.find_file(run.folder, "results.json")
    if path is None:
        oddities.add("no results file", run.label)
        return {}
    results = mapping(files.read_json(path))
    error = text(results, "error", "error_class") or ("unknown" if "error" in results else None)
    if error is not None:
        oddities.add("failed run", run.label, 1, " ".join(error.split())[:120])
    if files.find_file(run.folder, "proc_events.json", "ebpf_trace.jsonl") is not None:
        oddities.add("process events not read", run.label)
    return results


def _samples(run: Run, results: Json, oddities: Oddities) -> Sampled:
    path = files.find_file(run.folder, "resources.json")
    if path is None:
        if "error" not in results and "error_class" not in results:
            oddities.add("no samples", run.label, 1, "no resources.json")
        return Sampled()
    return read_samples(items(mapping(files.read_json(path)).get("samples")), run.label, oddities)


def _log(run: Run, results: Json, oddities: Oddities) -> Transcript | None:
    path = files.find_file(run.folder, "trace_slim.json", "trace.jsonl")
    if path is None:
        if "error" not in results and "error_class" not in results:
            oddities.add("no log of the agent", run.label)
        return None
    log = read_transcript(path)
    oddities.add("log out of order", run.label, log.unsorted)
    oddities.add("log record without time", run.label, log.without_time)
    oddities.add("log record unreadable", run.label, log.unreadable)
    oddities.add("log truncated", run.label, int(log.truncated))
    return log


def _listed(run: Run) -> list[object] | None:
    path = files.find_file(run.folder, "tool_calls.json")
    return items(files.read_json(path)) if path else None


def _origin(sampled: Sampled, log: Transcript | None, calls: list[dict[str, object]]) -> float | None:
    """Unix seconds of t = 0."""
    if sampled.first is not None:
        return sampled.first
    if log is not None and log.first is not None:
        return log.first
    starts = [start for call in calls if isinstance(start := call["start_s"], float)]
    return min(starts, default=None)


def _session(run: Run, results: Json) -> dict[str, object]:
    image = mapping(results.get("image_info"))
    cpu_limit = text(results, "cpu_limit")
    error = text(results, "error", "error_class") or ("unknown" if "error" in results else None)
    return {
        "set": run.set,
        "task": run.task,
        "attempt": run.attempt,
        "source": "published",
        "folder": utf8(str(run.folder)),
        "in_paper": flag(results, "in_paper"),
        "agent": "claude",
        "image": text(results, "image"),
        "image_bytes": integer(image, "size_bytes"),
        "exit_code": _exit_code(results),
        "success": flag(results, "success"),
        "error": error,
        "cpu_limit_cores": float(cpu_limit) if cpu_limit and cpu_limit.replace(".", "", 1).isdigit() else None,
        "memory_meaning": "podman",
        "call_clock": "agent",
        "pull_s": number(results, "pull_time"),
        "permission_fix_s": number(results, "permission_fix_time"),
        "wall_s": number(results, "claude_time"),
    }


def _exit_code(results: Json) -> int | None:
    own = integer(results, "exit_code", 31)
    return own if own is not None else integer(mapping(results.get("claude_output")), "exit_code", 31)


def _from_samples(sampled: Sampled, results: Json) -> dict[str, object]:
    given = text(results, "memory_limit")
    try:
        limit = parse_limit(given) if given else None
    except ValueError:
        limit = sampled.limit_bytes
    return {
        "memory_limit_bytes": limit,
        "host_memory_bytes": None if given else sampled.limit_bytes,
        "zone_s": sampled.zone_s,
        "sampled_s": sampled.span_s,
        "sample_count": sampled.count,
    }


def _from_log(log: Transcript | None, origin: float | None) -> dict[str, object]:
    if log is None or log.first is None or log.last is None or origin is None:
        return {"message_count": None if log is None else len(log.records)}
    models = sorted({str(row["model"]) for row in log.records if row["model"]})
    return {
        "active_start_s": log.first - origin,
        "active_end_s": log.last - origin,
        "message_count": len(log.records),
        "model": ", ".join(models) or None,
    }


def _shift(calls: list[dict[str, object]], messages: list[dict[str, object]], origin: float) -> None:
    """From Unix seconds to seconds since t = 0."""
    for call in calls:
        for name in ("start_s", "end_s"):
            instant = call[name]
            call[name] = instant - origin if isinstance(instant, float) else None
    for message in messages:
        instant = message.pop("epoch")
        message["t_s"] = instant - origin if isinstance(instant, float) else None


def _check(
    run: Run,
    session: dict[str, object],
    sampled: Sampled,
    calls: list[dict[str, object]],
    origin: float,
    oddities: Oddities,
) -> None:
    """What is odd about the whole."""
    if session["exit_code"] not in (0, None):
        oddities.add("agent killed", run.label, 1, f"exit status {session['exit_code']}")
    if sampled.first is None or sampled.last is None:
        return
    begin, end = sampled.first - origin, sampled.last - origin
    outside = sum(
        (isinstance(start := call["start_s"], float) and start < begin)
        or (isinstance(stop := call["end_s"], float) and stop > end)
        for call in calls
    )
    oddities.add("call outside the samples", run.label, outside)
    active_end = session.get("active_end_s")
    if isinstance(active_end, float) and end - active_end > _LATE_S:
        oddities.add("samples after the agent", run.label, 1, f"for {end - active_end:.0f} s")
