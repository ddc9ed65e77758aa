"""Command lines as text that is safe to print and to store elsewhere.

Command lines come from a model: they hold newlines, escape sequences and bytes that are not UTF-8
(kept by ``surrogateescape`` in a trace). A terminal must not obey them, and other formats must not choke on them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

_SURROGATE = re.compile("[\ud800-\udfff]")
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "rbash", "ash", "fish"})
# Long options that take the next word as their value, beside the letters o and O in a cluster (bash(1), zsh(1)).
_TAKES_VALUE = frozenset({"--rcfile", "--init-file", "--emulate"})


def utf8(text: str) -> str:
    """``text`` without lone surrogates, so that it can be encoded: a byte that was not UTF-8 reads ``\\xff``."""
    return _SURROGATE.sub(lambda match: _escape(match[0]), text) if not text.isascii() else text


def printable(text: str) -> str:
    """``text`` on one line, with everything a terminal might obey (control, bidi, surrogates) escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def shorten(text: str, width: int) -> str:
    """``text`` cut to ``width`` characters (at least one), the last one an ellipsis if anything is missing."""
    return text if len(text) <= width else text[: max(width, 1) - 1] + "…"


def command_of(argv: Sequence[str]) -> str:
    """What a call runs: the script of ``bash -lc SCRIPT`` and its kind, else the quoted command line.

    The result may hold any character: pass it through `printable` before showing it.
    """
    script = _script(argv)
    return shlex.join(argv) if script is None else script


def argv_length(argv: Sequence[str]) -> int:
    """Bytes of ``argv`` with a NUL between its words, as the kernel held it (each escaped byte counts one)."""
    return sum(len(word) if word.isascii() else len(word.encode("utf-8", "replace")) for word in argv) + len(argv) - 1


def is_cut(argv: Sequence[str], argv_bytes: int) -> bool:
    """Whether ``argv`` is shorter than the ``argv_bytes`` of the real one (which may count the last NUL)."""
    return argv_bytes > argv_length(argv) + 1


def _script(argv: Sequence[str]) -> str | None:
    """The word after ``-c`` and all options, when ``argv`` is a shell that was given one."""
    if not argv or argv[0].rpartition("/")[2].lstrip("-") not in _SHELLS:
        return None
    has_script = False
    words = iter(argv[1:])
    for word in words:
        if word in ("--", "-"):
            word = next(words, "")
        elif word[:1] in "-+" and len(word) > 1:
            cluster = word[1:] if word[1] != "-" else ""
            has_script |= word[0] == "-" and "c" in cluster
            if word in _TAKES_VALUE or "o" in cluster.lower():
                next(words, None)
            continue
        return word if has_script and word else None
    return None


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if 0xD800 <= code <= 0xDFFF:
        return f"\\u{code:04x}"
    return character.encode("unicode_escape").decode("ascii")
