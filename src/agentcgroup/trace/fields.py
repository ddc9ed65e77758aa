"""Checked access to the fields of a JSON object of a trace.

A field of the wrong type is a `FieldError` (the record is not sound); a field that nobody asked for is
counted as unknown (it comes from a newer version).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TypeVar

_INT64 = 1 << 63  # counts and instants are stored as 64-bit integers in the samples and exports
_E = TypeVar("_E", bound=StrEnum)


class FieldError(ValueError):
    """A field is missing or not of its type. The text names the field and what is wrong."""


class Fields:
    """One JSON object, read field by field. ``unknown()`` lists what was not read."""

    def __init__(self, data: Mapping[str, object], where: str = "") -> None:
        self._data = data
        self._where = where
        self._read: set[str] = set()
        self._nested: list[Fields] = []
        self.notes: list[str] = []  # values of an enumeration that this version does not know

    def value(self, name: str) -> object:
        """The field as it is; None when it is missing."""
        self._read.add(name)
        return self._data.get(name)

    def integer(self, name: str) -> int:
        """A required integer, 0 or more."""
        found = self.integer_or_none(name)
        if found is None:
            raise self._error(name, "is missing")
        return found

    def integer_or(self, name: str, default: int) -> int:
        """An integer, 0 or more; ``default`` when it is missing or null."""
        found = self.integer_or_none(name)
        return default if found is None else found

    def integer_or_none(self, name: str) -> int | None:
        """An integer, 0 or more; None when it is missing or null."""
        found = self.value(name)
        if found is None:
            return None
        if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < _INT64:
            raise self._error(name, "is not a count")
        return found

    def integers_or_none(self, names: Sequence[str]) -> dict[str, int | None]:
        """`integer_or_none` for each of ``names``, in a third of the time."""
        found: dict[str, int | None] = {}
        for name in names:
            value = self._data.get(name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _INT64):
                raise self._error(name, "is not a count")
            found[name] = value
        self._read.update(names)
        return found

    def number_or_none(self, name: str) -> float | None:
        """A finite number, 0 or more; None when it is missing or null."""
        found = self.value(name)
        if found is None:
            return None
        if not isinstance(found, int | float) or isinstance(found, bool) or not 0 <= found < _INT64:
            raise self._error(name, "is not a number")
        return found if math.isfinite(found) else None

    def text(self, name: str) -> str:
        """A required text."""
        found = self.value(name)
        if not isinstance(found, str):
            raise self._error(name, "is not a text")
        return found

    def text_or(self, name: str, default: str = "") -> str:
        """A text; ``default`` when it is missing or null."""
        return default if self.value(name) is None else self.text(name)

    def text_or_none(self, name: str) -> str | None:
        """A text; None when it is missing or null."""
        return None if self.value(name) is None else self.text(name)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; empty when it is missing or null."""
        found = self.value(name)
        if found is None:
            return ()
        if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
            raise self._error(name, "is not a list of texts")
        return tuple(found)

    def integers(self, name: str) -> tuple[int, ...]:
        """A list of integers; empty when it is missing or null."""
        found = self.value(name)
        if found is None:
            return ()
        if not isinstance(found, list) or not all(type(n) is int and 0 <= n < _INT64 for n in found):
            raise self._error(name, "is not a list of counts")
        return tuple(found)

    def boolean(self, name: str, default: bool) -> bool:
        """A truth value; ``default`` when it is missing or null."""
        found = self.value(name)
        if found is None:
            return default
        if not isinstance(found, bool):
            raise self._error(name, "is not true or false")
        return found

    def choice(self, name: str, kind: type[_E], fallback: _E) -> _E:
        """A value of an enumeration; ``fallback``, with a note, for one of a newer version."""
        found = self.text(name)
        try:
            return kind(found)
        except ValueError:
            self.notes.append(f"{self._where}{name}={found}")
            return fallback

    def child(self, name: str) -> Fields:
        """A nested object; an empty one when it is missing or null."""
        found = self.value(name)
        if found is None:
            found = {}
        if not isinstance(found, dict):
            raise self._error(name, "is not an object")
        nested = Fields(found, f"{self._where}{name}.")
        self._nested.append(nested)
        return nested

    def unknown(self) -> tuple[str, ...]:
        """Names of the fields that were not read, and values that are not known, here and below."""
        known = self._data.keys() <= self._read  # of nearly every record
        names = [] if known else [self._where + name for name in self._data if name not in self._read]
        for nested in self._nested:
            names.extend(nested.unknown())
        return (*names, *self.notes)

    def _error(self, name: str, what: str) -> FieldError:
        return FieldError(f"field {self._where}{name} {what}")
