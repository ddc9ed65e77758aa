"""The codec: what is packed is unpacked, and random bytes raise nothing but WireError."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.client import wire
from agentcgroup.errors import WireError

u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
# Every byte string without NUL, as Python shows it to us.
text = st.binary(max_size=60).map(lambda b: b.replace(b"\0", b"").decode("utf-8", "surrogateescape"))
leaf = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=wire.LEAF_MAX)
argv = st.lists(text, max_size=6).map(tuple)

messages = st.one_of(
    st.builds(wire.Request, u32, u64, argv, text),
    st.builds(wire.Grant, leaf | st.just("")),
    st.builds(wire.Start, u32, u32, u32, u32, u64, u64, leaf | st.just(""), text, text, text, argv, text),
    st.builds(
        wire.End, st.integers(-(2**31), 2**31 - 1), st.booleans(), u64, u64, u64, u64, st.dictionaries(text, text)
    ),
    st.builds(wire.Done, text),
    st.builds(wire.Wait, u32),
    st.builds(wire.Refuse, text),
    st.builds(wire.Note, u32, u32, u32, text, text, argv),
    st.builds(wire.Open, u32, text, text, text, u32),
    st.builds(wire.Opened, leaf),
    st.builds(wire.Close, leaf, u32, u32),
)


@given(messages, u32)
def test_round_trip(message: wire.Message, sender: int) -> None:
    packet = wire.encode(message, sender)
    assert wire.decode(packet) == message
    assert wire.sender_of(packet) == sender


@given(st.binary(max_size=200))
def test_random_bytes_raise_only_wire_error(data: bytes) -> None:
    with pytest.raises(WireError):
        wire.decode(data)


@given(messages, st.data())
def test_damaged_messages_raise_only_wire_error(message: wire.Message, data: st.DataObject) -> None:
    packet = bytearray(wire.encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = wire.decode(bytes(packet))
    except WireError:
        return
    assert isinstance(decoded, wire.Message)


@given(messages, st.integers(0, 400))
def test_a_cut_message_is_refused(message: wire.Message, size: int) -> None:
    packet = wire.encode(message)
    with pytest.raises(WireError):
        wire.decode(packet[: min(size, len(packet) - 1)])


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", "x" * 32, "a b", "é", "a\0"])
def test_a_leaf_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(WireError):
        wire.grant_entry(name)
    body = struct.pack("<I", len(name.encode())) + name.encode()
    packet = struct.pack("<IHHII", wire.MAGIC, 2, 0, 16 + len(body), 0) + body
    if name:
        with pytest.raises(WireError):
            wire.decode(packet)


def test_layout_of_start_as_documented() -> None:
    start = wire.Start(1, 2, 3, 4, 5, 6, "c1", "claude", "", "/tmp", ("sh", "-c", "x"), "cpu:2")
    blobs = [b"c1", b"claude", b"", b"/tmp", b"sh\0-c\0x\0", b"cpu:2"]
    body = struct.pack("<4I2Q", 1, 2, 3, 4, 5, 6) + b"".join(struct.pack("<I", len(b)) + b for b in blobs)
    assert wire.encode(start, 9) == b"ACG1" + struct.pack("<HHII", 3, 0, 16 + len(body), 9) + body


def test_a_long_argument_vector_is_cut() -> None:
    start = wire.Start(1, 2, 3, 200_002, 5, 6, "", "", "", "/", ("x" * 100_000, "y" * 100_000))
    decoded = wire.decode(wire.encode(start))
    assert isinstance(decoded, wire.Start)
    assert decoded.argv == ("x" * wire.ARGV_MAX,)


def test_a_message_that_is_too_long_is_refused() -> None:
    with pytest.raises(WireError, match="longer than"):
        wire.encode(wire.Done("x" * wire.MESSAGE_MAX))


def _call(client: int, started: int, status: int | None) -> list[bytes]:
    start = wire.Start(client, client + 1, 1, 3, started, started, "", "generic", "", "/", ("sh",))
    packets = [wire.encode(start, client)]
    if status is not None:
        packets.append(wire.encode(wire.End(status, False, started + 1, 0, 0, 0), client))
    return packets


def test_journal_joins_interleaved_clients_and_keeps_unended_calls() -> None:
    (a, a_end), (b, b_end), (c,) = _call(10, 100, 0), _call(20, 200, 256), _call(30, 300, None)
    calls = list(wire.read_journal(a + b + c + b_end + a_end))
    assert [(s.client_pid, e.wait_status if e else None) for s, e in calls] == [(20, 256), (10, 0), (30, None)]


def test_journal_gives_a_call_that_was_written_twice_once() -> None:
    start, end = _call(10, 100, 0)
    assert len(list(wire.read_journal(start + end + start + end))) == 1
    assert [e is not None for _, e in wire.read_journal(start + start + end)] == [True]


@given(st.binary(max_size=80), st.integers(0, 150))
def test_journal_survives_damage(noise: bytes, cut: int) -> None:
    whole = b"".join(_call(10, 100, 0))
    damaged = noise + b"".join(_call(20, 200, 0)) + whole[:cut]
    found = {start.client_pid for start, _ in wire.read_journal(noise + damaged)}
    assert 20 in found
    assert found <= {10, 20}
