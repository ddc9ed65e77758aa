"""Typed access to decoded JSON of others: a value of the wrong type counts as not there."""

from __future__ import annotations

import math
from collections.abc import Mapping

from agentcgroup.trace.text import utf8

Json = Mapping[str, object]


def mapping(value: object) -> Json:
    """``value`` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[object]:
    """``value`` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def text(data: Json, *names: str) -> str | None:
    """The first of these fields that is a text and not empty; lone surrogates, which no frame can hold, escaped."""
    found = next((value for name in names if isinstance(value := data.get(name), str) and value), None)
    return None if found is None else utf8(found)


def number(data: Json, name: str) -> float | None:
    """A finite number."""
    value = data.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def integer(data: Json, name: str, bits: int = 63) -> int | None:
    """A whole number that fits in so many bits and a sign."""
    value = data.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << bits else None


def flag(data: Json, name: str) -> bool | None:
    """A truth value."""
    value = data.get(name)
    return value if isinstance(value, bool) else None
