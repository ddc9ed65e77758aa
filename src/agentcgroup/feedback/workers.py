"""How many workers a command was told to use, and how many fewer fit. Pure."""

from __future__ import annotations

from collections.abc import Sequence

_JOB_BYTES = 512 << 20  # a compiler at work on C++ or Rust; many need less, few need more
_JOBS_UNKNOWN = 4  # where no limit is known
_MOST = 64
_OPTIONS = ("-n", "--numprocesses", "-j", "--jobs", "--parallel", "-p", "--maxWorkers", "--max-workers", "-P")


def option(words: Sequence[str], names: Sequence[str]) -> str | None:
    """The value of the last of these options that is there: ``-j8``, ``-j 8``, ``--jobs=8``; "" without a value."""
    found: str | None = None
    for place, word in enumerate(words):
        if word == "--":
            break
        for name in names:
            short = len(name) == 2
            if word == name:
                value = words[place + 1] if place + 1 < len(words) else ""
                found = value if value.isdigit() or value in ("auto", "logical") else ""
            elif word.startswith(name + "="):
                found = word[len(name) + 1 :]
            elif short and word.startswith(name) and (word[2:].isdigit() or word[2:] in ("auto", "logical")):
                found = word[2:]
    return found


def asked(words: Sequence[str]) -> bool:
    """The command was told how many workers to use."""
    return option(words, _OPTIONS) is not None


def halved(given: str, automatic: int) -> int:
    """Half as many as ``given``; ``automatic`` when that is no number (`auto`, `50%`, as many as there are cores)."""
    number = _number(given)
    return automatic if number is None else max(1, number // 2)


def fitting(given: str, limit_bytes: int | None) -> int:
    """Half as many as ``given``, and no more than fit into ``limit_bytes`` at half a GiB each."""
    fit = _JOBS_UNKNOWN if limit_bytes is None else max(1, min(_MOST, limit_bytes // _JOB_BYTES))
    number = _number(given)
    return fit if number is None else max(1, min(number // 2, fit))


def _number(given: str) -> int | None:
    return int(given) if given.isascii() and given.isdigit() and len(given) <= 6 else None
