"""BPF objects: opened, loaded, attached, and gone when this process is.

    with BpfObject("exec") as program:
        program.initial(".data", State).root = 42
        program.load()
        program.attach("agent_fork")

An object is a file that was compiled when the package was built (src/agentcgroup/bpf). Programs are held by links and
descriptors of this process only, nothing is pinned: however the process ends, the kernel removes them. That is true
of a forked child as well, which inherits the descriptors unless it executes another program.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import select
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from agentcgroup.kernel import btf, libbpf
from agentcgroup.kernel.bpf_info import ProgramInfo, program_info
from agentcgroup.kernel.closing import Closing
from agentcgroup.kernel.libbpf import BpfError, Libbpf, Obstacle

Struct = TypeVar("Struct", bound=ctypes.Structure)

FOLDER = Path(__file__).parents[1] / "bpf"
_STATUS = Path("proc/self/status")
_ATTACH_TYPES = {"tp_btf": 23, "fentry": 24}  # enum bpf_attach_type, include/uapi/linux/bpf.h
_SYS_ADMIN, _PERFMON, _BPF = 1 << 21, 1 << 38, 1 << 39


def object_path(name: str) -> Path:
    """The compiled object ``name``; BpfError when this installation was built without it."""
    path = FOLDER / f"{name}.bpf.o"
    if path.is_file():
        return path
    raise BpfError(
        Obstacle.NO_OBJECT,
        f"this installation has no {path.name}: there was no clang when it was built",
        "install clang 14 or newer (apt-get install clang) and install agentcgroup again (a checkout: make setup)",
    )


def check(root: Path = Path("/")) -> None:
    """Whether BPF objects can be loaded here, by all that can be told without trying; BpfError says why not."""
    if not (root / btf.KERNEL_BTF).is_file():
        raise BpfError(
            Obstacle.NO_BTF,
            f"the kernel has no type information (no /{btf.KERNEL_BTF})",
            "use a kernel built with CONFIG_DEBUG_INFO_BTF=y",
        )
    if not may_load(_effective(root)):
        raise BpfError(
            Obstacle.NO_CAPABILITY, "this process may not load BPF programs that look on", libbpf.CAPABILITY_FIX
        )
    libbpf.load()


def may_load(capabilities: int) -> bool:
    """Whether this mask of effective capabilities lets a process load tracing programs (Linux 5.8)."""
    return bool(capabilities & _SYS_ADMIN) or (capabilities & (_BPF | _PERFMON)) == _BPF | _PERFMON


class Map:
    """A map of a loaded object; keys and values are bytes in the kernel's layout."""

    def __init__(self, library: Libbpf, handle: int) -> None:
        self._library = library
        self._handle = handle
        self.key_size = int(library.c.bpf_map__key_size(handle))
        self.value_size = int(library.c.bpf_map__value_size(handle))  # bytes; of one CPU in a per-CPU map

    def fileno(self) -> int:
        """The map's descriptor."""
        return int(self._library.c.bpf_map__fd(self._handle))

    def resize(self, entries: int) -> None:
        """Set the number of entries, or the bytes of a ring (a power of two, at least a page); before load."""
        if result := self._library.c.bpf_map__set_max_entries(self._handle, entries):
            raise self._library.refusal(f"make a map of {entries} entries", result)

    def share(self, descriptor: int) -> None:
        """Be the map behind ``descriptor``, of another object and of the same shape; before load."""
        if result := self._library.c.bpf_map__reuse_fd(self._handle, descriptor):
            raise self._library.refusal("share a map", result)

    def get(self, key: bytes = bytes(4)) -> bytes | None:
        """The value of ``key``, None when there is none."""
        return self._read(key, self.value_size)

    def totals(self) -> tuple[int, ...]:
        """Of a per-CPU map whose value is counters of 64 bits, the first entry's: their sums over all CPUs."""
        count = self.value_size // 8
        data = self._read(bytes(4), self.value_size * self._library.c.libbpf_num_possible_cpus()) or b""
        return tuple(map(sum, zip(*struct.iter_unpack(f"={count}Q", data), strict=True)))

    def put(self, key: bytes, value: bytes) -> None:
        """Set ``key`` to ``value``, atomically for the programs (a single-element .data: not)."""
        if len(key) != self.key_size or len(value) != self.value_size:
            raise ValueError(f"the map takes {self.key_size} bytes for {self.value_size}")
        if result := self._library.c.bpf_map_update_elem(self.fileno(), key, value, 0):
            raise self._library.refusal("change a map", result)

    def delete(self, key: bytes) -> bool:
        """Remove ``key``; False when it was not there."""
        return int(self._library.c.bpf_map_delete_elem(self.fileno(), key)) == 0

    def _read(self, key: bytes, size: int) -> bytes | None:
        if len(key) != self.key_size:
            raise ValueError(f"the map's keys are {self.key_size} bytes")
        buffer = ctypes.create_string_buffer(size)
        return None if self._library.c.bpf_map_lookup_elem(self.fileno(), key, buffer) else buffer.raw


class BpfObject(Closing):
    """A BPF object file; see the module's text for its life."""

    def __init__(self, name: str | Path) -> None:
        """Open the object ``name``, or the one in a file; BpfError when it, libbpf or what the kernel must offer is
        missing."""
        check()
        self._library = libbpf.load()
        path = name if isinstance(name, Path) else object_path(name)
        self.name = path.name
        self._handle: int | None = self._library.c.bpf_object__open_file(os.fsencode(path), None)
        if not self._handle:
            raise self._library.refusal(f"open {path.name}")
        c = self._library.c
        self._programs = _named(self._handle, c.bpf_object__next_program, c.bpf_program__name)
        handles = _named(self._handle, c.bpf_object__next_map, c.bpf_map__name)
        # libbpf calls the global data exec.data or the like; the section's name is enough here.
        self._map_handles = {name[name.rfind(".") if "." in name else 0 :]: it for name, it in handles.items()}
        self.maps = {name: Map(self._library, handle) for name, handle in self._map_handles.items()}
        self._links: dict[str, int] = {}

    @property
    def programs(self) -> tuple[str, ...]:
        """The names of its programs."""
        return tuple(self._programs)

    def initial(self, section: str, of: type[Struct]) -> Struct:
        """The global data of ``section`` (".data", ".rodata"), which is one struct, or the callbacks of a
        SEC ".struct_ops.link" by their name; to be set before ``load``."""
        size = ctypes.c_size_t()
        place = self._library.c.bpf_map__initial_value(self._map_handles[section], ctypes.byref(size))
        if not place or size.value != ctypes.sizeof(of):
            raise BpfError(
                Obstacle.NO_OBJECT,
                f"{self.name} has {size.value} bytes in {section}, not {ctypes.sizeof(of)}: it is of another version",
                "install agentcgroup again (a checkout: make setup)",
            )
        return of.from_address(place)

    def live(self, section: str, of: type[Struct]) -> Struct:
        """The same after ``load``, in the memory that the programs use; loads and stores of 8 bytes are whole.

        (libbpf 1.4 does not map it into this process; Linux 5.5 and newer let us.)
        """
        size = (ctypes.sizeof(of) + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE
        return of.from_buffer(mmap.mmap(self.maps[section].fileno(), size))

    def has_target(self, program: str) -> bool:
        """Whether this kernel has the function or tracepoint that ``program`` (SEC "fentry/…", "tp_btf/…") is for."""
        section = self._library.c.bpf_program__section_name(self._programs[program]).decode()
        kind, _, target = section.partition("/")
        number = int(self._library.c.libbpf_find_vmlinux_btf_id(target.encode(), _ATTACH_TYPES[kind]))
        self._library.take_log()  # it warns of what is not there
        return number > 0

    def leave_out(self, program: str) -> None:
        """Do not load ``program``: what it needs is not in this kernel."""
        self._library.c.bpf_program__set_autoload(self._programs[program], False)

    def load(self) -> None:
        """Hand all programs to the kernel's verifier and make the maps."""
        self._library.take_log()
        if result := self._library.c.bpf_object__load(self._handle):
            raise self._library.refusal(f"load {self.name}", result)

    def attach(self, program: str) -> None:
        """Let ``program`` run from now on, until ``close`` or the end of this process."""
        link = self._library.c.bpf_program__attach(self._programs[program])
        if not link:
            raise self._library.refusal(f"attach {program} of {self.name}")
        self._links[program] = link

    def descriptor(self, program: str) -> int:
        """The descriptor of ``program`` after ``load``; it is this object's. Negative for one that was left out."""
        return int(self._library.c.bpf_program__fd(self._programs[program]))

    def attach_operations(self, name: str) -> None:
        """Let the kernel use the callbacks ``name`` from now on, until ``close`` or the end of this process."""
        link = self._library.c.bpf_map__attach_struct_ops(self._map_handles[name])
        if not link:
            raise self._library.refusal(f"attach {name} of {self.name}")
        self._links[name] = link

    def run_iterator(self, program: str) -> bytes:
        """Run an iterator (SEC "iter/…") over all its kernel objects once; returns what it wrote."""
        self.attach(program)
        try:
            descriptor = self._library.c.bpf_iter_create(self._library.c.bpf_link__fd(self._links[program]))
            if descriptor < 0:
                raise self._library.refusal(f"run {program} of {self.name}", descriptor)
            with os.fdopen(descriptor, "rb") as file:
                return file.read()
        finally:
            self._library.c.bpf_link__destroy(self._links.pop(program))

    def info(self) -> dict[str, ProgramInfo]:
        """What the kernel says of each loaded program: verified instructions, misses, run time if it is counted."""
        found = {}
        for name, handle in self._programs.items():
            descriptor = self._library.c.bpf_program__fd(handle)
            if descriptor >= 0:
                found[name] = program_info(self._library, descriptor)
        return found

    def close(self) -> None:
        """Detach and unload all; may be called again. Its maps must not be used afterwards."""
        for link in self._links.values():
            self._library.c.bpf_link__destroy(link)
        if self._handle:
            self._library.c.bpf_object__close(self._handle)
            self._handle = None
        for names in (self._links, self._programs, self._map_handles, self.maps):
            names.clear()  # libbpf has freed what they stand for


class RingBuffer:
    """The reading end of a ring map.

    Its descriptor polls readable when the kernel has woken us since the last ``consume``: records submitted without a
    wake-up do not show. (libbpf's own descriptor would show them or not, by chance.)
    """

    def __init__(self, source: Map) -> None:
        self._library = libbpf.load()
        self._records: list[bytes] = []
        keep, copy = self._records.append, ctypes.string_at

        def receive(context: int, address: int, size: int) -> int:
            keep(copy(address, size))
            return 0

        self._callback = libbpf.RingCallback(receive)  # kept for as long as the C side may call it
        self._handle: int | None = self._library.c.ring_buffer__new(source.fileno(), self._callback, None, None)
        if not self._handle:
            raise self._library.refusal("read a ring buffer")
        self._epoll = select.epoll()
        self._epoll.register(source.fileno(), select.EPOLLIN | select.EPOLLET)

    def fileno(self) -> int:
        """An epoll descriptor, for asyncio's add_reader or select."""
        return self._epoll.fileno()

    def consume(self) -> list[bytes]:
        """All records that are there, oldest first; does not wait."""
        self._epoll.poll(0)  # before: a wake-up that comes while we read must show afterwards
        result = self._library.c.ring_buffer__consume(self._handle)
        if result < 0:
            raise self._library.refusal("read a ring buffer", result)
        records = self._records.copy()
        self._records.clear()
        return records

    def close(self) -> None:
        """Let go of it; may be called again."""
        self._epoll.close()
        if self._handle:
            self._library.c.ring_buffer__free(self._handle)
            self._handle = None


def _named(
    parent: int, following: Callable[[int, int | None], int | None], name_of: Callable[[int], bytes]
) -> dict[str, int]:
    found: dict[str, int] = {}
    handle = following(parent, None)
    while handle:
        found[name_of(handle).decode()] = handle
        handle = following(parent, handle)
    return found


def _effective(root: Path) -> int:
    for line in (root / _STATUS).read_text(errors="replace").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0
