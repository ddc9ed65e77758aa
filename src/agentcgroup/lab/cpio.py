"""Writes cpio archives in the "newc" form, which the kernel unpacks as its first root file system.

Format: Documentation/driver-api/early-userspace/buffer-format.rst. Archives may be concatenated, each
beginning at a multiple of 4 bytes.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping

_TRAILER = "TRAILER!!!"


def archive(files: Mapping[str, tuple[int, bytes]], directories: Iterable[str] = ()) -> bytes:
    """A newc archive of ``directories`` and of ``files``: path -> (permission bits, content).

    Paths are relative. Directories above files must be listed, before what is in them.
    """
    out = bytearray()
    inode = 1
    for path in directories:
        out += _entry(path, stat.S_IFDIR | 0o755, inode, b"")
        inode += 1
    for path, (permissions, content) in files.items():
        out += _entry(path, stat.S_IFREG | permissions, inode, content)
        inode += 1
    out += _entry(_TRAILER, 0, 0, b"")
    return bytes(out)


def _entry(path: str, mode: int, inode: int, content: bytes) -> bytes:
    name = path.encode() + b"\0"
    # ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
    numbers = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
    header = b"070701" + b"".join(b"%08x" % number for number in numbers)
    return _padded(header + name) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
