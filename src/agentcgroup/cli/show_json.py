"""The JSON of ``agentcgroup show --json``: the records of a trace, joined by call."""

from __future__ import annotations

from agentcgroup.cli.show import sorted_calls
from agentcgroup.trace.records import Json, Record, to_json, usage_json
from agentcgroup.trace.summary import summarize
from agentcgroup.trace.views import Call, Session, Trace


def trace_json(trace: Trace, sort: str = "start") -> Json:
    """A whole trace: sessions with their summary and calls, and what is missing."""
    return {
        "v": 1,
        "trace": str(trace.folder),
        "cut": trace.cut,
        "skipped": trace.skipped,
        "damage": [place._asdict() for place in trace.damage],
        "unknown": dict(trace.unknown),
        "sessions": [_session_json(session, sort) for session in trace.sessions],
    }


def call_json(trace: Trace, call: Call) -> Json:
    """One call, with the actions and signals that name it."""
    session = next(found for found in trace.sessions if found.id == call.session)
    return _call_json(call) | {"events": [_event_json(event) for event in call_events(session, call)]}


def call_events(session: Session, call: Call) -> list[Record]:
    """The events of ``session`` that name ``call``."""
    return [event for event in session.events if to_json(event.body).get("call") == call.id]


def _session_json(session: Session, sort: str) -> Json:
    return {
        "session": session.id,
        "cut": session.cut,
        "start_ns": session.start_ns,
        "start_wall": session.start_wall,
        "end_ns": session.end_ns,
        "start": to_json(session.start) if session.start else None,
        "end": to_json(session.end) if session.end else None,
        "summary": summarize(session).to_json(),
        "calls": [_call_json(call) for call in sorted_calls(session.calls, sort)],
        "events": [_event_json(event) for event in session.events],
    }


def _call_json(call: Call) -> Json:
    background = call.background
    derived: Json = {
        "call": call.id,
        "session": call.session,
        "command": call.command if call.start else None,
        "outcome": call.outcome.value,
        "duration_s": call.duration_s,
        "background": None,
    }
    if background is not None:
        derived["background"] = {
            "ended_ns": call.background_end_ns,
            "reason": background.reason,
            "usage": usage_json(background.usage),
        }
    start = to_json(call.start) if call.start else {}
    end = to_json(call.end) if call.end else {}
    return start | end | derived


def _event_json(record: Record) -> Json:
    return {"kind": record.kind, "mono_ns": record.mono_ns, "wall": record.wall} | to_json(record.body)
