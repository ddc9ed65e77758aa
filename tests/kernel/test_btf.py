"""The BTF reader on crafted blobs, on damaged ones, and on this machine's kernel."""

import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.errors import HostError
from agentcgroup.kernel import btf
from tests.kernel.made_btf import Types

INT, PTR, ARRAY, STRUCT, ENUM, FWD, FUNC, PROTO, VAR, DATASEC, DECL_TAG, ENUM64 = (
    1,
    2,
    3,
    4,
    6,
    7,
    12,
    13,
    14,
    15,
    17,
    19,
)


def make_btf() -> bytes:
    """A blob with one type of each size, a struct, two functions and a function whose prototype is missing."""
    strings = bytearray(b"\0")
    types = bytearray()

    def name(text: str) -> int:
        strings.extend(text.encode() + b"\0")
        return len(strings) - len(text) - 1

    def add(kind: int, vlen: int, text: str, target: int, extra: bytes) -> None:
        types.extend(struct.pack("<III", name(text) if text else 0, kind << 24 | vlen, target) + extra)

    add(INT, 0, "int", 4, bytes(4))  # 1
    add(PTR, 0, "", 1, b"")  # 2
    add(ARRAY, 0, "", 0, bytes(12))  # 3
    add(STRUCT, 2, "sched_ext_ops", 8, bytes(24))  # 4
    add(ENUM, 3, "colours", 4, bytes(24))  # 5
    add(PROTO, 2, "", 1, bytes(16))  # 6
    add(FUNC, 0, "two_params", 6, b"")  # 7
    add(PROTO, 0, "", 0, b"")  # 8
    add(FUNC, 0, "no_params", 8, b"")  # 9
    add(VAR, 0, "variable", 1, bytes(4))  # 10
    add(DATASEC, 1, ".data", 4, bytes(12))  # 11
    add(DECL_TAG, 0, "bpf_kfunc", 7, bytes(4))  # 12
    add(ENUM64, 1, "wide", 8, bytes(12))  # 13
    add(FWD, 0, "only_declared", 0, b"")  # 14
    add(FUNC, 0, "lost", 99, b"")  # 15
    header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings))
    return bytes(header + types + strings)


BLOB = make_btf()


def test_parameters_of_functions() -> None:
    names = ["two_params", "no_params", "absent", "lost", "sched_ext_ops"]
    expected = {"two_params": 2, "no_params": 0, "absent": None, "lost": None, "sched_ext_ops": None}
    assert btf.function_params(BLOB, names) == expected


def test_named_types_are_definitions() -> None:
    found = btf.named_types(BLOB, ["sched_ext_ops", "wide", "int", "two_params", "only_declared", "absent"])
    assert found == {"sched_ext_ops", "wide", "int"}


@given(st.binary(max_size=200) | st.integers(0, len(BLOB)).map(lambda n: BLOB[:n]))
def test_damaged_btf_is_one_error(blob: bytes) -> None:
    try:
        btf.function_params(blob, ["two_params"])
        btf.named_types(blob, ["int"])
    except HostError:
        return
    assert blob == BLOB


@given(st.integers(0, len(BLOB) - 1), st.integers(0, 255))
def test_one_flipped_byte_is_an_answer_or_one_error(place: int, value: int) -> None:
    blob = BLOB[:place] + bytes([value]) + BLOB[place + 1 :]
    try:
        found = btf.function_params(blob, ["two_params"])
    except HostError:
        return
    assert set(found) == {"two_params"}


def test_the_kernel_that_runs_this() -> None:
    path = Path("/") / btf.KERNEL_BTF
    if not path.exists():
        pytest.skip("this kernel has no BTF")
    blob = path.read_bytes()
    assert btf.function_params(blob, ["vfs_read", "no_such_function"]) == {"vfs_read": 4, "no_such_function": None}
    assert btf.named_types(blob, ["task_struct", "no_such_type"]) == {"task_struct"}


@pytest.mark.kernel
def test_the_kernel_of_the_lab_is_sound_for_sched_ext() -> None:
    blob = (Path("/") / btf.KERNEL_BTF).read_bytes()
    assert btf.function_params(blob, btf.SCHED_EXT_PARAMETERS) == btf.SCHED_EXT_PARAMETERS
    assert btf.named_types(blob, ["sched_ext_ops"]) == {"sched_ext_ops"}


def make_elf(content: bytes, name: bytes = b".BTF") -> bytes:
    """An ELF file of three sections: none, the names, and one with ``content``."""
    names = b"\0.shstrtab\0" + name + b"\0"
    body = 64
    table = body + len(names) + len(content)
    header = (
        b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, table, 0, 64, 0, 0, 64, 3, 1)
    )
    section = "<IIQQQQIIQQ"
    sections = struct.pack(section, *[0] * 10)
    sections += struct.pack(section, 1, 3, 0, 0, body, len(names), 0, 0, 1, 0)
    sections += struct.pack(section, 11, 1, 0, 0, body + len(names), len(content), 0, 0, 1, 0)
    return header + names + content + sections


def test_the_section_of_an_elf_file() -> None:
    assert btf.from_elf(make_elf(BLOB)) == BLOB
    with pytest.raises(HostError, match=r"no \.BTF section"):
        btf.from_elf(make_elf(BLOB, b".BTX"))
    with pytest.raises(HostError, match="not a 64-bit"):
        btf.from_elf(b"MZ")


@given(st.integers(0, 500))
def test_a_cut_elf_file_is_one_error(length: int) -> None:
    elf = make_elf(BLOB)
    if length >= len(elf):
        return
    with pytest.raises(HostError):
        btf.from_elf(elf[:length])


@given(st.integers(0, 9000))
def test_a_name_is_found_wherever_the_reading_is_cut(length: int) -> None:
    made = Types()
    made.number("x" * length, 4)
    made.number("wanted", 4)
    with tempfile.NamedTemporaryFile() as file:
        file.write(made.blob())
        file.flush()
        assert btf.may_have(Path(file.name), "wanted") is True
        assert btf.may_have(Path(file.name), "wante") is False
        assert btf.may_have(Path(file.name), "anted") is False


def test_members_of_structs_as_c_writes_them() -> None:
    made = Types()
    u32 = made.typedef("u32", made.const(made.number("unsigned int", 4)))
    node = made.struct("node", 8, {})
    members = {
        "count": (u32, 0),
        "next": (made.pointer(made.const(node)), 8),
        "call": (made.callback(0, made.pointer(0), u32), 16),
        "plain": (node, 24),
        "": (node, 32),
    }
    made.struct("thing", 40, members)
    (layout,) = btf.layouts(made.blob(), ["thing", "absent", "u32"]).values()
    assert layout.size == 40
    assert {name: (member.offset, member.type) for name, member in layout.members.items()} == {
        "count": (0, "unsigned int"),
        "next": (8, "struct node *"),
        "call": (16, "void (void *, unsigned int)"),
        "plain": (24, "struct node"),
    }


def test_a_type_that_is_of_itself_is_damage() -> None:
    made = Types()
    made.struct("thing", 8, {"loop": (2, 0)})
    made.pointer(2)
    with pytest.raises(HostError, match="of itself"):
        btf.layouts(made.blob(), ["thing"])
