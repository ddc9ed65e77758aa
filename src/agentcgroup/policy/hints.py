"""What an agent declares about a call before it runs: the one grammar and the one parser. Pure.

    hint   = part *("," part)            memory:2g,cpu:2,time:10m,priority:high
    part   = "memory:" (size | "low" | "medium" | "high")
           / "cpu:" (number | "low" | "high")
           / "time:" duration
           / "priority:" ("low" | "normal" | "high")

A hint is read as data. Nothing of it is expanded, evaluated or run, and a part that cannot be read is left out and
answered with a sentence for the agent; it never fails a call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias, TypeVar

from agentcgroup.commands import unfold
from agentcgroup.errors import UsageError
from agentcgroup.model import Priority
from agentcgroup.units import parse_duration, parse_size

VARIABLE = "AGENT_RESOURCE_HINT"
"""The environment variable, and the assignment in a command, that carry a hint."""
MAX_HINT = 4096
"""Characters of a hint; a longer one is not read at all."""

_COMMENT = re.compile(r"\s*resource:(.*)", re.IGNORECASE)
_MAX_PARTS = 16
_MAX_PROBLEMS = 4
_MAX_VALUE = 32  # characters of a value: no size or duration of a person is longer
_MIN_MEMORY = 1 << 20  # `memory:2` is two bytes, and meant as something else
_MAX_CPU = 4096.0
_MAX_TIME_S = 30 * 86400.0
_SIZE_UNITS = (("t", 1 << 40), ("g", 1 << 30), ("m", 1 << 20), ("k", 1 << 10))


class Level(StrEnum):
    """How much, for who has no number: of what commands of the kind need (see ``expect.TYPICAL``)."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Hint:
    """A hint that was read. ``None``: nothing said. ``problems``: sentences for the agent, one per part left out."""

    memory: int | Level | None = None  # bytes
    cpu: float | Level | None = None  # cores, in steps of a thousandth; LOW or HIGH
    time_s: float | None = None  # in steps of a millisecond
    priority: Priority | None = None
    problems: tuple[str, ...] = ()


EMPTY = Hint()
"""Nothing was declared."""

_T = TypeVar("_T", int, float)
_Value: TypeAlias = int | float | Level | Priority


def parse(text: str) -> Hint:
    """Read a hint; never raises. An empty text is no hint and no problem."""
    if len(text) > MAX_HINT:
        problem = f"A resource hint of {len(text)} characters was ignored: write one like memory:2g,time:10m."
        return Hint(problems=(problem,))
    parts = [part.strip() for part in text.split(",")]
    parts = [part for part in parts if part]
    found: dict[str, _Value] = {}
    problems: list[str] = []
    for part in parts[:_MAX_PARTS]:
        key, colon, value = (piece.strip() for piece in part.partition(":"))
        key = key.lower()
        reader = _READERS.get(key) if colon else None
        if reader is None:
            problems.append(_unknown(part))
            continue
        try:
            read = reader(value.lower())
        except UsageError as error:
            problems.append(f"The hint {_shown(part)} was ignored: {error.fix}.")
            continue
        if key in found:
            problems.append(f"The hint gives {key} twice: the last one counts.")
        found[key] = read
    if len(parts) > _MAX_PARTS:
        problems.append(f"Only the first {_MAX_PARTS} parts of the hint were read.")
    return _hint(found, problems)


def merge(*hints: Hint) -> Hint:
    """One hint of several: for each field the last that says something counts, problems come together once each."""
    memory = cpu = time_s = priority = None
    problems: dict[str, None] = {}
    for hint in hints:
        memory = memory if hint.memory is None else hint.memory
        cpu = cpu if hint.cpu is None else hint.cpu
        time_s = time_s if hint.time_s is None else hint.time_s
        priority = priority if hint.priority is None else hint.priority
        problems |= dict.fromkeys(hint.problems)
    return Hint(memory, cpu, time_s, priority, tuple(problems)[:_MAX_PROBLEMS])


def of_call(argv: Sequence[str], environment_text: str = "") -> Hint:
    """The hint of a call, of its shell's ``argv`` and of VARIABLE in its environment. The command's own counts more.

    The environment of the agent, where it differs from that of the call, is for the caller to ``merge`` in front.
    """
    return merge(parse(environment_text), of_command(argv))


def of_command(argv: Sequence[str]) -> Hint:
    """The hint that a command carries itself; what its environment says was meant for others as well.

    A comment `# resource: memory:2g` on a line of its own, and an assignment to VARIABLE before a program, after
    `export`, or alone, wherever a simple command begins, also within the wrapping of an agent.
    Assignments count more than comments, and the last one of several most. Never raises.
    """
    hints = []
    found = unfold(argv)
    for comment in found.comments:
        match = _COMMENT.fullmatch(comment)
        if match is not None:
            hints.append(parse(match[1]))
    for simple in found.commands:
        for word in simple.assignments:
            name, _, value = word.text.partition("=")
            if name.removesuffix("+") != VARIABLE:  # `+=`: fields that are given again count, the others stay
                continue
            if word.expands:
                problem = f"The hint {_shown(value)} was ignored: it is read, not run, so write the value itself."
                hints.append(Hint(problems=(problem,)))
            else:
                hints.append(parse(value))
    return merge(*hints)


def render(hint: Hint) -> str:
    """The hint as text, in the order of the grammar; ``parse`` gives it back, but for problems."""
    parts = []
    if hint.memory is not None:
        parts.append(f"memory:{hint.memory if isinstance(hint.memory, Level) else size_text(hint.memory)}")
    if hint.cpu is not None:
        parts.append(f"cpu:{hint.cpu if isinstance(hint.cpu, Level) else _decimal(hint.cpu)}")
    if hint.time_s is not None:
        parts.append(f"time:{_decimal(hint.time_s)}s")
    if hint.priority is not None:
        parts.append(f"priority:{hint.priority.name.lower()}")
    return ",".join(parts)


def size_text(size: int) -> str:
    """A size as a hint gives it, exactly: ``2g``, ``1536m``, ``1000000``."""
    for letter, unit in _SIZE_UNITS:
        if size % unit == 0:
            return f"{size // unit}{letter}"
    return str(size)


def _hint(found: dict[str, _Value], problems: list[str]) -> Hint:
    memory, cpu, time_s = found.get("memory"), found.get("cpu"), found.get("time")
    priority = found.get("priority")
    return Hint(
        memory=memory if isinstance(memory, (int, Level)) else None,
        cpu=cpu if isinstance(cpu, (float, Level)) else None,
        time_s=time_s if isinstance(time_s, float) else None,
        priority=priority if isinstance(priority, Priority) else None,
        problems=tuple(dict.fromkeys(problems))[:_MAX_PROBLEMS],
    )


def _unknown(part: str) -> str:
    key = re.split(r"[=:\s]", part, maxsplit=1)[0].strip().lower()
    if key in _READERS:
        return f"The hint {_shown(part)} was ignored: write a colon, such as {_EXAMPLES[key]}."
    return f"The hint {_shown(part)} was ignored: known are {', '.join(_EXAMPLES.values())}."


def _shown(part: str) -> str:
    """A part as the agent can recognise it: printable, short."""
    clean = "".join(char if char.isprintable() else "?" for char in part)
    return f"'{clean[:40]}…'" if len(clean) > 40 else f"'{clean}'"


def _memory(value: str) -> int | Level:
    fix = "write low, medium, high or a size with its unit, such as memory:2g (parts are separated by commas)"
    if value in tuple(Level):
        return Level(value)
    size = _bounded(parse_size, value, fix)
    if size < _MIN_MEMORY:
        raise UsageError("less than any command needs", fix)
    return size


def _cpu(value: str) -> float | Level:
    fix = "write low, high or a number of cores, such as cpu:2"
    if value in (Level.LOW, Level.HIGH):
        return Level(value)
    if len(value) > _MAX_VALUE or not re.fullmatch(r"\d+(\.\d+)?", value, re.ASCII):
        raise UsageError("no number", fix)
    return _within(float(value), _MAX_CPU, fix)


def _time(value: str) -> float:
    fix = "write a duration with its unit up to 30d, such as time:10m"
    return _within(_bounded(parse_duration, value, fix), _MAX_TIME_S, fix)


def _priority(value: str) -> Priority:
    for priority in Priority:
        if priority.name.lower() == value:
            return priority
    raise UsageError("no priority", "write priority:low, priority:normal or priority:high")


def _bounded(read: Callable[[str], _T], value: str, fix: str) -> _T:
    """``read(value)`` with our own words for what is wrong, and never of a text that is too long to be meant."""
    if len(value) > _MAX_VALUE:
        raise UsageError("too long", fix)
    try:
        return read(value)
    except UsageError as error:
        raise UsageError(error.message, fix) from error


def _within(number: float, limit: float, fix: str) -> float:
    rounded = round(number, 3)
    if not 0 < rounded <= limit:
        raise UsageError("out of range", fix)
    return rounded


def _decimal(number: float) -> str:
    text = f"{number:.3f}"
    return text.rstrip("0").rstrip(".")


_READERS: dict[str, Callable[[str], _Value]] = {
    "memory": _memory,
    "cpu": _cpu,
    "time": _time,
    "priority": _priority,
}
_EXAMPLES = {"memory": "memory:2g", "cpu": "cpu:2", "time": "time:10m", "priority": "priority:low"}
