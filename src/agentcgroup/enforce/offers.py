"""Which enforcers this host seems to offer, told from files and capabilities in a few milliseconds.

Nothing is loaded, so that it can be asked at the start of every session. What looks well here the kernel may refuse all
the same; whoever loads it then says why, and chooses again without it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agentcgroup.enforce.choice import ENFORCERS
from agentcgroup.errors import HostError
from agentcgroup.kernel import bpf, libbpf, memcg_type, scx
from agentcgroup.kernel.hierarchy import find_unified_mount
from agentcgroup.kernel.libbpf import BpfError, Obstacle

_FIRST_USER_NAMESPACE = 0xEFFFFFFD  # PROC_USER_INIT_INO, include/linux/proc_ns.h
_DETECTION = "pressure"  # the object that all but cgroup take their signal from


def offers(root: Path = Path("/")) -> dict[str, str | None]:
    """Each of ENFORCERS -> None, or the sentence why this host does not offer it."""
    probes = {  # the reason that is hardest to mend comes first, and is the one that is told
        "memcg_bpf": (_cgroups, _memcg_bpf, _programs),
        "scx": (_cgroups, _scx, _programs),
        "bpf": (_cgroups, _programs),
        "cgroup": (_cgroups,),
    }
    answers: dict[Callable[[Path], None], str | None] = {}
    for probe in dict.fromkeys(probe for name in ENFORCERS for probe in probes[name]):
        answers[probe] = _sentence(probe, root)
    return {name: next((why for probe in probes[name] if (why := answers[probe])), None) for name in ENFORCERS}


def _sentence(probe: Callable[[Path], None], root: Path) -> str | None:
    try:
        probe(root)
    except HostError as error:
        return str(error)
    except OSError as error:
        return f"this host cannot be looked at: {error}"
    return None


def _cgroups(root: Path) -> None:
    if find_unified_mount(root) is None:
        raise HostError("cgroup v2 is not mounted", "see `agentcgroup doctor`")


def _programs(root: Path) -> None:
    """What all programs in the kernel need."""
    here = root / "proc/self/ns/user"
    if here.exists() and here.stat().st_ino != _FIRST_USER_NAMESPACE:
        raise BpfError(Obstacle.NO_CAPABILITY, "this process is in a user namespace", libbpf.CAPABILITY_FIX)
    bpf.check(root)
    bpf.object_path(_DETECTION)


def _scx(root: Path) -> None:
    bpf.object_path(scx.check(root))


def _memcg_bpf(root: Path) -> None:
    if not memcg_type.may_be_here(root):
        raise BpfError(Obstacle.NO_BTF, memcg_type.NONE, memcg_type.FIX)
    bpf.object_path("memcg")
