"""The few facts needed from a kernel's type information (BTF).

BTF is a header, a table of types and a table of strings (Documentation/bpf/btf.rst; struct
btf_header and btf_type in include/uapi/linux/btf.h). Types are numbered from 1 in order; each is
12 bytes and, by kind, some more. Nothing but what is asked for is decoded, in one pass of less than
0.1 s for a whole kernel (6 MB).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agentcgroup.errors import HostError

KERNEL_BTF = Path("sys/kernel/btf/vmlinux")  # below the root directory
_MAGIC = 0xEB9F
_HEADER = struct.Struct("<HBBIIIII")
_TYPE = struct.Struct("<III")
_ENUMS = (6, 19)  # of 32 and of 64 bits
_STRUCT, _FUNC, _FUNC_PROTO = 4, 12, 13
_POINTER, _ARRAY = 2, 3
_TRANSPARENT = frozenset((8, 9, 10, 11, 18))  # typedef, volatile, const, restrict, type tag: what they are of counts
_KEYWORDS = {4: "struct ", 5: "union ", 6: "enum ", 7: "struct ", 19: "enum "}
_DEEPEST = 32
_NAMED = frozenset((1, 4, 5, 6, 8, 19))  # int, struct, union, enum, typedef, enum64
# Bytes that follow a type, by kind: fixed, and for each of its vlen members.
_FIXED_EXTRA = {1: 4, 3: 12, 14: 4, 17: 4}
_MEMBER_EXTRA = {4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}
_KINDS = 20

#: What the kernel's own functions must look like for a sched_ext program to load: kernels built with pahole 1.30
#: keep an implicit last parameter in the BTF of some, which libbpf then refuses ("func_proto incompatible").
SCHED_EXT_PARAMETERS = {"scx_bpf_create_dsq": 2, "scx_bpf_kick_cpu": 2, "scx_bpf_dsq_insert": 4}


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a struct: where it is, and its type as C writes it, without typedefs and qualifiers.

    ``unsigned int``, ``struct mem_cgroup *``; of a pointer to a function, ``_Bool (struct mem_cgroup *, int)``.
    """

    offset: int  # bytes
    type: str


@dataclass(frozen=True, slots=True)
class Layout:
    """A struct of the running kernel."""

    size: int  # bytes
    members: dict[str, Member]


def function_params(blob: bytes, names: Iterable[str]) -> dict[str, int | None]:
    """The number of parameters of each named function in raw BTF; None for a function that it does not have.

    Raises HostError when ``blob`` is not sound BTF.
    """
    wanted = {name.encode(): name for name in names}
    protos: dict[str, int] = {}  # function name -> type id of its prototype
    parameters: dict[int, int] = {}  # type id -> number of parameters
    strings = _strings(blob)
    for number, kind, vlen, name, target, _ in _types(blob):
        if kind == _FUNC_PROTO:
            parameters[number] = vlen
        elif kind == _FUNC and (text := _string(strings, name)) in wanted:
            protos[wanted[text]] = target
    return {name: parameters.get(protos[name]) if name in protos else None for name in wanted.values()}


def named_types(blob: bytes, names: Iterable[str]) -> frozenset[str]:
    """Those of ``names`` that are a struct, union, enum, typedef or integer type in raw BTF."""
    wanted = {name.encode(): name for name in names}
    strings = _strings(blob)
    found = {_string(strings, name) for _, kind, _, name, _, _ in _types(blob) if kind in _NAMED and name}
    return frozenset(wanted[text] for text in wanted.keys() & found)


def layouts(blob: bytes, names: Iterable[str]) -> dict[str, Layout]:
    """Those of the structs ``names`` that raw BTF defines; members without a name are left out. HostError as above."""
    wanted = {name.encode(): name for name in names}
    strings = _strings(blob)
    starts, places = array("L", [0]), {}
    for _, kind, vlen, name, size, extra in _types(blob):
        starts.append(extra - _TYPE.size)
        if kind == _STRUCT and (text := _string(strings, name)) in wanted:
            places[wanted[text]] = (size, vlen, extra)
    found = {}
    for struct_name, (size, vlen, place) in places.items():
        members = {}
        for text, type_id, bits in struct.iter_unpack("<III", blob[place : place + 12 * vlen]):
            members[_string(strings, text).decode(errors="replace")] = Member(
                (bits & 0xFFFFFF) // 8, _text(blob, starts, type_id)
            )
        members.pop("", None)
        found[struct_name] = Layout(size, members)
    return found


def may_have(path: Path, name: str) -> bool:
    """Whether a BTF file may define ``name``: only its strings are looked through, in about 2 ms for a whole kernel.

    True may be wrong (something else has this name), False is not. HostError for unsound BTF, OSError as from open.
    """
    wanted, before = b"\0" + name.encode() + b"\0", b""
    with path.open("rb", buffering=0) as file:
        head = file.read(_HEADER.size)
        if len(head) < _HEADER.size:
            raise _damaged("it is too short")
        magic, version, _, header, _, _, start, left = _HEADER.unpack(head)
        if magic != _MAGIC or version != 1:
            raise _damaged("its magic or version is unknown")
        file.seek(header + start)
        # In pieces: sysfs gives a page at a time, and keeping 2 MB costs several times what looking at them does.
        while left > 0 and (piece := file.read(min(left, 1 << 16))):
            if wanted in before + piece:
                return True
            before = piece[-len(wanted) :] if len(piece) >= len(wanted) else before + piece
            left -= len(piece)
    return False


def enum_values(blob: bytes, enum: str, *names: str) -> tuple[int, ...]:
    """The values of ``names`` in the enum ``enum`` (of 32 or 64 bits); HostError when this kernel lacks one."""
    found: dict[str, int] = {}
    strings = _strings(blob)
    for kind, members in _enums(blob, strings, enum.encode()):
        for text, low, *high in struct.iter_unpack("<III" if _MEMBER_EXTRA[kind] == 12 else "<II", members):
            found[_string(strings, text).decode(errors="replace")] = low | (high[0] << 32 if high else 0)
    for name in names:
        if name not in found:
            raise HostError(f"this kernel has no {name}", "use a newer one, such as `agentcgroup lab`")
    return tuple(found[name] for name in names)


def read() -> bytes:
    """The BTF of the running kernel; HostError when it has none."""
    try:
        return (Path("/") / KERNEL_BTF).read_bytes()
    except OSError as error:
        raise HostError("the kernel has no type information", "use one with CONFIG_DEBUG_INFO_BTF=y") from error


def from_elf(elf: bytes) -> bytes:
    """The ``.BTF`` section of a 64-bit little-endian ELF file, such as an uncompressed vmlinux."""
    try:
        if elf[:6] != b"\x7fELF\x02\x01":
            raise HostError("not a 64-bit little-endian ELF file", "give an uncompressed vmlinux")
        (table,) = struct.unpack_from("<Q", elf, 0x28)
        size, count, names = struct.unpack_from("<HHH", elf, 0x3A)
        sections = [struct.unpack_from("<IIQQQQ", elf, table + index * size) for index in range(count)]
        for name, _, _, _, offset, length in sections:
            start = sections[names][4] + name
            if elf[start : elf.index(b"\0", start)] == b".BTF":
                return elf[offset : offset + length]
    except (struct.error, IndexError, ValueError):
        raise HostError("the ELF file is damaged", "fetch it again") from None
    raise HostError("the ELF file has no .BTF section", "use a kernel built with CONFIG_DEBUG_INFO_BTF=y")


def _layout(blob: bytes) -> tuple[int, int, int, int]:
    """Start and end of the types, start and end of the strings."""
    if len(blob) < _HEADER.size:
        raise _damaged("it is too short")
    magic, version, _, header, type_off, type_len, str_off, str_len = _HEADER.unpack_from(blob)
    if magic != _MAGIC or version != 1:
        raise _damaged("its magic or version is unknown")
    types, strings = header + type_off, header + str_off
    if header < _HEADER.size or types + type_len > len(blob) or strings + str_len > len(blob):
        raise _damaged("its tables lie outside of it")
    return types, types + type_len, strings, strings + str_len


def _strings(blob: bytes) -> memoryview:
    _, _, start, end = _layout(blob)
    return memoryview(blob)[start:end]


def _string(strings: memoryview, offset: int) -> bytes:
    # Names are short; a bounded slice avoids copying the whole table for each.
    return bytes(strings[offset : offset + 128]).partition(b"\0")[0]


def _enums(blob: bytes, strings: memoryview, enum: bytes) -> Iterable[tuple[int, bytes]]:
    """Kind and members of each enum of this name."""
    for _, kind, vlen, name, _, extra in _types(blob):
        if kind in _ENUMS and _string(strings, name) == enum:
            yield kind, blob[extra : extra + _MEMBER_EXTRA[kind] * vlen]


def _text(blob: bytes, starts: array[int], number: int, depth: int = 0) -> str:
    """The type ``number`` as C writes it; see Member."""
    if number == 0:
        return "void"
    if number >= len(starts) or depth > _DEEPEST:
        raise _damaged(f"there is no type {number}, or it is of itself")
    place = starts[number]
    name, info, target = _TYPE.unpack_from(blob, place)
    kind, vlen = info >> 24 & 31, info & 0xFFFF
    if kind in _TRANSPARENT:
        return _text(blob, starts, target, depth + 1)
    if kind == _POINTER:
        of = _text(blob, starts, target, depth + 1)
        return of if of.endswith(")") else f"{of} *"
    if kind == _ARRAY:
        (element,) = struct.unpack_from("<I", blob, place + _TYPE.size)
        return f"{_text(blob, starts, element, depth + 1)} []"
    if kind == _FUNC_PROTO:
        members = blob[place + _TYPE.size : place + _TYPE.size + 8 * vlen]
        parameters = [_text(blob, starts, type_id, depth + 1) for _, type_id in struct.iter_unpack("<II", members)]
        return f"{_text(blob, starts, target, depth + 1)} ({', '.join(parameters)})"
    return _KEYWORDS.get(kind, "") + _string(_strings(blob), name).decode(errors="replace")


def _types(blob: bytes) -> Iterable[tuple[int, int, int, int, int, int]]:
    """Of each type: its id, kind, vlen, the offset of its name, its size or target type, and where its rest begins."""
    position, end, _, _ = _layout(blob)
    number = 1
    while position < end:
        if position + _TYPE.size > end:
            raise _damaged(f"type {number} is cut off")
        name, info, target = _TYPE.unpack_from(blob, position)
        kind, vlen = info >> 24 & 31, info & 0xFFFF
        if not 0 < kind < _KINDS:
            raise _damaged(f"type {number} has the unknown kind {kind}")
        after = position + _TYPE.size + _FIXED_EXTRA.get(kind, 0) + _MEMBER_EXTRA.get(kind, 0) * vlen
        if after > end:
            raise _damaged(f"type {number} is cut off")
        yield number, kind, vlen, name, target, position + _TYPE.size
        position = after
        number += 1


def _damaged(why: str) -> HostError:
    return HostError(
        f"this is not sound BTF: {why}", "read it from /sys/kernel/btf/vmlinux or a vmlinux's .BTF section"
    )
