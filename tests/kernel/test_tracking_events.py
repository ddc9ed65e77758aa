"""Reading the tracker's records, whatever bytes they hold."""

from __future__ import annotations

import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.kernel import bpf
from agentcgroup.kernel.tracking_events import (
    KINDS,
    MAX_ARGUMENTS,
    Event,
    Executed,
    Exited,
    Forked,
    Left,
    Lost,
    Moved,
    ProcessKey,
    event,
)

U64 = st.integers(0, 2**64 - 1)
PID = st.integers(1, 2**22)
WORD = st.binary(max_size=60).filter(lambda word: b"\0" not in word)


def record(kind: type[Event], numbers: tuple[int, ...], status: int = 0, flags: int = 0, **texts: bytes) -> bytes:
    """One record as exec.bpf.c writes it: struct event, then arguments and path."""
    arguments, path = texts.get("arguments", b""), texts.get("path", b"")
    at, started, parent_started, cgroup, origin, pid, parent, thread = numbers
    head = struct.pack("=QQQQQ", at, started, parent_started, cgroup, origin)
    head += struct.pack("=IIIIi", KINDS[kind], pid, parent, thread, status)
    head += struct.pack("=HHH6s16s", flags, len(arguments), len(path), b"", texts.get("name", b"sh"))
    return head + arguments + path


NUMBERS = st.tuples(U64, U64, U64, U64, U64, PID, PID, PID)


@given(NUMBERS, st.lists(WORD, max_size=20), WORD, st.integers(0, 7))
def test_an_exec_gives_back_every_argument(
    numbers: tuple[int, ...], words: list[bytes], path: bytes, flags: int
) -> None:
    raw = b"".join(word + b"\0" for word in words)
    found = event(record(Executed, numbers, flags=flags, arguments=raw, path=path))
    assert isinstance(found, Executed)
    assert [os.fsencode(argument) for argument in found.arguments] == words
    assert os.fsencode(found.path) == path
    assert (found.process, found.parent) == (ProcessKey(numbers[5], numbers[1]), ProcessKey(numbers[6], numbers[2]))
    assert (found.at_ns, found.cgroup, found.thread) == (numbers[0], numbers[3], numbers[7])
    assert (found.arguments_cut, found.arguments_missing, found.path_cut) == tuple(
        bool(flags & bit) for bit in (1, 2, 4)
    )


@given(NUMBERS, st.sampled_from([Forked, Exited, Moved, Left]), st.integers(0, 0xFFFF))
def test_the_other_events(numbers: tuple[int, ...], kind: type[Event], status: int) -> None:
    found = event(record(kind, numbers, status, name=b"odd \xff)\0\0"))
    assert type(found) is kind
    assert not isinstance(found, Lost)
    assert found.name == "odd \udcff)"
    assert found.process.pid == numbers[5]
    if isinstance(found, Moved | Left):
        assert found.from_cgroup == numbers[4]
    if isinstance(found, Exited):
        assert found.status == status


@pytest.mark.parametrize(("status", "code"), [(0, 0), (3 << 8, 3), (9, -9), (11 | 0x80, -11)])
def test_an_exit_code_is_what_subprocess_gives(status: int, code: int) -> None:
    found = event(record(Exited, (1,) * 8, status))
    assert isinstance(found, Exited)
    assert found.exit_code == code


@given(st.binary(max_size=200))
def test_what_is_no_record_is_refused_or_read_but_never_fails_otherwise(data: bytes) -> None:
    try:
        event(data)
    except ValueError:
        return


def test_a_record_that_is_cut_off_is_refused() -> None:
    whole = record(Executed, (1,) * 8, arguments=b"a\0", path=b"/bin/a")
    event(whole)
    for size in range(len(whole)):
        with pytest.raises(ValueError, match="a record of"):
            event(whole[:size])


def test_a_key_has_the_start_as_proc_has_it() -> None:
    tick = os.sysconf("SC_CLK_TCK")
    assert ProcessKey(1, 12_345_678_901).start_ticks() == 12_345_678_901 * tick // 10**9


def test_the_bounds_are_those_of_the_program() -> None:
    assert f"#define MAX_ARGUMENTS {MAX_ARGUMENTS} " in (bpf.FOLDER / "exec.h").read_text()
