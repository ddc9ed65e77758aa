"""What the kernel says of loaded BPF programs (struct bpf_prog_info in include/uapi/linux/bpf.h)."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from dataclasses import dataclass

from agentcgroup.kernel.libbpf import Libbpf


@dataclass(frozen=True, slots=True)
class ProgramInfo:
    """One loaded program."""

    number: int  # the kernel's id of it
    name: str  # at most 15 characters
    verified_instructions: int  # that the verifier walked through, its measure of complexity (Linux 5.16)
    instructions: int  # of the program itself, as the kernel rewrote it
    missed: int  # runs that were skipped because the program was running on that CPU already (Linux 5.12)
    runs: int  # counted only while sysctl kernel.bpf_stats_enabled is 1 (Linux 5.1)
    run_ns: int


class _Info(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("tag", ctypes.c_uint8 * 8),
        ("jited_prog_len", ctypes.c_uint32),
        ("xlated_prog_len", ctypes.c_uint32),
        ("jited_prog_insns", ctypes.c_uint64),
        ("xlated_prog_insns", ctypes.c_uint64),
        ("load_time", ctypes.c_uint64),
        ("created_by_uid", ctypes.c_uint32),
        ("nr_map_ids", ctypes.c_uint32),
        ("map_ids", ctypes.c_uint64),
        ("name", ctypes.c_char * 16),
        ("ifindex", ctypes.c_uint32),
        ("gpl_compatible", ctypes.c_uint32),
        ("netns_dev", ctypes.c_uint64),
        ("netns_ino", ctypes.c_uint64),
        ("nr_jited_ksyms", ctypes.c_uint32),
        ("nr_jited_func_lens", ctypes.c_uint32),
        ("jited_ksyms", ctypes.c_uint64),
        ("jited_func_lens", ctypes.c_uint64),
        ("btf_id", ctypes.c_uint32),
        ("func_info_rec_size", ctypes.c_uint32),
        ("func_info", ctypes.c_uint64),
        ("nr_func_info", ctypes.c_uint32),
        ("nr_line_info", ctypes.c_uint32),
        ("line_info", ctypes.c_uint64),
        ("jited_line_info", ctypes.c_uint64),
        ("nr_jited_line_info", ctypes.c_uint32),
        ("line_info_rec_size", ctypes.c_uint32),
        ("jited_line_info_rec_size", ctypes.c_uint32),
        ("nr_prog_tags", ctypes.c_uint32),
        ("prog_tags", ctypes.c_uint64),
        ("run_time_ns", ctypes.c_uint64),
        ("run_cnt", ctypes.c_uint64),
        ("recursion_misses", ctypes.c_uint64),
        ("verified_insns", ctypes.c_uint32),
        ("attach_btf_obj_id", ctypes.c_uint32),
    )


def program_info(library: Libbpf, descriptor: int) -> ProgramInfo:
    """The program behind a descriptor; BpfError when it is none."""
    info, size = _Info(), ctypes.c_uint32(ctypes.sizeof(_Info))  # an older kernel fills in less and says so in size
    if result := library.c.bpf_obj_get_info_by_fd(descriptor, ctypes.byref(info), ctypes.byref(size)):
        raise library.refusal("describe a BPF program", result)
    return ProgramInfo(
        number=info.id,
        name=info.name.decode(errors="replace"),
        verified_instructions=info.verified_insns,
        instructions=info.xlated_prog_len // 8,
        missed=info.recursion_misses,
        runs=info.run_cnt,
        run_ns=info.run_time_ns,
    )


def loaded_programs(library: Libbpf) -> Iterator[ProgramInfo]:
    """All BPF programs in the kernel now, whoever loaded them; needs CAP_SYS_ADMIN (none are seen without)."""
    number = ctypes.c_uint32()
    while library.c.bpf_prog_get_next_id(number.value, ctypes.byref(number)) == 0:
        descriptor = library.c.bpf_prog_get_fd_by_id(number.value)
        if descriptor >= 0:  # else it went away meanwhile
            try:
                yield program_info(library, descriptor)
            finally:
                os.close(descriptor)
