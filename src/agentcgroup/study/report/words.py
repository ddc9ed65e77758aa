"""Numbers as people read them: in units that fit their size, with the interval in the same unit."""

from __future__ import annotations

import math

from agentcgroup.study.number import Number

# unit -> (factor, name), the first whose factor the value reaches; memory is decimal, as the published values are
_SCALES: dict[str, tuple[tuple[float, str], ...]] = {
    "s": ((7200.0, "h"), (120.0, "min"), (0.0, "s")),
    "B": ((1e9, "GB"), (0.0, "MB")),
    "B/s": ((1e9, "GB/s"), (0.0, "MB/s")),
    "share": ((0.0, "%"),),
}
_FACTORS = {"h": 3600.0, "min": 60.0, "GB": 1e9, "MB": 1e6, "GB/s": 1e9, "MB/s": 1e6, "%": 0.01}


def amount(value: float | None, unit: str) -> str:
    """A value with its unit; “-” where there is none."""
    if value is None or not math.isfinite(value):
        return "-"
    name = _scale(value, unit)
    return f"{_digits(value / _FACTORS.get(name, 1.0), name)} {name}".rstrip()


def with_interval(number: Number) -> str:
    """A value, and in parentheses its 95 % interval where it has one."""
    text, between = amount(number.value, number.unit), interval(number)
    return f"{text} ({between})" if between else text


def interval(number: Number) -> str:
    """The 95 % interval in the unit of the value, which is not repeated; empty where there is none."""
    if number.value is None or number.low is None or number.high is None:
        return ""
    name = _scale(number.value, number.unit)
    low, high = (_digits(edge / _FACTORS.get(name, 1.0), name) for edge in (number.low, number.high))
    return f"{low} to {high}"


def basis(number: Number) -> str:
    """What a number rests on: ``111 sessions``, ``3343 calls in 111``."""
    many = counted(number.n, number.of)
    alone = number.of == "sessions" or number.n == number.sessions
    return many if alone else f"{many} in {counted(number.sessions, 'sessions')}"


def counted(n: int, things: str) -> str:
    """``1 session``, ``2 sessions``."""
    return f"{n} {things.removesuffix('s') if n == 1 else things}"


def _scale(value: float, unit: str) -> str:
    return next((name for least, name in _SCALES.get(unit, ()) if abs(value) >= least), unit)


def _digits(value: float, name: str) -> str:
    if name == "" and value == int(value):
        return str(int(value))
    size = abs(value)
    places = 0 if size >= 100 or (name == "%" and size >= 10) or name == "MB" else 1 if size >= 10 or name == "%" else 2
    return f"{value:.{places}f}"
