"""Answers operators. They see and steer their own sessions, root those of all; others do not exist for them."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from agentcgroup import __version__
from agentcgroup.daemon.arbiter import Arbiter
from agentcgroup.daemon.messages import ARGV_CHARACTERS, ORDERS, PROTOCOL, Answer, Question, Refused, in_words
from agentcgroup.daemon.seat import Seat
from agentcgroup.enforce.choice import LAST
from agentcgroup.model import Priority
from agentcgroup.policy.world import CallState

_PRIORITIES = [in_words(priority) for priority in Priority]
_REASON_CHARACTERS = 500
_ARGV_IN_LISTS = 200


class Desk:
    """``about``: what the service says of itself; ``reload`` reads the configuration again and says what is wrong."""

    def __init__(self, arbiter: Arbiter, about: Callable[[], Mapping[str, object]], reload: Callable[[], str]) -> None:
        self._arbiter = arbiter
        self._about = about
        self._reload = reload
        self._uid = os.geteuid()

    def answer(self, question: Question, uid: int) -> Answer | Refused:
        """The answer to ``question`` of ``uid``."""
        if question.version != PROTOCOL:
            return Refused(
                f"the question is in version {question.version} of the protocol, the daemon speaks {PROTOCOL}",
                "use the agentcgroup of the daemon",
            )
        match question.what:
            case "status":
                return Answer(self._status(uid))
            case "list":
                return Answer({"sessions": [_brief(seat, _ARGV_IN_LISTS) for seat in self._visible(uid)]})
            case "reload":
                return self._read_again(uid)
        seat = self._find(question.session, uid)
        if isinstance(seat, Refused):
            return seat
        if question.what in ORDERS:
            return self._order(seat, question)
        calls = [_call(call) for call in seat.state.calls]
        return Answer({"session": {**_brief(seat), "enforcer": self._enforcer_of(seat), "calls": calls}})

    def _enforcer_of(self, seat: Seat) -> object:
        """Where the daemon does not know its cgroup, it cannot look into it."""
        return self._about()["enforcer"] if seat.cgroup is not None else LAST

    def _visible(self, uid: int) -> list[Seat]:
        return [seat for seat in self._arbiter.seats.values() if uid in (0, seat.uid)]

    def _find(self, name: str | None, uid: int) -> Seat | Refused:
        """By the name that the user gave it, or by the one that is unique."""
        visible = self._visible(uid)
        found = [seat for seat in visible if seat.name == name] or [
            seat for seat in visible if seat.uid == uid and seat.hello.name == name
        ]
        if found:
            return found[0]
        return Refused(f"no session named {name!r} has joined the daemon", "`agentcgroup session list` names them")

    def _order(self, seat: Seat, question: Question) -> Answer | Refused:
        value = question.value[:_REASON_CHARACTERS]
        if question.what == "set-priority" and value not in _PRIORITIES:
            return Refused(f"{value!r} is not a priority", f"give one of {', '.join(_PRIORITIES)}")
        if question.what in ("freeze", "thaw") and seat.hello.support == "process":
            return Refused(
                f"the calls of {seat.name} cannot be frozen: there were no cgroups where it began",
                "`agentcgroup session end` ends it; `agentcgroup doctor` there says how to get cgroups",
            )
        self._arbiter.order(seat, question.what, value)
        return Answer({"session": seat.name, "done": question.what})

    def _read_again(self, uid: int) -> Answer | Refused:
        if uid not in (0, self._uid):
            return Refused("only root and the daemon's own user may have the configuration read again", "use sudo")
        problem = self._reload()
        return Refused(problem) if problem else Answer({"done": "reload"})

    def _status(self, uid: int) -> dict[str, Any]:
        seats = self._visible(uid)
        memory, states = self._arbiter.memory(), [seat.state for seat in seats]
        return {
            "v": PROTOCOL,
            "agentcgroup_version": __version__,
            **self._about(),
            "host": {"memory_bytes": memory.total_bytes, "available_bytes": memory.available_bytes},
            "sessions": len(seats),
            "calls": sum(len(state.calls) for state in states),
            "frozen": sum(call.frozen for state in states for call in state.calls),
            "waiting": sum(len(seat.requests) for seat in seats),
            "memory_bytes": sum(state.memory_bytes for state in states),
            "kills": sum(seat.kills for seat in seats),
            "counts": asdict(self._arbiter.counts) if uid in (0, self._uid) else None,
        }


def _brief(seat: Seat, argv_characters: int = ARGV_CHARACTERS) -> dict[str, Any]:
    state = seat.state
    command = shlex.join(seat.hello.argv)
    return {
        "name": seat.name,
        "uid": seat.uid,
        "pid": seat.pid,
        "command": command if len(command) <= argv_characters else command[:argv_characters] + "…",
        "agent": seat.hello.agent,
        "trace": seat.hello.trace,
        "support": seat.hello.support,
        "priority": in_words(state.priority),
        "memory_bytes": state.memory_bytes,
        "budget_bytes": state.budget_bytes,
        "agent_bytes": state.agent_bytes,
        "running": len(state.calls),
        "waiting": len(seat.requests),
        "frozen": sum(call.frozen for call in state.calls),
        "held": seat.held,
        "kills": seat.kills,
        "joined_s": round(time.monotonic() - seat.joined_s, 3),
        "heard_s": round(time.monotonic() - seat.heard_s, 3),
    }


def _call(call: CallState) -> dict[str, Any]:
    return {
        "call": call.id.call,
        "priority": in_words(call.priority),
        "running_s": round(max(0.0, time.monotonic() - call.started_s), 3),
        "memory_bytes": call.memory_bytes,
        "expected_bytes": call.expected_bytes,
        "high_bytes": call.high_bytes,
        "max_bytes": call.max_bytes,
        "frozen": call.frozen,
        "background": call.background,
    }
