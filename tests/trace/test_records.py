from __future__ import annotations

import dataclasses
import json
import types
import typing
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.model import CallEnd, CallStart, Outcome, UsageSource
from agentcgroup.trace.fields import FieldError
from agentcgroup.trace.records import (
    Action,
    BackgroundEnd,
    Body,
    NewerSchemaError,
    Record,
    SessionEnd,
    SessionStart,
    Shell,
    Signal,
    Uncaught,
    Unknown,
    decode,
    encode,
    from_json,
)
from tests.trace import build

ANY_TEXT = st.binary(max_size=30).map(lambda raw: raw.decode("utf-8", "surrogateescape"))


COUNT = st.integers(0, (1 << 63) - 1)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: ANY_TEXT,
    int: COUNT,
    bool: st.booleans(),
    float: st.floats(0, 1e12),
    object: st.none() | COUNT | ANY_TEXT | st.lists(ANY_TEXT, max_size=2),
    type(None): st.none(),
}


def instances(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of a type as the records use them: dataclasses with every field drawn."""
    if hint in PLAIN:
        return PLAIN[hint]
    if isinstance(hint, types.UnionType):
        return st.one_of([instances(option) for option in typing.get_args(hint)])
    if typing.get_origin(hint) is tuple:
        return st.lists(instances(typing.get_args(hint)[0]), max_size=4).map(tuple)
    if issubclass(hint, StrEnum):
        return st.sampled_from(hint)
    hints = typing.get_type_hints(hint)
    return st.builds(hint, **{field.name: instances(hints[field.name]) for field in dataclasses.fields(hint)})


KINDS = (SessionStart, CallStart, CallEnd, BackgroundEnd, Shell, Uncaught, Action, Signal, SessionEnd)


@pytest.mark.parametrize("kind", KINDS)
@given(st.data())
def test_every_record_comes_back_as_it_was(kind: type[Body], data: st.DataObject) -> None:
    body, session = data.draw(instances(kind)), data.draw(ANY_TEXT)
    record = Record(17, "2026-01-01T00:00:00.000001+00:00", session, body)
    line = encode(record.to_json()).encode("ascii")
    assert b"\n" not in line
    assert decode(line) == record


def fields_of(body: Body) -> dict[str, Any]:
    return dict(json.loads(encode(Record(1, "w", "s", body).to_json())))


def read(fields: dict[str, Any]) -> Record:
    return decode(json.dumps(fields).encode())


def test_unknown_kinds_and_fields_are_kept_and_named() -> None:
    later = read({"v": 1, "kind": "teleport", "mono_ns": 1, "wall": "w", "session": "s", "to": "there"})
    assert later.body == Unknown("teleport", {"to": "there"})
    assert later.unknown == ("kind teleport",)
    assert later.to_json()["to"] == "there"
    fields = fields_of(build.call_end(0, 5))
    fields["colour"] = "red"
    fields["usage"]["gpu_time_us"] = 3
    record = read(fields)
    assert record.body == build.call_end(0, 5)
    assert record.unknown == ("call_end.colour", "call_end.usage.gpu_time_us")


def test_an_outcome_of_a_newer_version_falls_back_to_the_status_and_says_so() -> None:
    fields = fields_of(build.call_end(1, 5)) | {"outcome": "evaporated", "reason": "heat"}
    fields["usage"]["source"] = "hypervisor"
    record = read(fields)
    assert isinstance(record.body, CallEnd)
    assert record.body.outcome is Outcome.FAILED
    assert record.body.reason == "evaporated (an outcome of a newer version): heat"
    assert record.body.usage.source is UsageSource.PROC
    assert "call_end.outcome=evaporated" in record.unknown
    assert "call_end.usage.source=hypervisor" in record.unknown


def test_missing_optional_fields_take_their_defaults() -> None:
    head = {"v": 1, "mono_ns": 1, "wall": "w", "session": "s"}
    start = read(head | {"kind": "call_start", "call": "c1", "requested_ns": 1, "started_ns": 2, "limits": None}).body
    assert start == CallStart("c1", (), 0, "", 1, 2)


@pytest.mark.parametrize(
    "change",
    [
        {"call": None},
        {"call": 3},
        {"ended_ns": "5"},
        {"ended_ns": -1},
        {"ended_ns": 1 << 63},
        {"ended_ns": 1.5},
        {"ended_ns": True},
        {"usage": []},
        {"usage": {"cpu_time_us": "3"}},
        {"leftovers": {"kept_pids": [1, "x"]}},
        {"outcome": None},
        {"mono_ns": None},
        {"v": "1"},
        {"session": None},
    ],
)
def test_a_known_field_of_the_wrong_type_is_not_sound(change: dict[str, Any]) -> None:
    with pytest.raises(FieldError, match=next(iter(change))):
        read(fields_of(build.call_end(0, 5)) | change)


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b"3", b"null", b'{"v": NaN}', b"\xff\xfe", b"[" * 100_000, b"\0" * 9]
)
def test_other_lines_are_not_sound(line: bytes) -> None:
    with pytest.raises(FieldError):
        decode(line)


def test_a_newer_schema_is_refused_with_its_number() -> None:
    with pytest.raises(NewerSchemaError, match="schema version 2"):
        read(fields_of(build.session_start()) | {"v": 2})


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_from_json_raises_nothing_else(value: object) -> None:
    refused = []
    for kind in ("call_start", "call_end", "session_start", "session_end", "background_end", "shell", "action"):
        for name in fields_of(build.call_end(0, 5)) | fields_of(build.session_start()):
            try:
                from_json(kind, {name: value})
            except FieldError as error:
                refused.append(str(error))
    assert all(reason.startswith("field ") for reason in refused)
    assert refused
