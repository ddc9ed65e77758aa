"""Loads a trace that ``agentcgroup run`` wrote: exact calls from kernel counters, samples where it took them."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from agentcgroup.model import Outcome, UsageSource
from agentcgroup.study import schema
from agentcgroup.study.find import Run
from agentcgroup.study.load.commands import describe
from agentcgroup.study.load.rows import Rows
from agentcgroup.study.load.stream import SampleFile, columns_of
from agentcgroup.study.oddities import Oddities
from agentcgroup.trace.frames import PARQUET, read_samples
from agentcgroup.trace.reader import read_trace
from agentcgroup.trace.text import utf8
from agentcgroup.trace.views import Call, Session, Trace


def load_recorded(run: Run) -> list[Rows]:
    """The sessions of a trace, in order of their starts; TraceError when it cannot be opened or has no record.

    Samples say neither whose nor in which boot they are, and `run` writes a session per folder. Where somebody has put
    several into one, their calls are sound and their samples are not: these are left out.
    """
    trace = read_trace(run.folder)
    samples, damage = read_samples(run.folder)
    alone = len(trace.sessions) == 1
    stays = (run.folder / PARQUET).is_file() and not any(one.file == PARQUET for one in damage)
    loaded = [_rows(run, session, samples if alone else samples.clear(), alone, stays) for session in trace.sessions]
    oddities = loaded[0].oddities if loaded else Oddities()
    _note(run, trace, oddities)
    oddities.add("trace damaged", run.label, len(damage), str(damage[0]) if damage else "")
    if not alone and samples.height:
        oddities.add("samples of several sessions", run.label, samples.height, f"{len(trace.sessions)} sessions")
    return loaded


def _note(run: Run, trace: Trace, oddities: Oddities) -> None:
    oddities.add("trace damaged", run.label, trace.skipped, str(trace.damage[0]) if trace.damage else "")
    oddities.add("trace of a newer version", run.label, sum(trace.unknown.values()), ", ".join(list(trace.unknown)[:3]))


def _rows(run: Run, session: Session, samples: pl.DataFrame, alone: bool, stays: bool) -> Rows:
    oddities = Oddities()
    oddities.add("trace cut", run.label, int(session.cut))
    if session.end is not None:
        oddities.add("processes of a call left", run.label, session.end.uncaught)
    sampled_from_proc = sum(
        call.end is not None and call.usage.source is not UsageSource.CGROUP for call in session.calls
    )
    oddities.add("usage not from the cgroup", run.label, sampled_from_proc)
    oddities.add("call without end", run.label, sum(call.end is None for call in session.calls))
    if not samples.height:
        oddities.add("no samples", run.label)
    if not samples["t_ns"].is_sorted():
        oddities.add("samples out of order", run.label, samples.select((pl.col("t_ns").diff() < 0).sum()).item())
        samples, stays = samples.sort("t_ns", maintain_order=True), False
    calls = [_call(call, position, session.first_ns) for position, call in enumerate(session.calls)]
    rows = Rows(_session(run, session, samples, alone), calls, oddities=oddities)
    if samples.height and stays:
        rows.file = SampleFile(str(run.folder), session.first_ns, samples.height)
    elif samples.height:
        rows.samples = columns_of(samples, 0, session.first_ns, schema.dtypes(schema.SAMPLES))
    return rows


def _session(run: Run, session: Session, samples: pl.DataFrame, alone: bool) -> dict[str, object]:
    start, end = session.start, session.end
    whole = samples.filter(pl.col("domain") == "session").get_column("t_ns")
    return {
        "set": run.set,
        "task": run.task if alone else f"{run.task}/{utf8(session.name)}",
        "attempt": run.attempt,
        "source": "recorded",
        "folder": utf8(str(run.folder)),
        "agent": utf8(start.agent) if start and start.agent else None,
        "start_epoch_s": _epoch(session),
        "exit_code": None if end is None else 128 + end.signal if end.signal else end.status,
        "cut": session.cut,
        "memory_limit_bytes": start.limits.memory_max_bytes if start else None,
        "host_memory_bytes": start.host.memory_bytes if start else None,
        "memory_meaning": "memory.current",
        "call_clock": "command",
        "wall_s": session.duration_s,
        "sampled_s": (whole[-1] - whole[0]) / 1e9 if len(whole) else None,
        "sample_count": len(whole),
        "memory_peak_bytes": end.usage.memory_peak_bytes if end else None,
        "cpu_time_s": _seconds(end.usage.cpu_time_us) if end else None,
        "call_count": len(session.calls),
    }


def _epoch(session: Session) -> float | None:
    """Unix seconds of t = 0."""
    if session.start_ns is None:
        return None
    try:
        wall = datetime.fromisoformat(session.start_wall)
    except ValueError:
        return None
    return wall.timestamp() - (session.start_ns - session.first_ns) / 1e9 if wall.tzinfo else None


def _call(call: Call, position: int, zero_ns: int) -> dict[str, object]:
    end, known = call.end, call.start is not None
    # What a call without a leaf of its own leaves behind, nobody sees.
    left = end.leftovers if end and (call.start is None or call.start.managed) else None
    row: dict[str, object] = {"shell": True}
    if known:
        programs = map(utf8, end.programs if end else ())
        row = describe(utf8(call.command), tuple(map(utf8, call.argv)), tuple(programs))
    return row | {
        "call": utf8(call.id),
        "position": position,
        "tool": "shell",
        "start_s": _since(call.started_ns, zero_ns),
        "end_s": _since(call.ended_ns, zero_ns),
        "duration_s": call.duration_s,
        "requested_s": _since(call.requested_ns, zero_ns),
        "leaf": True,
        "background": call.background is not None or bool(end and end.leftovers.kept),
        "is_error": None if call.outcome is Outcome.CUT else call.outcome is not Outcome.OK,
        "exit_code": None if end is None else 128 + end.signal if end.signal else end.status,
        "outcome": str(call.outcome),
        "memory_peak_bytes": call.usage.memory_peak_bytes,
        "cpu_time_s": _seconds(call.usage.cpu_time_us),
        "leftovers_killed": left.killed if left else None,
        "leftovers_kept": left.kept if left else None,
    }


def _since(instant_ns: int | None, zero_ns: int) -> float | None:
    return None if instant_ns is None else (instant_ns - zero_ns) / 1e9


def _seconds(time_us: int | None) -> float | None:
    return None if time_us is None else time_us / 1e6
