"""The system's libbpf, found and opened through ctypes; what keeps BPF from working here, as one typed error.

At least 1.4: older ones cannot attach a scheduler so that it dies with its loader (found with 1.1.2), nor change a
program's settings before it is loaded (bpf_map__initial_value). Nothing of libbpf is shipped and nothing is compiled.
Sources: libbpf's public headers libbpf.h and bpf.h, whose functions keep their types from 1.0 on.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from agentcgroup.errors import HostError

OVERRIDE = "AGENTCGROUP_LIBBPF"  # environment variable: the file to take instead of the system's
SONAME = "libbpf.so.1"
OLDEST = (1, 4)
_ENOTSUPP = 524  # include/linux/errno.h: not for user space, which has no word for it, but BPF returns it
_LOG_LINES = 200
_LOG_BYTES = 1 << 16
_INSTALL = "install libbpf 1.4 or newer (Debian 13: libbpf1; Debian 12: libbpf1 from bookworm-backports)"
_OVERRIDE_FIX = f"{_INSTALL}, or name another file: {OVERRIDE}=/path/to/libbpf.so.1"


class Obstacle(StrEnum):
    """Why BPF cannot be used; stable names."""

    NO_LIBRARY = "no-library"
    OLD_LIBRARY = "old-library"
    NO_BTF = "no-btf"
    NO_CAPABILITY = "no-capability"
    NO_OBJECT = "no-object"
    OTHER_NAMESPACE = "other-namespace"
    REFUSED = "refused"  # by the kernel or its verifier


class BpfError(HostError):
    """BPF cannot be used: the sentence and the fix as in every error, why, and the last lines libbpf said."""

    def __init__(self, obstacle: Obstacle, message: str, fix: str, log: tuple[str, ...] = ()) -> None:
        super().__init__(message, fix)
        self.obstacle = obstacle
        self.log = log


_POINTER, _INT, _U32, _TEXT = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32, ctypes.c_char_p
_SIZE_POINTER = ctypes.POINTER(ctypes.c_size_t)
_Print = ctypes.CFUNCTYPE(_INT, _INT, _POINTER, _POINTER)
#: What ring_buffer__new calls for each record: context, address and size of the record; 0 to go on.
RingCallback = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER, ctypes.c_size_t)

#: Function -> result and parameters. ctypes checks and converts by these; without them it would cut pointers to 32 bit.
_PROTOTYPES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "libbpf_version_string": (_TEXT, ()),
    "libbpf_set_print": (_POINTER, (_Print,)),
    "libbpf_num_possible_cpus": (_INT, ()),
    "bpf_object__open_file": (_POINTER, (_TEXT, _POINTER)),
    "bpf_object__load": (_INT, (_POINTER,)),
    "bpf_object__close": (None, (_POINTER,)),
    "bpf_object__next_program": (_POINTER, (_POINTER, _POINTER)),
    "bpf_object__next_map": (_POINTER, (_POINTER, _POINTER)),
    "bpf_program__name": (_TEXT, (_POINTER,)),
    "bpf_program__fd": (_INT, (_POINTER,)),
    "bpf_program__set_autoload": (_INT, (_POINTER, ctypes.c_bool)),
    "bpf_program__section_name": (_TEXT, (_POINTER,)),
    "libbpf_find_vmlinux_btf_id": (_INT, (_TEXT, _INT)),
    "bpf_program__attach": (_POINTER, (_POINTER,)),
    "bpf_link_create": (_INT, (_INT, _INT, _INT, _POINTER)),
    "bpf_link__fd": (_INT, (_POINTER,)),
    "bpf_link__destroy": (_INT, (_POINTER,)),
    "bpf_iter_create": (_INT, (_INT,)),
    "bpf_map__name": (_TEXT, (_POINTER,)),
    "bpf_map__fd": (_INT, (_POINTER,)),
    "bpf_map__key_size": (_U32, (_POINTER,)),
    "bpf_map__value_size": (_U32, (_POINTER,)),
    "bpf_map__set_max_entries": (_INT, (_POINTER, _U32)),
    "bpf_map__reuse_fd": (_INT, (_POINTER, _INT)),
    "bpf_map__set_autocreate": (_INT, (_POINTER, ctypes.c_bool)),
    "bpf_map__initial_value": (_POINTER, (_POINTER, _SIZE_POINTER)),
    "bpf_map__attach_struct_ops": (_POINTER, (_POINTER,)),
    "bpf_map_lookup_elem": (_INT, (_INT, _POINTER, _POINTER)),
    "bpf_map_update_elem": (_INT, (_INT, _POINTER, _POINTER, ctypes.c_uint64)),
    "bpf_map_delete_elem": (_INT, (_INT, _POINTER)),
    "bpf_enable_stats": (_INT, (_INT,)),
    "bpf_prog_get_next_id": (_INT, (_U32, ctypes.POINTER(_U32))),
    "bpf_prog_get_fd_by_id": (_INT, (_U32,)),
    "bpf_obj_get_info_by_fd": (_INT, (_INT, _POINTER, ctypes.POINTER(_U32))),
    "ring_buffer__new": (_POINTER, (_INT, RingCallback, _POINTER, _POINTER)),
    "ring_buffer__consume": (_INT, (_POINTER,)),
    "ring_buffer__free": (None, (_POINTER,)),
}


class Libbpf:
    """An open libbpf: ``c`` has its functions, typed; ``version`` is major and minor."""

    def __init__(self, library: ctypes.CDLL, version: tuple[int, int]) -> None:
        self.c = library
        self.version = version
        for name, (result, parameters) in _PROTOTYPES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, parameters
        self.version_text = library.libbpf_version_string().decode().removeprefix("v")
        self._lines: deque[str] = deque(maxlen=_LOG_LINES)
        # Kept: libbpf goes on calling it for as long as this process lives.
        self._print = _Print(_printer(self._lines.append))
        library.libbpf_set_print(self._print)

    def take_log(self) -> tuple[str, ...]:
        """The warnings since the last call, oldest first, at most the last 200 lines."""
        lines = tuple(self._lines)
        self._lines.clear()
        return lines

    def refusal(self, what: str, result: int = 0) -> BpfError:
        """The error for a call that failed: ``result`` is negative errno, or 0 when errno was left in its place."""
        number = -result if result < 0 else ctypes.get_errno()
        log = self.take_log()
        if number in {errno.EPERM, errno.EACCES} and not any("BEGIN PROG LOAD LOG" in line for line in log):
            return BpfError(Obstacle.NO_CAPABILITY, f"the kernel does not let us {what}", CAPABILITY_FIX, log)
        why = "it does not have that" if number == _ENOTSUPP else os.strerror(number)
        message = f"the kernel or libbpf {self.version_text} refuses to {what}: {why}"
        return BpfError(Obstacle.REFUSED, message, "report this with the lines that libbpf said", log)


CAPABILITY_FIX = (
    "run as root of the host, or grant CAP_BPF and CAP_PERFMON (Linux 5.8); in a user namespace they do not count"
)


def load() -> Libbpf:
    """The libbpf to use: $AGENTCGROUP_LIBBPF if set, else the system's. BpfError says what is wrong with it."""
    return _load(os.environ.get(OVERRIDE) or SONAME)


@functools.cache
def _load(name: str) -> Libbpf:
    try:
        library = ctypes.CDLL(name, use_errno=True)
    except OSError as error:
        why = f"{name} cannot be opened" if name != SONAME else "libbpf is not installed"
        raise BpfError(Obstacle.NO_LIBRARY, why, _OVERRIDE_FIX, (str(error),)) from None
    try:
        version = int(library.libbpf_major_version()), int(library.libbpf_minor_version())
    except AttributeError:  # libbpf 0.5 and older, or another library
        raise BpfError(Obstacle.OLD_LIBRARY, f"{name} does not say a version", _OVERRIDE_FIX) from None
    if version < OLDEST:
        text = ".".join(map(str, version))
        raise BpfError(Obstacle.OLD_LIBRARY, f"libbpf {text} is too old", _OVERRIDE_FIX)
    try:
        return Libbpf(library, version)
    except AttributeError as error:
        raise BpfError(Obstacle.OLD_LIBRARY, f"{name} is not a whole libbpf: {error}", _OVERRIDE_FIX) from None


def _printer(keep: Callable[[str], None]) -> Callable[[int, int, int], int]:
    libc = ctypes.CDLL(None)
    buffer = ctypes.create_string_buffer(_LOG_BYTES)

    def write(level: int, form: int, arguments: int) -> int:
        if level == 0:  # LIBBPF_WARN; what the verifier said is among it when a program is refused
            # A va_list is handed over by address on x86-64 and arm64.
            libc.vsnprintf(buffer, ctypes.c_size_t(_LOG_BYTES), ctypes.c_void_p(form), ctypes.c_void_p(arguments))
            for line in buffer.value.decode(errors="replace").splitlines():
                keep(line)
        return 0

    return write
