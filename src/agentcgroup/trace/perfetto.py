"""A trace as Chrome JSON trace events, which the Perfetto viewer opens.

Source: "Trace Event Format" (the Chromium project's document) as Perfetto's importer reads it: one process per
session, one thread (track) per call, complete events (``X``) that nest, counters (``C``), instants (``i``), names
as metadata (``M``). ``ts`` and ``dur`` are microseconds from the start of the first session.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from agentcgroup.trace.records import Json, limits_json, to_json, usage_json
from agentcgroup.trace.text import printable, shorten, utf8
from agentcgroup.trace.views import Call, Session, Trace

if TYPE_CHECKING:
    import polars as pl

Event: TypeAlias = dict[str, object]
_Row: TypeAlias = tuple[int, int | None, int | None]  # t_ns, memory_bytes, cpu_time_us

_NAME_CHARACTERS = 80
_ARG_CHARACTERS = 4000  # the viewer shows a whole value on one screen
_SESSION_TRACK = 1  # tid of the session's own track; calls follow


def perfetto_events(trace: Trace, samples: pl.DataFrame) -> list[Event]:
    """All events: metadata first, then by ``ts``, an enclosing slice before what it encloses."""
    origin = _origin(trace)
    metadata: list[Event] = []
    timed: list[Event] = []
    for pid, session in enumerate(trace.sessions, start=1):
        tracks = {call.id: tid for tid, call in enumerate(session.calls, start=_SESSION_TRACK + 1)}
        metadata.extend(_metadata(session, pid, tracks))
        timed.extend(_session_slice(session, pid, origin))
        for call in session.calls:
            timed.extend(_call_slices(call, session, pid, tracks[call.id], origin))
        timed.extend(_instants(session, pid, tracks, origin))
    # Samples name no session. A trace holds one; should damage have invented another, the first is the real one.
    for pid, session in enumerate(trace.sessions[:1], start=1):
        timed.extend(_counters(session, samples, pid, origin))
    timed.sort(key=_order)
    return metadata + timed


def _origin(trace: Trace) -> int:
    """The instant of ``ts`` 0: the start of the first session, or the first instant if one is earlier."""
    instants = [session.first_ns for session in trace.sessions]
    instants.extend(call.first_ns for call in trace.calls if call.first_ns)
    return min(instants, default=0)


def _order(event: Event) -> tuple[float, float]:
    ts, dur = event["ts"], event.get("dur", 0.0)
    return (ts if isinstance(ts, float) else 0.0, -dur if isinstance(dur, float) else 0.0)


def _us(instant_ns: int, origin_ns: int) -> float:
    return max(instant_ns - origin_ns, 0) / 1000


def _metadata(session: Session, pid: int, tracks: dict[str, int]) -> Iterator[Event]:
    yield _named("process_name", pid, 0, f"session {session.name}")
    yield {"ph": "M", "name": "process_sort_index", "pid": pid, "tid": 0, "args": {"sort_index": pid}}
    for name, tid in {"session": _SESSION_TRACK, **tracks}.items():
        yield _named("thread_name", pid, tid, name)
        yield {"ph": "M", "name": "thread_sort_index", "pid": pid, "tid": tid, "args": {"sort_index": tid}}


def _named(kind: str, pid: int, tid: int, name: str) -> Event:
    return {"ph": "M", "name": kind, "pid": pid, "tid": tid, "args": {"name": printable(name)}}


def _session_slice(session: Session, pid: int, origin: int) -> Iterator[Event]:
    args: Json = {"cut": session.cut}
    if session.start is not None:
        start = to_json(session.start)
        args |= {name: start[name] for name in ("argv", "cwd", "agent", "support", "host", "limits")}
    if session.end is not None:
        args |= to_json(session.end)
    name = f"session {session.name}"
    yield _slice(name, "session", (session.first_ns, session.last_ns), (pid, _SESSION_TRACK), origin, args)


def _call_slices(call: Call, session: Session, pid: int, tid: int, origin: int) -> Iterator[Event]:
    """The call from request to return; inside, its queue, its command and the way back; after it, its background."""
    track = (pid, tid)
    begin = call.first_ns
    started = max(call.started_ns or begin, begin)
    ended = max(session.last_ns if call.ended_ns is None else call.ended_ns, started)
    returned = max(call.end.returned_ns if call.end else ended, ended)
    name = shorten(printable(call.command), _NAME_CHARACTERS) or call.id
    yield _slice(name, "call", (begin, returned), track, origin, _call_args(call))
    if started > begin:
        yield _slice("queue", "queue", (begin, started), track, origin, {})
    yield _slice("command", "command", (started, ended), track, origin, {})
    if returned > ended:
        yield _slice("return", "return", (ended, returned), track, origin, {})
    if call.end and (call.end.leftovers.kept or call.background):
        background_end = session.last_ns if call.background_end_ns is None else call.background_end_ns
        background = call.background
        args: Json = {"reason": background.reason, "usage": usage_json(background.usage)} if background else {}
        yield _slice("background", "background", (returned, max(background_end, returned)), track, origin, args)


def _call_args(call: Call) -> Json:
    args: Json = {"call": call.id, "outcome": call.outcome.value, "cut": call.end is None}
    if call.start is not None:
        args |= {"command": call.command, "cwd": call.start.cwd, "pid": call.start.pid, "agent": call.start.agent}
        args |= {"managed": call.start.managed, "limits": _known(limits_json(call.limits))}
    if call.end is not None:
        args |= {"status": call.end.status, "signal": call.end.signal, "reason": call.end.reason}
        args |= {"usage": _known(usage_json(call.usage))}
        args |= {"killed": call.end.leftovers.killed, "kept": call.end.leftovers.kept}
    return args


def _known(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value is not None}


def _instants(session: Session, pid: int, tracks: dict[str, int], origin: int) -> Iterator[Event]:
    for record in session.events:
        args = to_json(record.body)
        call = args.get("call")
        tid = tracks.get(call, _SESSION_TRACK) if isinstance(call, str) else _SESSION_TRACK
        what = args.get("action") or args.get("signal") or args.get("label") or ""
        yield {
            "ph": "i",
            "s": "t",
            "name": printable(f"{record.kind} {what}".strip()),
            "cat": "event",
            "ts": _us(record.mono_ns, origin),
            "pid": pid,
            "tid": tid,
            "args": _clean(args),
        }


def _slice(name: str, cat: str, span: tuple[int, int], track: tuple[int, int], origin: int, args: Json) -> Event:
    begin, end = (_us(instant, origin) for instant in span)
    return {
        "ph": "X",
        "name": printable(name),
        "cat": cat,
        "ts": begin,
        "dur": round(end - begin, 3),
        "pid": track[0],
        "tid": track[1],
        "args": _clean(args),
    }


def _clean(args: Json) -> Json:
    """Arguments without lone surrogates (which are not JSON that others read) and not too long."""
    cleaned = _clean_value(args)
    return cleaned if isinstance(cleaned, dict) else {}


def _clean_value(value: object) -> object:
    if isinstance(value, str):
        return shorten(utf8(value), _ARG_CHARACTERS)
    if isinstance(value, dict):
        return {utf8(str(name)): _clean_value(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_clean_value(inner) for inner in value]
    return value


def _counters(session: Session, samples: pl.DataFrame, pid: int, origin: int) -> Iterator[Event]:
    ends = {call.id: call.ended_ns for call in session.calls if not (call.end and call.end.leftovers.kept)}
    starts = {call.id: call.started_ns for call in session.calls}
    domains: dict[str, list[_Row]] = {}
    for t_ns, domain, memory, cpu in samples.select("t_ns", "domain", "memory_bytes", "cpu_time_us").iter_rows():
        domains.setdefault(domain, []).append((t_ns, memory, cpu))
    for domain, rows in domains.items():
        last_ns = rows[-1][0]
        end_ns = max(ends.get(domain) or last_ns, last_ns)
        memory = [(t_ns, memory / (1 << 20)) for t_ns, memory, _ in rows if memory is not None]
        cpu = _cpu_percent(rows, starts.get(domain))
        for name, unit, points in (("memory", "MiB", memory), ("CPU", "percent", cpu)):
            for t_ns, value in [*points, (end_ns, 0.0)] if points else []:
                yield {
                    "ph": "C",
                    "name": printable(f"{name} {domain}"),
                    "ts": _us(t_ns, origin),
                    "pid": pid,
                    "tid": 0,
                    "args": {unit: round(value, 3)},
                }


def _cpu_percent(rows: Iterable[_Row], start_ns: int | None) -> list[tuple[int, float]]:
    """Percent of one CPU between samples, at the begin of each interval (a counter holds until its next value).

    A call has used nothing at its start; other domains begin with their first sample.
    """
    points: list[tuple[int, float]] = []
    before = None if start_ns is None else (start_ns, 0)
    for t_ns, _, cpu_us in rows:
        if cpu_us is None:
            continue
        if before is not None and t_ns > before[0] and cpu_us >= before[1]:
            points.append((before[0], 100_000 * (cpu_us - before[1]) / (t_ns - before[0])))
        before = (t_ns, cpu_us)
    return points
