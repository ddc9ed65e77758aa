"""Short, printable, honest: what all texts for agents share. Pure."""

from __future__ import annotations

import re

MiB = 1 << 20
PROSE_MAX = 600
"""Characters of prose in one text: what a model reads beside the output of its command."""
_PLAIN_WORD = re.compile(r"[\w./:@+,-]{1,60}", re.ASCII)


def clean(text: str, limit: int) -> str:
    """``text`` on one line, at most ``limit`` characters, with nothing in it that a terminal or an encoder acts on."""
    printable = "".join(char if char.isprintable() else " " for char in text[: 4 * limit])
    words = " ".join(printable.split())
    return words if len(words) <= limit else words[: limit - 1].rstrip() + "…"


def is_plain(word: str) -> bool:
    """May be put into a command that we suggest: no quoting needed, not an option, not long."""
    return _PLAIN_WORD.fullmatch(word) is not None and not word.startswith("-")


def size_to_declare(wanted_bytes: float, most_bytes: int) -> tuple[str, int]:
    """What a person would write in a hint for ``wanted_bytes``, at most ``most_bytes``: ``("3g", 3221225472)``."""
    step = 64 * MiB if min(wanted_bytes, most_bytes) <= 1024 * MiB else 512 * MiB
    size = min(max(1, -(-int(wanted_bytes) // step)), most_bytes // step) * step
    return (f"{size // (1024 * MiB)}g" if size % (1024 * MiB) == 0 else f"{size // MiB}m"), size


def fit(sentences: list[tuple[int, str]], limit: int = PROSE_MAX) -> str:
    """Sentences in their order, the least important left out where they do not all fit.

    Each comes with its rank; the lowest rank is the most important, and of a rank the first. The most important one
    is cut where it alone is too long.
    """
    chosen: set[int] = set()
    left = limit
    by_rank = sorted(range(len(sentences)), key=lambda place: sentences[place][0])
    for place in by_rank:
        length = len(sentences[place][1]) + bool(chosen)
        if sentences[place][1] and length <= left:
            chosen.add(place)
            left -= length
    if not chosen and by_rank:
        return clean(sentences[by_rank[0]][1], limit)
    return " ".join(sentences[place][1] for place in sorted(chosen))
