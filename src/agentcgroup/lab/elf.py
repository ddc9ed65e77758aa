"""Sections of 64-bit little-endian ELF files, as far as kernels and their modules need them (elf(5))."""

from __future__ import annotations

import struct

from agentcgroup.errors import LabError

_SECTION = struct.Struct("<IIQQQQIIQQ")


def is_elf(data: bytes) -> bool:
    """Whether ``data`` begins as a 64-bit little-endian ELF file."""
    return data[:6] == b"\x7fELF\x02\x01"


def section(data: bytes, name: str) -> bytes | None:
    """The content of the section ``name``, or None if there is none; LabError if ``data`` is not sound ELF."""
    if not is_elf(data):
        raise LabError("not a 64-bit ELF file")
    try:
        (table,) = struct.unpack_from("<Q", data, 0x28)
        size, count, names_index = struct.unpack_from("<HHH", data, 0x3A)
        headers = [_SECTION.unpack_from(data, table + i * size) for i in range(count)]
        names_at = headers[names_index][4]
        for header in headers:
            start = names_at + header[0]
            if data[start : data.index(b"\0", start)] == name.encode():
                offset, length = header[4], header[5]
                if offset + length > len(data):
                    raise LabError(f"section {name} reaches beyond the end of the ELF file")
                return data[offset : offset + length]
    except (struct.error, IndexError, ValueError) as error:
        raise LabError(f"the ELF section table is damaged ({error})") from error
    return None
