"""Reads the fields of a JSON object that a stranger sent: the right type in the right range, or a WireError."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn, TypeAlias

from agentcgroup.errors import WireError
from agentcgroup.model import Priority

Object: TypeAlias = Mapping[str, Any]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_~-]{0,79}", re.ASCII)  # of a session or a call
TEXT_MAX = 4000
SIZE_MAX = 1 << 62
_SECONDS_MAX = 1e12
_PRIORITIES = {priority.name.lower(): priority for priority in Priority}


def parse(line: bytes) -> Object:
    """The JSON object in a line."""
    try:
        found = json.loads(line.decode("ascii"), parse_constant=_no_number)
    except (ValueError, RecursionError):  # a UnicodeDecodeError is a ValueError
        raise WireError("not JSON in ASCII") from None
    if not isinstance(found, dict):
        raise WireError("not a JSON object")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)


def bad(name: str) -> WireError:
    """The error for a field that is missing or is not what it has to be."""
    return WireError(f"field {name!r} is missing or wrong")


def integer(fields: Object, name: str, most: int = SIZE_MAX) -> int:
    """A whole number from 0 to ``most``."""
    value = fields.get(name)
    if type(value) is int and 0 <= value <= most:  # bool is a subclass of int
        return value
    raise bad(name)


def optional_integer(fields: Object, name: str) -> int | None:
    """The same, or None for null and for a field that is not there."""
    return None if fields.get(name) is None else integer(fields, name)


def seconds(fields: Object, name: str) -> float:
    """A finite number of seconds, not negative."""
    value = fields.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _SECONDS_MAX:  # NaN: false
        return float(value)
    raise bad(name)


def boolean(fields: Object, name: str) -> bool:
    """True or false; false when it is not there."""
    value = fields.get(name, False)
    if value is True or value is False:
        return value
    raise bad(name)


def text(fields: Object, name: str, most: int = TEXT_MAX) -> str:
    """A text of at most ``most`` characters; empty when it is not there."""
    value = fields.get(name, "")
    if isinstance(value, str) and len(value) <= most:
        return value
    raise bad(name)


def identifier(fields: Object, name: str) -> str:
    """The name of a session or of a call."""
    value = fields.get(name)
    if isinstance(value, str) and NAME.fullmatch(value):
        return value
    raise bad(name)


def priority(fields: Object, name: str = "priority") -> Priority:
    """A priority in words."""
    value = fields.get(name)
    if isinstance(value, str) and value in _PRIORITIES:
        return _PRIORITIES[value]
    raise bad(name)


def objects(fields: Object, name: str) -> list[Object]:
    """A list of objects; empty when it is not there."""
    value = fields.get(name, [])
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return value
    raise bad(name)


def texts(fields: Object, name: str) -> tuple[str, ...]:
    """A list of texts, together at most ``TEXT_MAX`` characters; empty when it is not there."""
    value = fields.get(name, [])
    if isinstance(value, list) and all(isinstance(item, str) for item in value) and sum(map(len, value)) <= TEXT_MAX:
        return tuple(value)
    raise bad(name)
