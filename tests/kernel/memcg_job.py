"""Loads the memcg object and prints how far it came, with all that libbpf said: run by test_memcg_ops.py, in a mount
namespace where the kernel's type information is made up."""

from __future__ import annotations

import ctypes
import json
import sys

from agentcgroup.kernel import libbpf
from agentcgroup.kernel.libbpf import BpfError
from agentcgroup.kernel.memcg_ops import MemcgOps

_BYTES = 1 << 14


def main() -> None:
    lines: list[str] = []
    buffer = ctypes.create_string_buffer(_BYTES)
    libc = ctypes.CDLL(None)

    def keep(level: int, form: int, arguments: int) -> int:
        libc.vsnprintf(buffer, ctypes.c_size_t(_BYTES), ctypes.c_void_p(form), ctypes.c_void_p(arguments))
        lines.extend(buffer.value.decode(errors="replace").splitlines())
        return 0

    library = libbpf.load()
    callback = libbpf._Print(keep)
    library.c.libbpf_set_print(callback)  # the debug lines too, which the product does not keep
    error = ""
    try:
        MemcgOps().close()
    except BpfError as caught:
        error = caught.message
    json.dump({"error": error, "lines": lines}, sys.stdout)


if __name__ == "__main__":
    main()
