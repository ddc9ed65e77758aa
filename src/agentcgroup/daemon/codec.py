"""Messages to lines and back. Whatever is not exactly a message is a WireError."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from agentcgroup.daemon import fields, states
from agentcgroup.daemon.fields import Object
from agentcgroup.daemon.messages import (
    LINE_MAX,
    ORDERS,
    QUESTIONS,
    Actions,
    Answer,
    FromDaemon,
    Hello,
    Killed,
    Look,
    Order,
    Pong,
    Question,
    Refused,
    Report,
    ToDaemon,
    Welcome,
    in_words,
)
from agentcgroup.errors import WireError
from agentcgroup.trace.kill_log import record_from_json, record_to_json

_dump = json.JSONEncoder(separators=(",", ":")).encode


def encode(message: ToDaemon | FromDaemon) -> bytes:
    """The line of a message, with its newline. WireError when it would be too long, which only big lists can be."""
    line = _dump(_json(message)).encode("ascii") + b"\n"
    if len(line) > LINE_MAX:
        raise WireError(f"a message of {len(line)} bytes, more than {LINE_MAX}")
    return line


def encode_report(report: Report) -> bytes:
    """The line of a report; of too many calls and requests for one line, the largest and the oldest are kept."""
    while True:
        try:
            return encode(report)
        except WireError:
            calls = sorted(report.state.calls, key=lambda call: call.memory_bytes, reverse=True)
            report = replace(
                report,
                state=replace(report.state, calls=tuple(calls[: len(calls) // 2])),
                requests=report.requests[: (len(report.requests) + 1) // 2],
                signals=report.signals[-1000:],
            )


def decode_to_daemon(line: bytes, session: str | None) -> ToDaemon:
    """A message of a session that has introduced itself as ``session``, or (None) of one that has not, or an operator.

    Only a hello or a question may come first; only reports and kill records after a hello.
    """
    found = fields.parse(line)
    kind = fields.text(found, "kind")
    if session is None:
        if kind == "hello":
            return _read_hello(found)
        if kind == "question":
            return _read_question(found)
    elif kind == "report":
        return _read_report(found, session)
    elif kind == "killed":
        return Killed(record_from_json({**_record_fields(found), "session": session}))
    raise WireError("a message of an unknown kind, or at the wrong time")


def decode_from_daemon(line: bytes, session: str) -> FromDaemon:
    """A message of the daemon to ``session`` (empty for an operator)."""
    found = fields.parse(line)
    reader = _FROM_DAEMON.get(fields.text(found, "kind"))
    if reader is None:
        raise WireError("a message of an unknown kind")
    return reader(found, session)


def _json(message: ToDaemon | FromDaemon) -> Mapping[str, Any]:
    match message:
        case Report():
            made: dict[str, Any] = {
                "kind": "report",
                "seen": message.seen,
                "state": states.session_json(message.state),
                "requests": [states.request_json(request) for request in message.requests],
                "signals": [states.signal_json(signal) for signal in message.signals],
            }
            return made if message.ping is None else {**made, "ping": message.ping}
        case Hello():
            plain = {
                name: getattr(message, name)
                for name in ("name", "now_s", "argv", "agent", "trace", "budget_bytes", "support", "cgroup")
            }
            return {"kind": "hello", "v": message.version, **plain, "priority": in_words(message.priority)}
        case Killed():
            return {"kind": "killed", "record": record_to_json(message.record)}
        case Question():
            asked = {"what": message.what, "session": message.session, "value": message.value}
            return {"kind": "question", "v": message.version, **asked}
        case Welcome():
            told = {"name": message.name, "policy": message.policy, "report_s": message.report_s, "pid": message.pid}
            return {"kind": "welcome", "v": message.version, **told, "scheduler": message.scheduler}
        case Refused():
            return {"kind": "refused", "message": message.message, "fix": message.fix}
        case Actions():
            return {
                "kind": "actions",
                "seq": message.seq,
                "actions": [states.action_json(action) for action in message.actions],
            }
        case Order():
            return {"kind": "order", "what": message.what, "value": message.value}
        case Look():
            return {"kind": "look"}
        case Pong():
            return {"kind": "pong", "ping": message.ping}
        case Answer():
            return {"kind": "answer", "body": message.body}


def _read_hello(found: Object) -> Hello:
    name = fields.identifier(found, "name")
    if "~" in name or len(name) > 64:  # the mark and the room of names that the daemon makes
        raise fields.bad("name")
    return Hello(
        name=name,
        now_s=fields.seconds(found, "now_s"),
        priority=fields.priority(found),
        argv=fields.texts(found, "argv"),
        agent=fields.text(found, "agent"),
        trace=fields.text(found, "trace"),
        budget_bytes=fields.optional_integer(found, "budget_bytes"),
        support=fields.text(found, "support", 20) or "full",
        cgroup=fields.text(found, "cgroup"),
        version=fields.integer(found, "v"),
    )


def _read_question(found: Object) -> Question:
    what = fields.text(found, "what")
    if what not in QUESTIONS:
        raise WireError("an unknown question")
    session = None if found.get("session") is None else fields.text(found, "session")
    return Question(what, session, fields.text(found, "value"), fields.integer(found, "v"))


def _read_report(found: Object, session: str) -> Report:
    state = found.get("state")
    if not isinstance(state, dict):
        raise fields.bad("state")
    return Report(
        seen=fields.integer(found, "seen"),
        state=states.read_session(state, session),
        requests=tuple([states.read_request(request, session) for request in fields.objects(found, "requests")]),
        signals=tuple([states.read_signal(signal, session) for signal in fields.objects(found, "signals")]),
        ping=fields.optional_integer(found, "ping"),
    )


def _record_fields(found: Object) -> dict[str, Any]:
    record = found.get("record")
    if not isinstance(record, dict):
        raise fields.bad("record")
    return record


def _read_order(found: Object, session: str) -> Order:
    what = fields.text(found, "what")
    if what not in ORDERS:
        raise WireError("an unknown order")
    if what == "set-priority":
        fields.priority(found, "value")
    return Order(what, fields.text(found, "value"))


def _read_answer(found: Object, session: str) -> Answer:
    body = found.get("body")
    if not isinstance(body, dict):
        raise fields.bad("body")
    return Answer(body)


def _read_welcome(found: Object, session: str) -> Welcome:
    return Welcome(
        name=fields.identifier(found, "name"),
        policy=fields.text(found, "policy"),
        report_s=fields.seconds(found, "report_s"),
        pid=fields.integer(found, "pid"),
        scheduler=fields.text(found, "scheduler", 20),
        version=fields.integer(found, "v"),
    )


def _read_actions(found: Object, session: str) -> Actions:
    actions = [states.read_action(action, session) for action in fields.objects(found, "actions")]
    return Actions(fields.integer(found, "seq"), tuple(actions))


_FROM_DAEMON: dict[str, Callable[[Object, str], FromDaemon]] = {
    "welcome": _read_welcome,
    "refused": lambda found, session: Refused(fields.text(found, "message"), fields.text(found, "fix")),
    "actions": _read_actions,
    "order": _read_order,
    "look": lambda found, session: Look(),
    "pong": lambda found, session: Pong(fields.integer(found, "ping")),
    "answer": _read_answer,
}
