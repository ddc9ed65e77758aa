"""The programs of the memcg object in a kernel that has no memcg_bpf_ops: at a tracepoint whose first argument is a
memory cgroup too, as they are in the file. The kernel's verifier takes them there and they run; what they return is
not used.

The tracepoint memcg_flush_stats (seen in Linux 7.3) is passed whenever memory.stat of a cgroup is read.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from pathlib import Path

from agentcgroup.kernel.bpf import BpfObject, Map
from agentcgroup.kernel.memcg_ops import OBJECT, OPERATIONS, State
from agentcgroup.model import Priority

TRACEPOINT = "memcg_flush_stats"
_TRACING = 26  # BPF_PROG_TYPE_TRACING
_RAW_TRACEPOINT = 23  # BPF_TRACE_RAW_TP
_POINTER = ctypes.c_void_p


def opened() -> BpfObject:
    """The object before its loading, with all its programs at the tracepoint."""
    made = BpfObject(OBJECT)
    c = made._library.c
    c.bpf_program__set_type.argtypes = (_POINTER, ctypes.c_int)
    c.bpf_program__set_expected_attach_type.argtypes = (_POINTER, ctypes.c_int)
    c.bpf_program__set_attach_target.argtypes = (_POINTER, ctypes.c_int, ctypes.c_char_p)
    c.bpf_map__set_autocreate(made._map_handles[OPERATIONS], False)
    for name, handle in made._programs.items():
        assert c.bpf_program__set_type(handle, _TRACING) == 0, name
        assert c.bpf_program__set_expected_attach_type(handle, _RAW_TRACEPOINT) == 0, name
        assert c.bpf_program__set_attach_target(handle, 0, TRACEPOINT.encode()) == 0, name
    return made


class Elsewhere:
    """Programs of the object, attached to the tracepoint, with the maps they have anywhere."""

    def __init__(
        self,
        programs: Iterable[str],
        *,
        delay_ms: int = 2000,
        least_pages: int = 0,
        charged_delays: bool = False,
        pressed: Map | None = None,
    ) -> None:
        self.object = opened()
        if pressed is not None:
            self.object.maps["pressed"].share(pressed.fileno())
        state = self.object.initial(".data", State)
        state.delay_ms, state.least_pages, state.charged_delays = delay_ms, least_pages, charged_delays
        self.object.load()
        attach = self.object._library.c.bpf_program__attach_trace
        attach.restype, attach.argtypes = _POINTER, (_POINTER,)
        for name in programs:
            link = attach(self.object._programs[name])
            assert link, name
            self.object._links[name] = link

    def session(self, path: Path, rank: Priority) -> None:
        self.object.maps["sessions"].put(path.stat().st_ino.to_bytes(8, "little"), rank.to_bytes(4, "little"))

    def knows(self, path: Path) -> bool:
        return self.object.maps["sessions"].get(path.stat().st_ino.to_bytes(8, "little")) is not None

    def press(self, rank: Priority, until_ns: int) -> None:
        self.object.maps["pressed"].put(rank.to_bytes(4, "little"), until_ns.to_bytes(8, "little"))

    def close(self) -> None:
        self.object.close()
