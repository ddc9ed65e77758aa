"""What the model says: a list of turns, each with a text, tool calls, or both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


class Malformed(Exception):
    """A request that a real service would refuse, or that contradicts what this server said."""


@dataclass(frozen=True)
class ToolCall:
    """One call of a tool that the client offers."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Turn:
    """One answer of the model."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True)
class Asked:
    """What a request asks for, in no protocol's terms."""

    tools: frozenset[str]
    turns: int  # of the model, in the history
    results: Mapping[str, str] = field(default_factory=dict)  # call id -> what the tool gave back
    stream: bool = False
    model: str = ""


SIDE_ANSWER = Turn(text="A short task")
"""The answer to a request that offers no tools: agents ask for titles and summaries beside the conversation."""


def choose(script: Sequence[Turn], asked: Asked) -> Turn:
    """The turn that answers ``asked``."""
    if not asked.tools:
        return SIDE_ANSWER
    if asked.turns >= len(script):
        raise Malformed(f"the script has {len(script)} turns, the client asks for turn {asked.turns + 1}")
    turn = script[asked.turns]
    for call in turn.calls:
        if call.name not in asked.tools:
            raise Malformed(f"the client offers no tool {call.name!r}, only {sorted(asked.tools)}")
    return turn


def call_id(turn: int, index: int) -> str:
    """The id of a call: says which turn of the script it belongs to."""
    return f"call_{turn:04d}_{index:04d}"


def turn_of(identifier: str) -> int:
    """The turn that `call_id` was made for; Malformed for an id this server did not make."""
    parts = identifier.split("_")
    if len(parts) != 3 or parts[0] != "call" or not parts[1].isdigit() or not parts[2].isdigit():
        raise Malformed(f"this server made no call with the id {identifier!r}")
    return int(parts[1])


def check_results(script: Sequence[Turn], turns: int, results: Mapping[str, str]) -> None:
    """Every call of every past turn has its result, and there is no result without a call."""
    wanted = {call_id(turn, index) for turn in range(turns) for index in range(len(script[turn].calls))}
    if wanted != set(results):
        raise Malformed(f"calls {sorted(wanted)} were made, results came for {sorted(results)}")


def need(value: Any, kind: type, what: str) -> Any:
    """``value`` when it is a ``kind``; Malformed otherwise."""
    if not isinstance(value, kind):
        raise Malformed(f"{what} is {type(value).__name__}, not {kind.__name__}")
    return value
