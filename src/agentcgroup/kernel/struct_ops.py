"""Operations of ours for a struct of callbacks of the kernel (BPF struct_ops), attached to one cgroup.

libbpf 1.4 attaches operations to the whole machine only. So what it does for that is done here: the kernel's
value of the map is laid out by BTF, given to the kernel, and a link is made, but with the cgroup.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from contextlib import ExitStack
from pathlib import Path

from agentcgroup.kernel import btf, libbpf
from agentcgroup.kernel.bpf import Map
from agentcgroup.kernel.libbpf import BpfError, Obstacle

# How operations are attached to a cgroup, and nowhere else: as in the published series that allows it (for BPF in the
# OOM killer; the series of memcg_bpf_ops builds on it). BPF_LINK_CREATE with the map, the cgroup's descriptor as
# link_create.target_fd and BPF_F_CGROUP_FD in link_create.flags. No release has it, up to Linux 7.3: releases do not
# look at the two, and the link is for the whole machine (a test makes one). So programs must leave cgroups alone that
# they were not told of. The flag is a macro, hence not in BTF, and its number not compared with a kernel's header:
# where it is another one the link fails with EINVAL, and this is the line to change.
_CGROUP_FD = 1 << 7
_STRUCT_OPS = 44  # BPF_STRUCT_OPS of enum bpf_attach_type, include/uapi/linux/bpf.h (Linux 6.4)


class _LinkOptions(ctypes.Structure):
    """The head of struct bpf_link_create_opts, libbpf's bpf.h; the size says that there is no more."""

    _fields_ = (("sz", ctypes.c_size_t), ("flags", ctypes.c_uint32), ("unused", ctypes.c_uint32))


def value_of(blob: bytes, type_name: str, programs: dict[str, int]) -> bytes:
    """What the kernel takes as the value of a struct_ops map: the struct ``type_name`` behind a header of its own.

    ``blob`` is the kernel's BTF, ``programs`` the descriptors by member; all other members are 0. BpfError when the
    kernel has the struct but lets no BPF program implement it.
    """
    whole = f"bpf_struct_ops_{type_name}"
    found = btf.layouts(blob, [type_name, whole])
    if len(found) < 2 or "data" not in found[whole].members:
        raise BpfError(
            Obstacle.NO_BTF, f"BPF cannot implement {type_name} in this kernel", "use another one, or do without"
        )
    value = bytearray(found[whole].size)
    for member, descriptor in programs.items():
        offset = found[whole].members["data"].offset + found[type_name].members[member].offset
        struct.pack_into("=Q", value, offset, descriptor)
    return bytes(value)


def attach(operations: Map, value: bytes, cgroup: Path | None) -> int:
    """Give the kernel the ``value`` and have it ask for ``cgroup`` (None: all of the machine) from now on.

    Returns the link, a descriptor: when it is closed, by the end of the process too, so ends the asking. May be called
    again for another cgroup with the same value. BpfError says what the kernel refuses.
    """
    library = libbpf.load()
    library.take_log()
    result = library.c.bpf_map_update_elem(operations.fileno(), bytes(4), value, 0)
    if result and -result != errno.EBUSY:  # it has it already
        raise library.refusal("take the operations", result)
    options = _LinkOptions(ctypes.sizeof(_LinkOptions))
    with ExitStack() as stack:
        target = 0
        if cgroup is not None:
            target = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, target)
            options.flags = _CGROUP_FD
        link = int(library.c.bpf_link_create(operations.fileno(), target, _STRUCT_OPS, ctypes.byref(options)))
    if link < 0:
        raise library.refusal(f"attach operations to {cgroup or 'the machine'}", link)
    return link
