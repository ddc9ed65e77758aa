from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.trace.text import argv_length, command_of, is_cut, printable, shorten, utf8


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (("bash", "-c", "ls -l"), "ls -l"),
        (("/bin/sh", "-ec", "make"), "make"),
        (("bash", "-lc", "make", "name", "arg"), "make"),
        (("bash", "-c", "-l", "pytest"), "pytest"),
        (("bash", "-euo", "pipefail", "-c", "a | b"), "a | b"),
        (("bash", "--rcfile", "x", "-i", "-c", "y"), "y"),
        (("-zsh", "-o", "errexit", "-c", "--", "ls"), "ls"),
        (("bash", "+O", "extglob", "-c", "ls"), "ls"),
        (("bash", "script.sh", "-c", "x"), "bash script.sh -c x"),
        (("bash", "--norc"), "bash --norc"),
        (("bash", "-c"), "bash -c"),
        (("python", "-c", "print(1)"), "python -c 'print(1)'"),
        ((), ""),
    ],
)
def test_command_of_finds_the_script(argv: tuple[str, ...], command: str) -> None:
    assert command_of(argv) == command


def test_printable_leaves_nothing_for_a_terminal_to_obey() -> None:
    assert printable("a\x1b[2J\nb\u202e\udcff\ud800é") == "a\\x1b[2J\\nb\\u202e\\xff\\ud800é"


@given(st.binary())
def test_any_bytes_become_safe_text(raw: bytes) -> None:
    text = raw.decode("utf-8", "surrogateescape")
    assert printable(text).isprintable()
    utf8(text).encode("utf-8")
    assert argv_length([text]) == len(raw)


@given(st.text(st.characters(), max_size=40), st.integers(1, 50))
def test_shorten_keeps_to_the_width(text: str, width: int) -> None:
    short = shorten(text, width)
    assert len(short) <= width
    assert (short == text) == (len(text) <= width) or text.endswith("…")


def test_is_cut_allows_for_a_last_nul() -> None:
    argv = ("bash", "-c", "é\udcff")
    assert argv_length(argv) == len(b"bash\0-c\0") + 3
    assert not is_cut(argv, argv_length(argv))
    assert not is_cut(argv, argv_length(argv) + 1)
    assert is_cut(argv, argv_length(argv) + 2)
