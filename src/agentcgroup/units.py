"""Sizes, durations and counts: parsing what people write, printing what people read.

Sizes are bytes with binary suffixes, as in cgroup v2 (``4g`` is 4 GiB, Documentation/admin-guide/
cgroup-v2.rst: "memory amounts are in bytes"); durations are seconds.
"""

from __future__ import annotations

import re

from agentcgroup.errors import UsageError

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE | re.ASCII)
_SIZE_FACTOR = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_DURATION_FACTOR = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_MAX_SIZE = 1 << 62


def parse_size(text: str) -> int:
    """Bytes of ``512m``, ``2g``, ``1.5GiB`` or ``1048576``; UsageError for anything else."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a size", "write a number and k, m, g or t, such as 512m or 1.5g")
    size = int(float(match[1]) * _SIZE_FACTOR[match[2].lower()])
    if not 0 < size <= _MAX_SIZE:
        raise UsageError(f"{text!r} is out of range", "give a size above 0, such as 512m")
    return size


def parse_duration(text: str) -> float:
    """Seconds of ``30s``, ``10m``, ``1h30m``, ``250ms`` or a bare number; UsageError for anything else."""
    stripped = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", stripped, re.ASCII):
        return float(stripped)
    parts = _DURATION_PART.findall(stripped)
    if not parts or "".join(n + unit for n, unit in parts) != stripped:
        raise UsageError(f"{text!r} is not a duration", "write a number and ms, s, m, h or d, such as 30s or 10m")
    return float(sum(float(n) * _DURATION_FACTOR[unit] for n, unit in parts))


def format_size(size: int | float | None) -> str:
    """A size in bytes as a short text with a binary prefix: ``1.5 GiB``; ``-`` for None."""
    if size is None:
        return "-"
    value = float(size)
    for prefix in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.0f} {prefix}" if prefix == "B" or value >= 100 else f"{value:.1f} {prefix}"
        value /= 1024
    return f"{value:.1f} TiB"


def format_duration(seconds: float | None) -> str:
    """Seconds as a short text: ``850 ms``, ``12.3 s``, ``4 m 10 s``, ``2 h 5 m``; ``-`` for None."""
    if seconds is None:
        return "-"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} m {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} m"
