"""Probes of what BPF needs: type information, capabilities, sched_ext, memcg struct_ops, libbpf."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

from agentcgroup.errors import HostError
from agentcgroup.kernel import btf
from agentcgroup.kernel.features.feature import Feature, effective_capabilities, present

_CAP_SYS_ADMIN, _CAP_BPF = 1 << 21, 1 << 39
_LIBBPF = (1, 4)
_SCHED_EXT_FIX = "use Linux 6.12 or newer built with CONFIG_SCHED_CLASS_EXT=y, or the lab"
_LATER = "not used by this version"  # these prepare the enforcers in the kernel


def type_information(root: Path) -> Feature:
    """Whether the kernel carries its own type information, which portable BPF objects need."""
    enables = f"BPF programs that fit this kernel ({_LATER})"
    path = root / btf.KERNEL_BTF
    if present(path):
        return Feature("btf", True, f"/{btf.KERNEL_BTF}", enables)
    return Feature("btf", False, "none", enables, "use a kernel built with CONFIG_DEBUG_INFO_BTF=y")


def capabilities(root: Path) -> Feature:
    """Whether this process may load BPF programs."""
    enables = f"loading BPF programs ({_LATER})"
    held = effective_capabilities(root)
    if held & _CAP_SYS_ADMIN:
        return Feature("cap-bpf", True, "CAP_SYS_ADMIN", enables)
    if held & _CAP_BPF:
        return Feature("cap-bpf", True, "CAP_BPF", enables)
    return Feature(
        "cap-bpf", False, "neither CAP_BPF nor CAP_SYS_ADMIN", enables, "run as root, or grant CAP_BPF (Linux 5.8)"
    )


def sched_ext(root: Path) -> Feature:
    """Whether schedulers can be loaded (CONFIG_SCHED_CLASS_EXT, Linux 6.12)."""
    enables = f"slowing a call in the scheduler ({_LATER})"
    if present(root / "sys/kernel/sched_ext"):
        return Feature("sched-ext", True, "/sys/kernel/sched_ext", enables)
    return Feature("sched-ext", False, "this kernel has none", enables, _SCHED_EXT_FIX)


def sched_ext_btf(root: Path) -> Feature:
    """Whether the kernel's BTF describes the functions of sched_ext as they are."""
    enables = f"loading schedulers ({_LATER})"
    blob = _kernel_btf(root)
    if blob is None or not btf.named_types(blob, ["sched_ext_ops"]):
        return Feature("sched-ext-btf", False, "no sched_ext in the BTF", enables, _SCHED_EXT_FIX)
    found = btf.function_params(blob, btf.SCHED_EXT_PARAMETERS)
    wrong = sorted(name for name, count in btf.SCHED_EXT_PARAMETERS.items() if found[name] != count)
    if not wrong:
        return Feature("sched-ext-btf", True, "sound", enables)
    fix = "use a kernel whose BTF was made by pahole 1.32 or newer, or the lab"
    return Feature("sched-ext-btf", False, f"unsound: {', '.join(wrong)}", enables, fix)


def memcg_struct_ops(root: Path) -> Feature:
    """Whether BPF can take part in memory decisions of a cgroup (memcg_bpf_ops, in no release up to 7.3)."""
    enables = f"delays in the kernel's own reclaim path ({_LATER})"
    blob = _kernel_btf(root)
    if blob is not None and btf.named_types(blob, ["memcg_bpf_ops"]):
        return Feature("memcg-struct-ops", True, "memcg_bpf_ops", enables)
    fix = "needs a kernel with the memcg_bpf_ops patches"
    return Feature("memcg-struct-ops", False, "no memcg_bpf_ops in the BTF", enables, fix)


def libbpf(root: Path) -> Feature:
    """Whether libbpf is installed and new enough: before 1.4 a scheduler outlives its killed loader."""
    enables = f"loading BPF programs ({_LATER})"
    version = _libbpf_version()
    wanted = ".".join(map(str, _LIBBPF))
    fix = f"install libbpf {wanted} or newer (Debian: libbpf1 from backports; or LIBBPF=/path/to/libbpf.so.1)"
    if version is None:
        return Feature("libbpf", False, "not installed", enables, fix)
    text = ".".join(map(str, version))
    return Feature("libbpf", version >= _LIBBPF, text, enables, "" if version >= _LIBBPF else fix)


def _libbpf_version() -> tuple[int, int] | None:
    try:
        library = ctypes.CDLL(os.environ.get("LIBBPF") or "libbpf.so.1")
        return int(library.libbpf_major_version()), int(library.libbpf_minor_version())
    except (OSError, AttributeError):  # not installed, or older than 0.6
        return None


def _kernel_btf(root: Path) -> bytes | None:
    try:
        return (root / btf.KERNEL_BTF).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HostError(f"cannot read the kernel's BTF: {error.strerror}") from None


#: Feature name -> probe, in the order of the table.
PROBES: dict[str, Callable[[Path], Feature]] = {
    "btf": type_information,
    "cap-bpf": capabilities,
    "sched-ext": sched_ext,
    "sched-ext-btf": sched_ext_btf,
    "memcg-struct-ops": memcg_struct_ops,
    "libbpf": libbpf,
}
