"""Type information for tests: BTF put together type by type, and with it a kernel that has memcg_bpf_ops.

A C compiler could make it as well, but the guest of the lab has better things to do.
"""

from __future__ import annotations

import struct

INT, POINTER, STRUCT, TYPEDEF, CONST, FUNC_PROTO = 1, 2, 4, 8, 10, 13
_SIGNED, _BOOL = 1, 4


class Types:
    """Types are added in order; each method returns the number of its type. 0 is void."""

    def __init__(self) -> None:
        self._types = bytearray()
        self._strings = bytearray(b"\0")
        self._last = 0

    def number(self, name: str, size: int, encoding: int = 0) -> int:
        return self._add(INT, 0, name, size, struct.pack("<I", encoding << 24 | size * 8))

    def pointer(self, to: int) -> int:
        return self._add(POINTER, 0, "", to)

    def typedef(self, name: str, of: int) -> int:
        return self._add(TYPEDEF, 0, name, of)

    def const(self, of: int) -> int:
        return self._add(CONST, 0, "", of)

    def struct(self, name: str, size: int, members: dict[str, tuple[int, int]]) -> int:
        """``members``: name -> type and offset in bytes."""
        rest = b"".join(struct.pack("<III", self._name(n), of, at * 8) for n, (of, at) in members.items())
        return self._add(STRUCT, len(members), name, size, rest)

    def callback(self, returns: int, *parameters: int) -> int:
        """A pointer to a function."""
        rest = b"".join(struct.pack("<II", 0, of) for of in parameters)
        return self.pointer(self._add(FUNC_PROTO, len(parameters), "", returns, rest))

    def callbacks(self, name: str, members: dict[str, int]) -> int:
        """A struct of pointers, in the order given."""
        return self.struct(name, 8 * len(members), {n: (of, 8 * at) for at, (n, of) in enumerate(members.items())})

    def blob(self) -> bytes:
        lengths = len(self._types), len(self._types), len(self._strings)
        return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, *lengths) + self._types + self._strings

    def _name(self, text: str) -> int:
        if not text:
            return 0
        self._strings += text.encode() + b"\0"
        return len(self._strings) - len(text.encode()) - 1

    def _add(self, kind: int, vlen: int, name: str, target: int, rest: bytes = b"") -> int:
        self._types += struct.pack("<III", self._name(name), kind << 24 | vlen, target) + rest
        self._last += 1
        return self._last


FIRST = ("handle_cgroup_online", "handle_cgroup_offline", "below_low", "below_min", "get_high_delay_ms")
NEWER = ("handle_cgroup_online", "handle_cgroup_offline", "below_low", "below_min", "memcg_charged", "memcg_uncharged")

#: Where the members of the made kernel's types are: nowhere near those of a real one. Type -> member -> bytes.
PLACES = {
    "cgroup_subsys_state": {"cgroup": 72, "parent": 136},
    "cgroup": {"kn": 264, "self": 520},
    "kernfs_node": {"id": 328},
    "page_counter": {"usage": 200, "low": 208, "min": 216},
    "mem_cgroup": {"css": 1000, "memory": 2000},
}


def kernel_with(members: tuple[str, ...], charged_returns: str = "u32", name: str = "memcg_bpf_ops") -> bytes:
    """The BTF of a kernel whose memcg_bpf_ops has these members, as BPF can implement it."""
    made = Types()
    numbers = {
        "u32": made.typedef("u32", made.number("unsigned int", 4)),
        "int": made.number("int", 4, _SIGNED),
        "bool": made.typedef("bool", made.number("_Bool", 1, _BOOL)),
        "u64": made.number("unsigned long", 8),
        "s64": made.number("long", 8, _SIGNED),
        "void": 0,
    }
    memcg = _memory_cgroup(made, numbers)
    returns = {"below_low": "bool", "below_min": "bool", "get_high_delay_ms": "u32", "memcg_charged": charged_returns}
    parameters = {"memcg_charged": (memcg, numbers["u32"]), "memcg_uncharged": (memcg, numbers["u32"])}
    callbacks = {
        member: made.callback(numbers[returns.get(member, "void")], *parameters.get(member, (memcg,)))
        for member in members
    }
    operations = made.callbacks(name, callbacks)
    header = made.struct("bpf_struct_ops_common_value", 8, {"state": (numbers["int"], 4)})
    made.struct(f"bpf_struct_ops_{name}", 64 + 8 * len(members), {"common": (header, 0), "data": (operations, 64)})
    return made.blob()


def _memory_cgroup(made: Types, numbers: dict[str, int]) -> int:
    """The types that are read, each where PLACES says; returns a pointer to struct mem_cgroup."""

    def at(name: str, size: int, **members: int) -> int:
        return made.struct(name, size, {member: (of, PLACES[name][member]) for member, of in members.items()})

    node = at("kernfs_node", 400, id=numbers["u64"])
    # Two types that know each other: the pointer that comes first is to the number that the struct will have.
    css = at("cgroup_subsys_state", 240, cgroup=node + 4, parent=node + 3)
    assert css == node + 1
    pointer_to_node = made.pointer(node)
    assert made.pointer(css) == node + 3
    pointer_to_cgroup = made.pointer(node + 5)
    assert pointer_to_cgroup == node + 4
    at("cgroup", 800, kn=pointer_to_node, self=css)
    atomic = made.typedef("atomic_long_t", made.struct("", 8, {"counter": (numbers["s64"], 0)}))
    counter = at("page_counter", 300, usage=atomic, low=numbers["u64"], min=numbers["u64"])
    return made.pointer(at("mem_cgroup", 3000, css=css, memory=counter))
