"""Parses the texts in which the published traces write numbers: memory, shares of a core, instants, limits."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_MEMORY = re.compile(r"(\d+(?:\.\d+)?)([kKMGTP]?)B", re.ASCII)
_DECIMAL = {"": 0, "k": 3, "K": 3, "M": 6, "G": 9, "T": 12, "P": 15}
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)%", re.ASCII)
_LIMIT = re.compile(r"(\d+(?:\.\d+)?)([kmgt]?)b?", re.IGNORECASE | re.ASCII)
_BINARY = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}
_DIGITS_MOST = 18


def parse_memory(text: str) -> int:
    """Bytes of ``186MB``, ``4.06GB``, ``110.6kB`` or ``0B``: decimal prefixes, as podman stats prints them.

    The text has one to four significant digits, so the value is exact to half of the last one only. ValueError for
    anything else, binary prefixes (``MiB``) included: they would be a different tool's output.
    """
    match = _MEMORY.fullmatch(text.strip())
    if match is None or len(match[1]) > _DIGITS_MOST:
        raise ValueError(f"{text!r} is not a size such as 186MB")
    whole, _, fraction = match[1].partition(".")
    power = _DECIMAL[match[2]]
    # In integers, so that 4.06GB is 4060000000 and not a rounding away from it.
    unit = 10 ** len(fraction)
    return int((int(whole + fraction) * 10**power + unit // 2) // unit)


def parse_usage(text: str) -> tuple[int, int]:
    """``(used, limit)`` in bytes of ``186MB / 134.5GB``; ValueError for anything else."""
    used, slash, limit = text.partition("/")
    if not slash:
        raise ValueError(f"{text!r} is not used / limit")
    return parse_memory(used), parse_memory(limit)


def parse_share(text: str) -> float:
    """Cores of ``7.15%`` (100 % is one core); ValueError for anything else."""
    match = _PERCENT.fullmatch(text.strip())
    if match is None or len(match[1]) > _DIGITS_MOST:
        raise ValueError(f"{text!r} is not a share such as 7.15%")
    return float(match[1]) / 100


def parse_limit(text: str) -> int:
    """Bytes of a container's ``--memory``: ``4g``, ``512m``, binary prefixes as podman takes them; ValueError else."""
    match = _LIMIT.fullmatch(text.strip())
    if match is None or len(match[1]) > _DIGITS_MOST:
        raise ValueError(f"{text!r} is not a limit such as 4g")
    return int(float(match[1]) * (1 << _BINARY[match[2].lower()]))


def parse_instant(text: str) -> float:
    """Unix seconds of an ISO instant with a zone (``Z`` or an offset); ValueError without one, or for anything else."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return instant.timestamp()


def zone_of(naive: str, epoch: float) -> int | None:
    """Seconds that the clock behind ``naive`` is ahead of UTC, given the same instant in Unix seconds.

    To a quarter of an hour, as zones are; None when the text has a zone itself or is no instant.
    """
    try:
        local = datetime.fromisoformat(naive)
    except ValueError:
        return None
    if local.tzinfo is not None:
        return None
    return round((local.replace(tzinfo=UTC).timestamp() - epoch) / 900) * 900
