"""The packed kernel image of x86 (Documentation/arch/x86/boot.rst): its version, and the ELF kernel in it."""

from __future__ import annotations

import gzip
import lzma
import struct

from agentcgroup.errors import LabError
from agentcgroup.lab import elf
from agentcgroup.lab.modules import zstd

_MAGIC_AT = 0x202
_VERSION_AT = 0x20E


def is_bzimage(data: bytes) -> bool:
    """Whether ``data`` begins as a bzImage (boot protocol 2.08 or later, which tells where its payload is)."""
    return data[_MAGIC_AT : _MAGIC_AT + 4] == b"HdrS" and data[_MAGIC_AT + 4 : _MAGIC_AT + 6] >= b"\x08\x02"


def version(data: bytes) -> str:
    """The release of a bzImage or of an ELF vmlinux, as ``uname -r`` will say; empty if it does not tell."""
    if is_bzimage(data):
        (at,) = struct.unpack_from("<H", data, _VERSION_AT)
        text = data[at + 0x200 : at + 0x300]
    else:
        at = data.find(b"Linux version ")
        if at < 0:
            return ""
        text = data[at + len("Linux version ") : at + 256]
    return text.partition(b"\0")[0].partition(b" ")[0].decode("ascii", "replace")


def vmlinux(data: bytes) -> bytes:
    """The ELF kernel inside a bzImage; LabError if it is packed in a way that cannot be undone here."""
    if not is_bzimage(data):
        raise LabError("not a bzImage kernel")
    sectors = data[0x1F1] or 4
    at, length = struct.unpack_from("<II", data, 0x248)
    start = (sectors + 1) * 512 + at
    payload = data[start : start + length]
    # the build appends the unpacked size, 4 bytes, to every form that does not carry it itself
    if payload[:4] == b"\x28\xb5\x2f\xfd":
        kernel = zstd(payload[:-4])
    elif payload[:2] == b"\x1f\x8b":
        kernel = gzip.decompress(payload)
    elif payload[:6] == b"\xfd7zXZ\0":
        kernel = lzma.LZMADecompressor().decompress(payload)
    else:
        raise LabError(f"the kernel is packed in an unknown way ({payload[:4].hex()})", "take another kernel")
    if not elf.is_elf(kernel):
        raise LabError("the kernel image does not contain an ELF kernel", "take another kernel")
    return kernel
