"""States, signals and actions as JSON and back. Calls have bare names here: the session is that of the connection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields as fields_of
from typing import Any

from agentcgroup.daemon import fields
from agentcgroup.daemon.fields import Object
from agentcgroup.errors import WireError
from agentcgroup.policy.world import (
    Action,
    Admit,
    Asked,
    Began,
    CallId,
    CallState,
    Ended,
    Freeze,
    Kill,
    Limit,
    Moved,
    Protect,
    Reclaim,
    Refuse,
    Request,
    SessionState,
    Short,
    Signal,
    Stalled,
    Thaw,
    Tripwire,
    Woken,
)

_REASON_CHARACTERS = 1000


def session_json(state: SessionState) -> dict[str, Any]:
    """A session, without its name."""
    return {
        "priority": state.priority.name.lower(),
        "memory_bytes": state.memory_bytes,
        "budget_bytes": state.budget_bytes,
        "calls_bytes": state.calls_bytes,
        "agent_bytes": state.agent_bytes,
        "calls": [_call_json(call) for call in state.calls],
    }


def read_session(found: Object, name: str) -> SessionState:
    """A session, called ``name``."""
    return SessionState(
        name=name,
        priority=fields.priority(found),
        memory_bytes=fields.integer(found, "memory_bytes"),
        budget_bytes=fields.optional_integer(found, "budget_bytes"),
        calls_bytes=fields.optional_integer(found, "calls_bytes"),
        agent_bytes=fields.integer(found, "agent_bytes"),
        calls=tuple([_read_call(call, name) for call in fields.objects(found, "calls")]),
    )


def _call_json(call: CallState) -> dict[str, Any]:
    made = {
        "call": call.id.call,
        "priority": call.priority.name.lower(),
        "started_s": call.started_s,
        "memory_bytes": call.memory_bytes,
    }
    for name in ("expected_bytes", "high_bytes", "max_bytes"):
        value = getattr(call, name)
        if value is not None:
            made[name] = value
    if call.reclaimable_bytes:
        made["reclaimable_bytes"] = call.reclaimable_bytes
    if call.frozen:
        made["frozen"] = True
    if call.background:
        made["background"] = True
    if call.ends_s is not None:
        made["ends_s"] = call.ends_s
    if call.stood_s:
        made["stood_s"] = call.stood_s
    return made


def _read_call(found: Object, session: str) -> CallState:
    return CallState(
        id=CallId(session, fields.identifier(found, "call")),
        priority=fields.priority(found),
        started_s=fields.seconds(found, "started_s"),
        memory_bytes=fields.integer(found, "memory_bytes"),
        expected_bytes=fields.optional_integer(found, "expected_bytes"),
        high_bytes=fields.optional_integer(found, "high_bytes"),
        max_bytes=fields.optional_integer(found, "max_bytes"),
        frozen=fields.boolean(found, "frozen"),
        reclaimable_bytes=fields.optional_integer(found, "reclaimable_bytes") or 0,
        background=fields.boolean(found, "background"),
        ends_s=None if found.get("ends_s") is None else fields.seconds(found, "ends_s"),
        stood_s=0.0 if found.get("stood_s") is None else fields.seconds(found, "stood_s"),
    )


def request_json(request: Request) -> dict[str, Any]:
    """A request."""
    return {
        "call": request.id.call,
        "priority": request.priority.name.lower(),
        "asked_s": request.asked_s,
        "expected_bytes": request.expected_bytes,
    }


def read_request(found: Object, session: str) -> Request:
    """A request of ``session``."""
    return Request(
        id=CallId(session, fields.identifier(found, "call")),
        priority=fields.priority(found),
        asked_s=fields.seconds(found, "asked_s"),
        expected_bytes=fields.optional_integer(found, "expected_bytes"),
    )


def signal_json(signal: Signal) -> dict[str, Any]:
    """A signal. ValueError for one that concerns more than one session."""
    match signal:
        case Began(id, high_bytes=high, source=source) if high is not None:
            return {"signal": "began", "call": id.call, "high_bytes": high, "source": source}
        case Asked(id) | Began(id) | Ended(id):
            return {"signal": type(signal).__name__.lower(), "call": id.call}
        case Moved():
            counts = {name: getattr(signal, name) for name in _COUNTS if getattr(signal, name)}
            return {"signal": "moved", "call": signal.id.call if signal.id else None, **counts}
        case Stalled(session=None):
            raise ValueError("a session cannot speak for the host")
        case Stalled():
            return {
                "signal": "stalled",
                "stall_us": signal.stall_us,
                "window_us": signal.window_us,
                "full": signal.full,
            }
        case Short(scope=None):
            raise ValueError("a session cannot speak for the host")
        case Short(id=id):
            return {"signal": "short", "call": id.call if id else None}
        case Woken():
            return {"signal": "woken"}


_COUNTS = ("high", "max", "oom", "oom_kill")


def read_signal(found: Object, session: str) -> Signal:
    """A signal of ``session``."""
    reader = _SIGNALS.get(fields.text(found, "signal"))
    if reader is None:
        raise WireError("an unknown signal")
    return reader(found, session)


def _call(found: Object, session: str) -> CallId:
    return CallId(session, fields.identifier(found, "call"))


def _read_began(found: Object, session: str) -> Began:
    high = fields.optional_integer(found, "high_bytes")
    return Began(_call(found, session), high, "" if high is None else fields.text(found, "source"))


def _read_moved(found: Object, session: str) -> Moved:
    counts = {name: fields.optional_integer(found, name) or 0 for name in _COUNTS}
    return Moved(session, None if found.get("call") is None else _call(found, session), **counts)


def _read_stalled(found: Object, session: str) -> Stalled:
    stall_us, window_us = fields.integer(found, "stall_us"), fields.integer(found, "window_us")
    return Stalled(session, stall_us, window_us, fields.boolean(found, "full"))


_SIGNALS: dict[str, Callable[[Object, str], Signal]] = {
    "asked": lambda found, session: Asked(_call(found, session)),
    "began": _read_began,
    "ended": lambda found, session: Ended(_call(found, session)),
    "moved": _read_moved,
    "stalled": _read_stalled,
    "short": lambda found, session: Short(
        session, None if found.get("call") is None else _call(found, session), session
    ),
    "woken": lambda found, session: Woken(),
}


def action_json(action: Action) -> dict[str, Any]:
    """An action, without the session that it goes to."""
    made: dict[str, Any] = {"action": type(action).__name__.lower()}
    for field in fields_of(action):
        value = getattr(action, field.name)
        if isinstance(value, CallId):
            made["call"] = value.call
        elif field.name != "session":
            made[field.name] = value[:_REASON_CHARACTERS] if isinstance(value, str) else value
    return made


def read_action(found: Object, session: str) -> Action:
    """An action on ``session`` or on a call of it."""
    kind, reason = fields.text(found, "action"), fields.text(found, "reason")
    if kind == "protect":
        return Protect(session, fields.integer(found, "low_bytes"), fields.integer(found, "min_bytes"), reason)
    if kind == "tripwire":
        return Tripwire(session, fields.optional_integer(found, "high_bytes"), reason)
    call = _call(found, session)
    match kind:
        case "limit":
            high, most = (fields.optional_integer(found, name) for name in ("high_bytes", "max_bytes"))
            return Limit(call, high, most, reason)
        case "reclaim":
            return Reclaim(call, fields.integer(found, "bytes"), reason)
        case "freeze":
            return Freeze(call, reason, fields.boolean(found, "soft"), fields.boolean(found, "slowed"))
        case "thaw":
            return Thaw(call, reason)
        case "kill":
            return Kill(call, fields.text(found, "rule"), reason)
        case "admit":
            return Admit(call, reason)
        case "refuse":
            return Refuse(call, reason)
        case _:
            raise WireError("an unknown action")
