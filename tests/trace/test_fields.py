from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.model import CallEnd
from agentcgroup.trace.fields import FieldError, Fields
from agentcgroup.trace.records import Record, decode, encode
from tests.trace import build

NAMES = ("a", "b", "c")
VALUES = st.none() | st.booleans() | st.integers(-2, 5) | st.integers(2**63 - 2, 2**63 + 2) | st.floats() | st.text()


@given(st.dictionaries(st.sampled_from([*NAMES, "other"]), VALUES))
def test_several_counts_are_what_each_is_alone(data: dict[str, object]) -> None:
    together, alone = Fields(data, "x."), Fields(data, "x.")
    expected = said(lambda: {name: alone.integer_or_none(name) for name in NAMES})
    assert said(lambda: together.integers_or_none(NAMES)) == expected
    if isinstance(expected, dict):
        assert together.unknown() == alone.unknown() == tuple(f"x.{name}" for name in data if name == "other")


def said(read: Callable[[], object]) -> object:
    """What is read, or the text of the error."""
    try:
        return read()
    except FieldError as error:
        return str(error)


LINE = encode(Record(5, "2026-11-01T08:00:00+00:00", "s1", build.call_end(3, 5)).to_json())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"])
@pytest.mark.parametrize("space", ["", " \t"])
def test_a_line_reads_the_same_in_every_encoding_of_json(encoding: str, space: str) -> None:
    expected = decode(LINE.encode())
    assert decode(f"{space}{LINE}{space}".encode(encoding)) == expected
    umlaut = LINE.replace("its memory.max", "für memory.max")
    assert decode(umlaut.encode(encoding)) == replace_reason(expected, "für memory.max was reached")


def replace_reason(record: Record, reason: str) -> Record:
    """The same call, ended for another reason."""
    assert isinstance(record.body, CallEnd)
    return replace(record, body=replace(record.body, reason=reason))


@pytest.mark.parametrize(
    "line", [b'{"v": NaN}', b'{"v": -Infinity}', b'{\0"v": 1}', b"{}{}", b'{"v": 1} x', b'{"v": "\xff"}']
)
def test_what_json_refuses_is_refused(line: bytes) -> None:
    with pytest.raises(FieldError):
        decode(line)
