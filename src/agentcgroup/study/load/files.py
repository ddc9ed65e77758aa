"""Reads the files of a published run, plain or compressed; says what is wrong with one that cannot be read."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path

from agentcgroup.errors import TraceError

_MOST_BYTES = 1 << 30  # of one file, unpacked: a run of a day has 20 MB


def find_file(folder: Path, *names: str) -> Path | None:
    """The first of ``names`` that ``folder`` holds, each plain or with .gz."""
    candidates = (folder / f"{name}{end}" for name in names for end in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)


def read_bytes(path: Path) -> bytes:
    """The content, unpacked; TraceError when it cannot be had in full."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise TraceError(f"{path.name} is broken: {_reason(error)}", f"fetch {path} again") from error
    if len(data) > _MOST_BYTES:
        raise TraceError(f"{path.name} is larger than {_MOST_BYTES >> 20} MiB", "it is no file of one run")
    return data


def read_json(path: Path) -> object:
    """The JSON value in a file; TraceError when it is not whole."""
    return decode(read_bytes(path), path)


def decode(data: bytes, path: Path) -> object:
    """The JSON value in ``data``, the content of ``path``; TraceError when it is none."""
    try:
        value: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise TraceError(f"{path.name} is not JSON: {error}", f"fetch {path} again") from error
    return value


def _reason(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "the gzip data ends early"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
