"""Probes of what BPF needs: type information, capabilities, sched_ext, memcg struct_ops, libbpf, objects, a trial."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agentcgroup.errors import HostError
from agentcgroup.kernel import bpf, btf, memcg_type, pressure, scx, tracking
from agentcgroup.kernel import libbpf as binding
from agentcgroup.kernel.features.feature import Feature, effective_capabilities, present

_CAP_SYS_ADMIN = 1 << 21
_SCHED_EXT_FIX = "use Linux 6.12 or newer built with CONFIG_SCHED_CLASS_EXT=y, or the lab"
_SCHEDULER = "dividing the CPU, and slowing a call, in the scheduler (--scheduler sched_ext, --enforcer scx)"
_ENABLES = "programs of ours in the kernel, for all rows below"


def type_information(root: Path) -> Feature:
    """Whether the kernel carries its own type information, which portable BPF objects need."""
    path = root / btf.KERNEL_BTF
    if present(path):
        return Feature("btf", True, f"/{btf.KERNEL_BTF}", _ENABLES)
    return Feature("btf", False, "none", _ENABLES, "use a kernel built with CONFIG_DEBUG_INFO_BTF=y")


def capabilities(root: Path) -> Feature:
    """Whether this process may load BPF programs that look on (CAP_BPF and CAP_PERFMON, Linux 5.8)."""
    held = effective_capabilities(root)
    if bpf.may_load(held):
        detail = "CAP_SYS_ADMIN" if held & _CAP_SYS_ADMIN else "CAP_BPF and CAP_PERFMON"
        return Feature("cap-bpf", True, detail, _ENABLES)
    return Feature(
        "cap-bpf", False, "neither CAP_SYS_ADMIN nor CAP_BPF with CAP_PERFMON", _ENABLES, binding.CAPABILITY_FIX
    )


def sched_ext(root: Path) -> Feature:
    """Whether schedulers can be loaded (CONFIG_SCHED_CLASS_EXT, Linux 6.12), and which one is."""
    enables = _SCHEDULER
    if not present(root / "sys/kernel/sched_ext"):
        return Feature("sched-ext", False, "this kernel has none", enables, _SCHED_EXT_FIX)
    other = scx.enabled(root)
    if other is None:
        return Feature("sched-ext", True, "/sys/kernel/sched_ext", enables)
    if other.name == scx.NAME:
        return Feature("sched-ext", True, "ours is enabled", enables)
    if other.open:
        return Feature("sched-ext", True, f"{other.name} is enabled, and lets ours attach below it", enables)
    return Feature(
        "sched-ext", False, f"{other.name} is enabled, and lets none attach below it", enables, scx.OTHER_FIX
    )


def sched_ext_btf(root: Path) -> Feature:
    """Whether the kernel's BTF describes the functions of sched_ext as they are."""
    enables = _SCHEDULER
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
    enables = "delays and protection in the kernel's own reclaim path (--enforcer memcg_bpf)"
    blob = _kernel_btf(root)
    if blob is None:
        return Feature("memcg-struct-ops", False, "no type information at all", enables, memcg_type.FIX)
    try:
        return Feature("memcg-struct-ops", True, str(memcg_type.understand(blob)), enables)
    except binding.BpfError as error:
        return Feature("memcg-struct-ops", False, error.message, enables, error.fix)


def libbpf(root: Path) -> Feature:
    """Whether libbpf is installed and new enough; agentcgroup.kernel.libbpf says what for."""
    try:
        return Feature("libbpf", True, binding.load().version_text, _ENABLES)
    except binding.BpfError as error:
        return Feature("libbpf", False, error.message, _ENABLES, error.fix)


def objects(root: Path) -> Feature:
    """Whether this installation was built with its BPF objects."""
    try:
        return Feature("bpf-objects", True, bpf.object_path(tracking.OBJECT).name, _ENABLES)
    except binding.BpfError as error:
        return Feature("bpf-objects", False, "not built", _ENABLES, error.fix)


def exec_tracking(root: Path) -> Feature:
    """Whether the kernel takes the exec tracker, by attaching it for a moment to no cgroup at all."""
    enables = "seeing every program a session starts, and processes that leave it"
    return _trial(root, "exec-tracking", enables, tracking.attempt)


def stall_detection(root: Path) -> Feature:
    """Whether the kernel takes the programs that tell who stalls for memory, by attaching them for a moment."""
    enables = "hearing at once who stalls for memory (--enforcer bpf)"
    return _trial(root, "stall-detection", enables, pressure.attempt)


def _trial(root: Path, name: str, enables: str, attempt: Callable[[], int]) -> Feature:
    if root != Path("/"):
        return Feature(name, None, "only this machine can be tried", enables)
    try:
        count = attempt()
    except binding.BpfError as error:
        return Feature(name, False, " | ".join([error.message, *error.log[-1:]]), enables, error.fix)
    return Feature(name, True, f"attached {count} programs, and let go of them", enables)


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
    "bpf-objects": objects,
    "exec-tracking": exec_tracking,
    "stall-detection": stall_detection,
}
