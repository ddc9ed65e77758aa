"""Small real files of the formats that the lab reads: ELF, BTF, bzImage, .deb and apt repositories."""

from __future__ import annotations

import hashlib
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path


def elf(sections: Mapping[str, bytes]) -> bytes:
    """A 64-bit ELF file with these sections and a string table."""
    names = b"\0"
    offsets: list[tuple[int, int, int]] = []
    body = b""
    for name, content in [*sections.items(), (".shstrtab", b"")]:
        at = len(names)
        names += name.encode() + b"\0"
        offsets.append((at, 64 + len(body), len(content)))
        body += content
    at, start, _ = offsets.pop()
    body += names
    offsets.append((at, start, len(names)))
    table = struct.pack("<IIQQQQIIQQ", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    for at, start, length in offsets:
        table += struct.pack("<IIQQQQIIQQ", at, 1, 0, 0, start, length, 0, 0, 1, 0)
    ident = b"\x7fELF\x02\x01\x01" + b"\0" * 9
    header = struct.pack(
        "<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, 64 + len(body), 0, 64, 0, 0, 64, len(offsets) + 1, len(offsets)
    )
    return ident + header + body + table


def btf(functions: Mapping[str, int]) -> bytes:
    """BTF of functions that return void and take so many (unnamed) parameters."""
    strings = b"\0"
    types = b""
    for number, (name, parameters) in enumerate(functions.items()):
        at = len(strings)
        strings += name.encode() + b"\0"
        types += struct.pack("<III", 0, 13 << 24 | parameters, 0) + b"\0" * 8 * parameters
        types += struct.pack("<III", at, 12 << 24, 2 * number + 1)
    header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings))
    return header + types + strings


def bzimage(payload: bytes, version: str) -> bytes:
    """A bzImage of one set-up sector around an already packed ``payload``."""
    setup = bytearray(1024)
    setup[0x1F1] = 1
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", setup, 0x206, 0x20F)
    struct.pack_into("<H", setup, 0x20E, 0x100)
    setup[0x300 : 0x300 + len(version) + 12] = version.encode() + b" (someone)\0\0"
    struct.pack_into("<II", setup, 0x248, 0, len(payload))
    return bytes(setup) + payload


def zstd_packed(content: bytes) -> bytes:
    done = subprocess.run(["zstd", "-qc"], input=content, capture_output=True, check=True)
    return done.stdout


def kernel_image(version: str, functions: Mapping[str, int]) -> bytes:
    """A bzImage as Debian builds it, of an ELF file that has nothing but BTF."""
    unpacked = elf({".BTF": btf(functions)})
    return bzimage(zstd_packed(unpacked) + struct.pack("<I", len(unpacked)), version)


def deb(directory: Path, name: str, version: str, files: Mapping[str, bytes]) -> Path:
    """A .deb made by dpkg-deb."""
    tree = directory / f"{name}.tree"
    control = (
        f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: t <t@example.org>\nDescription: t\n"
    )
    for path, content in {"DEBIAN/control": control.encode(), **files}.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(content)
    target = directory / f"{name}_{version}_amd64.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-b", tree, target], check=True, capture_output=True)
    return target


def repository(root: Path, suite: str, debs: list[Path]) -> None:
    """An (unsigned) apt repository of these packages below ``root``; they must be in ``root`` already."""
    index = b""
    for path in debs:
        control = subprocess.run(["dpkg-deb", "-f", path], capture_output=True, check=True).stdout
        content = path.read_bytes()
        index += control + b"Filename: %s\nSize: %d\nSHA256: %s\n\n" % (
            str(path.relative_to(root)).encode(),
            len(content),
            hashlib.sha256(content).hexdigest().encode(),
        )
    packages = root / f"dists/{suite}/main/binary-amd64/Packages"
    packages.parent.mkdir(parents=True, exist_ok=True)
    packages.write_bytes(index)
    release = (
        f"Suite: {suite}\nCodename: {suite}\nArchitectures: amd64\nComponents: main\n"
        "Date: Sat, 21 Nov 2026 00:00:00 UTC\n"
        f"SHA256:\n {hashlib.sha256(index).hexdigest()} {len(index)} main/binary-amd64/Packages\n"
    )
    (root / f"dists/{suite}/Release").write_text(release)
