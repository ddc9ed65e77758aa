"""The spool of samples: fixed-size binary rows, appended while a session runs.

A row is 64 bytes, so a reader finds the next one after any damage. Layout, little-endian:

    u32 crc      CRC-32 (zlib) of the 60 bytes that follow
    u32 index    of the domain; the top bit marks a name row
    i64 x 7      t_ns, memory_bytes, cpu_time_us, pids, memory_some_us, memory_full_us, cpu_some_us; -1 is null
    or bytes[56] the name of the domain, NUL-padded

The first row of a domain comes after its name row. The file begins with one row of 64 bytes: the magic
``ACGSPOOL1``, NUL-padded.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

SPOOL = "samples.spool"
ROW_BYTES = 64
MAGIC = b"ACGSPOOL1".ljust(ROW_BYTES, b"\0")
NAME_BYTES = 56

_NAME_BIT = 1 << 31
_HEAD = struct.Struct("<II")
_ROW = struct.Struct("<I7q")
_CRC = struct.Struct("<I")


class Sample(NamedTuple):
    """One domain at one instant. Counters are cumulative; None where this host does not say."""

    t_ns: int  # CLOCK_MONOTONIC
    domain: str  # "session", "agent" or a call id, at most 56 bytes
    memory_bytes: int | None = None  # memory.current
    cpu_time_us: int | None = None  # cpu.stat usage_usec
    pids: int | None = None  # pids.current
    memory_some_us: int | None = None  # memory.pressure some total
    memory_full_us: int | None = None  # memory.pressure full total
    cpu_some_us: int | None = None  # cpu.pressure some total


class SampleSpool:
    """Appends samples to ``folder``. The file comes into being with the first sample.

    A write that fails never raises: ``failed`` holds the first reason, ``lost`` counts samples.
    """

    def __init__(self, folder: Path) -> None:
        self.failed = ""
        self.lost = 0
        self._path = folder / SPOOL
        self._fd = -1
        self._bytes = 0  # written and whole
        self._closed = False
        self._indexes: dict[str, int] = {}

    def append(self, samples: Iterable[Sample]) -> None:
        """Append the samples of one instant with a single write(2)."""
        rows: list[bytes] = []
        names: dict[str, int] = {}
        count = 0
        for sample in samples:
            index = self._indexes.get(sample.domain, names.get(sample.domain))
            if index is None:
                index = names[sample.domain] = len(self._indexes) + len(names)
                rows.append(_name_row(index, sample.domain))
            rows.append(_sample_row(index, sample))
            count += 1
        if rows and self._write(b"".join(rows)):
            self._indexes |= names
        elif rows:
            self.lost += count

    def close(self) -> None:
        """Close the file; later samples are lost and counted. Closing twice is fine."""
        self._closed = True
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, data: bytes) -> bool:
        if self._closed:
            self.failed = self.failed or "the spool of samples is closed"
            return False
        try:
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            if self._bytes == 0:
                data = MAGIC + data
            written = os.write(self._fd, data)
        except OSError as error:
            self.failed = self.failed or error.strerror or str(error)
            return False
        if written != len(data):
            self.failed = self.failed or "samples were cut short (no space left?)"
            self._cut_back()
            return False
        self._bytes += written
        return True

    def _cut_back(self) -> None:
        """Remove half-written rows, which would shift all that follow; give up if even that fails."""
        try:
            os.ftruncate(self._fd, self._bytes)
        except OSError:
            self.close()


class SpoolRow(NamedTuple):
    """A row of a spool as read: seven values, -1 for null."""

    domain: str
    values: tuple[int, ...]  # t_ns and the counters, in the order of `Sample` without the domain


class SpoolDamage(NamedTuple):
    """A row that cannot be read."""

    offset: int
    reason: str


def read_spool(path: Path) -> Iterator[SpoolRow | SpoolDamage]:
    """The rows of a spool, in order; OSError when it cannot be read."""
    names: dict[int, str] = {}
    with path.open("rb") as file:
        offset = 0
        while row := file.read(ROW_BYTES):
            if offset == 0 and row == MAGIC:
                pass
            elif len(row) < ROW_BYTES:
                yield SpoolDamage(offset, "incomplete last row")
            else:
                yield from _read_row(row, offset, names)
            offset += len(row)


def _read_row(row: bytes, offset: int, names: dict[int, str]) -> Iterator[SpoolRow | SpoolDamage]:
    crc, index = _HEAD.unpack_from(row)
    if crc != zlib.crc32(row[4:]):
        yield SpoolDamage(offset, "wrong checksum")
    elif index & _NAME_BIT:
        names[index ^ _NAME_BIT] = row[_HEAD.size :].rstrip(b"\0").decode("utf-8", "replace")
    elif (name := names.get(index)) is None:
        yield SpoolDamage(offset, f"domain {index} has no name")
    else:
        yield SpoolRow(name, _ROW.unpack_from(row, 4)[1:])


def _name_row(index: int, name: str) -> bytes:
    return _sealed(_CRC.pack(index | _NAME_BIT) + name.encode("utf-8", "replace")[:NAME_BYTES].ljust(NAME_BYTES, b"\0"))


def _sample_row(index: int, sample: Sample) -> bytes:
    counters = (-1 if value is None else value for value in sample[2:])
    return _sealed(_ROW.pack(index, sample.t_ns, *counters))


def _sealed(body: bytes) -> bytes:
    return _CRC.pack(zlib.crc32(body)) + body
