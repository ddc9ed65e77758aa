"""The output's way from the guest: unchanged up to the token, however it is cut into pieces."""

from __future__ import annotations

import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.lab.stream import Stream

TOKEN = b"aab-end"


@given(st.lists(st.binary(max_size=20) | st.sampled_from([b"a", b"aa", b"aab-en", b"aab-e"]), max_size=12), st.data())
def test_all_before_the_token_passes_and_nothing_after(pieces: list[bytes], data: st.DataObject) -> None:
    sent = b"".join(pieces)
    if TOKEN in sent + TOKEN[:-1]:
        return
    whole = sent + TOKEN + b"left over"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=10)))
    guest, lab = socket.socketpair()
    with guest, lab:
        stream = Stream(lab, None, TOKEN)
        for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
            if start < end and not stream.complete:
                guest.sendall(whole[start:end])
                stream.receive()
        assert stream.complete
        assert bytes(stream.kept) == sent


def test_without_a_token_all_passes_at_the_end() -> None:
    guest, lab = socket.socketpair()
    with lab:
        stream = Stream(lab, None, TOKEN)
        guest.sendall(b"text aab")
        stream.receive()
        assert bytes(stream.kept) == b"text "
        guest.close()
        stream.receive()
        assert bytes(stream.kept) == b"text aab"
        assert stream.ended
        assert not stream.reading


def test_nothing_is_read_while_the_reader_is_behind() -> None:
    guest, lab = socket.socketpair()
    reader, writer = os.pipe()
    with guest, lab:
        stream = Stream(lab, writer, TOKEN)
        guest.sendall(b"x" * 6000)
        stream.receive()
        assert stream.writing
        assert not stream.reading
        stream.send()
        assert len(os.read(reader, 9000)) == 4096
        stream.send()
        assert len(os.read(reader, 9000)) == 6000 - 4096
        assert stream.reading
        os.close(reader)
        guest.sendall(b"y")
        stream.receive()
        with pytest.raises(BrokenPipeError):
            stream.send()
    os.close(writer)
