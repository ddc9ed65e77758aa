"""Messages survive the wire as they are; whatever else comes is a WireError."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.daemon import codec
from agentcgroup.daemon.lines import Lines
from agentcgroup.daemon.messages import LINE_MAX, FromDaemon, Hello, Report, ToDaemon
from agentcgroup.errors import WireError
from agentcgroup.model import Priority
from agentcgroup.policy.world import CallId, CallState, Request, SessionState, Short, Signal, Stalled
from tests.daemon import build


@given(build.first)
def test_first_messages(message: ToDaemon) -> None:
    assert codec.decode_to_daemon(codec.encode(message).rstrip(b"\n"), None) == message


@given(build.later)
def test_messages_of_a_session(message: ToDaemon) -> None:
    assert codec.decode_to_daemon(codec.encode(message).rstrip(b"\n"), build.SESSION) == message


@given(build.from_daemon)
def test_messages_of_the_daemon(message: FromDaemon) -> None:
    assert codec.decode_from_daemon(codec.encode(message).rstrip(b"\n"), build.SESSION) == message


@given(build.later)
def test_a_message_is_about_the_session_of_its_connection(message: ToDaemon) -> None:
    """Whoever wrote it: no name of a session is on the wire."""
    assert build.SESSION not in codec.encode(replace(message)).decode() or not isinstance(message, Report)
    taken = codec.decode_to_daemon(codec.encode(message), "other")
    if isinstance(taken, Report):
        assert taken.state.name == "other"
        assert {call.id.session for call in taken.state.calls} <= {"other"}
        assert {request.id.session for request in taken.requests} <= {"other"}


@given(st.binary(max_size=200), st.sampled_from([None, "s1"]))
def test_any_bytes(line: bytes, session: str | None) -> None:
    with pytest.raises(WireError):
        codec.decode_to_daemon(line, session)
    with pytest.raises(WireError):
        codec.decode_from_daemon(line, "s1")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(build.first | build.later, st.data())
def test_a_message_with_one_field_changed(message: ToDaemon, data: st.DataObject) -> None:
    """It is still a message, or a WireError; nothing else."""
    found = json.loads(codec.encode(message))
    part = found
    while True:
        name = data.draw(st.sampled_from(sorted(part)))
        inner = part[name]
        inner = inner[0] if isinstance(inner, list) and inner else inner
        if not isinstance(inner, dict) or not inner or data.draw(st.booleans()):
            break
        part = inner
    part[name] = data.draw(_json)
    for session in (None, "s1"):
        with contextlib.suppress(WireError):
            codec.decode_to_daemon(json.dumps(found).encode(), session)


@given(st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), max_size=8), st.data())
def test_lines_in_any_pieces(lines: list[bytes], data: st.DataObject) -> None:
    text = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    collector, found = Lines(), []
    for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        found += collector.feed(text[begin:end])
    assert found == lines
    assert collector.pending == 0


def test_a_line_that_never_ends() -> None:
    collector = Lines()
    collector.feed(b"x" * LINE_MAX)
    assert collector.pending == LINE_MAX
    with pytest.raises(WireError):
        collector.feed(b"x")


def test_a_report_of_too_many_calls_keeps_the_largest() -> None:
    calls = tuple(CallState(CallId("s1", f"c{n}"), Priority.NORMAL, 0.0, n) for n in range(20_000))
    requests = tuple(Request(CallId("s1", f"r{n}"), Priority.NORMAL, float(n)) for n in range(20_000))
    report = Report(1, SessionState("s1", Priority.NORMAL, 0, calls=calls), requests, ping=7)
    taken = codec.decode_to_daemon(codec.encode_report(report), "s1")
    assert isinstance(taken, Report)
    assert 1000 < len(taken.state.calls) < 20_000
    assert min(call.memory_bytes for call in taken.state.calls) == 20_000 - len(taken.state.calls)
    assert taken.requests == requests[: len(taken.requests)]
    assert taken.ping == 7


@pytest.mark.parametrize("signal", [Stalled(None, 1, 2), Short("s1", CallId("s1", "c1"), None)])
def test_a_session_cannot_speak_for_the_host(signal: Signal) -> None:
    with pytest.raises(ValueError, match="cannot speak for the host"):
        codec.encode(Report(0, SessionState("s1", Priority.NORMAL, 0), signals=(signal,)))


@pytest.mark.parametrize("name", ["", "a b", "a/b", "..", ".a", "-a", "a\n", "é", "a~1", "a" * 65])
def test_names_that_no_session_can_have(name: str) -> None:
    with pytest.raises(WireError):
        codec.decode_to_daemon(codec.encode(Hello(name, 1.0)), None)
