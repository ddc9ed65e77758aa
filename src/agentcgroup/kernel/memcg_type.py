"""struct memcg_bpf_ops, as far as a kernel has it: what of it is understood, read from the kernel's BTF.

The type is that of a published patch series for the memory controller; no released kernel has it (looked at up to
Linux 7.3). The series has had two generations: the first asks get_high_delay_ms how long to hold a task that was
charged, the newer one calls memcg_charged and memcg_uncharged. A later one may differ again, so nothing is taken from
its name alone: each member counts by its prototype, and only what is understood is filled in.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from agentcgroup.kernel import btf
from agentcgroup.kernel.libbpf import BpfError, Obstacle

TYPE = "memcg_bpf_ops"
FIX = f"use a kernel with the {TYPE} patches, or another enforcer"
NONE = f"this kernel has no {TYPE} (no release has, up to Linux 7.3)"

_NUMBERS = frozenset(("unsigned int", "int", "unsigned long", "long"))
_ANY: frozenset[str] = frozenset()
#: The callbacks used -> what they may return for ours to be right; _ANY: ours returns 0, which is good for any type.
CALLBACKS = {
    "handle_cgroup_online": _ANY,
    "handle_cgroup_offline": _ANY,
    "below_low": frozenset(("_Bool",)),
    "below_min": frozenset(("_Bool",)),
    "get_high_delay_ms": _NUMBERS,
    "memcg_charged": _ANY,
}
_DELAYS = "get_high_delay_ms"
_CHARGED = "memcg_charged"
_CHARGED_DELAYS = frozenset(("unsigned int", "unsigned long"))  # an int could be an error, which would fail the charge


class Generation(StrEnum):
    """Of the patch series."""

    FIRST = "first"
    NEWER = "newer"


@dataclass(frozen=True, slots=True)
class Understood:
    """What of a kernel's memcg_bpf_ops is used here."""

    generation: Generation
    callbacks: frozenset[str]  # names of CALLBACKS that it calls
    delays: str  # the one of them that holds a task back; empty when none does
    protects: bool  # one of them decides what reclaim may take
    others: tuple[str, ...]  # members that are not used: unknown, or of an unknown prototype

    def __str__(self) -> str:
        able = ["delays"] * bool(self.delays) + ["protection"] * self.protects
        unused = f"; not used: {', '.join(self.others)}" if self.others else ""
        return f"{TYPE}, {self.generation} generation: {' and '.join(able)}{unused}"


def understand(blob: bytes) -> Understood:
    """What a kernel with this BTF can be asked; BpfError when that is nothing which would slow or protect anybody."""
    layout = btf.layouts(blob, [TYPE]).get(TYPE)
    if layout is None:
        raise BpfError(Obstacle.NO_BTF, NONE, FIX)
    prototypes = {name: member.type for name, member in layout.members.items()}
    callbacks = frozenset(name for name, prototype in prototypes.items() if _is_understood(name, prototype))
    delays = _DELAYS if _DELAYS in callbacks else ""
    if not delays and _CHARGED in callbacks and _returns(prototypes[_CHARGED]) in _CHARGED_DELAYS:
        delays = _CHARGED
    others = tuple(name for name in prototypes if name not in callbacks)
    if not delays and "below_low" not in callbacks:
        named = ", ".join(others) or "it is empty"
        raise BpfError(Obstacle.NO_BTF, f"this kernel's {TYPE} is of a generation that is not known ({named})", FIX)
    generation = Generation.NEWER if _CHARGED in prototypes else Generation.FIRST
    return Understood(generation, callbacks, delays, "below_low" in callbacks, others)


def may_be_here(root: Path = Path("/")) -> bool:
    """Whether the kernel may have the type, told within milliseconds; ``understand`` says for sure."""
    return btf.may_have(root / btf.KERNEL_BTF, TYPE)


def _is_understood(name: str, prototype: str) -> bool:
    """Whether the kernel calls ``name`` as ours expects: with the cgroup first; more parameters do no harm."""
    if name not in CALLBACKS:
        return False
    first = prototype.partition(" (")[2].rstrip(")").split(", ")[0]
    return first == "struct mem_cgroup *" and (not CALLBACKS[name] or _returns(prototype) in CALLBACKS[name])


def _returns(prototype: str) -> str:
    return prototype.partition(" (")[0]
