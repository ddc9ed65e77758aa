"""Makes file trees that look like the /proc, /sys and /run of other hosts."""

from collections.abc import Mapping
from pathlib import Path

UNIFIED_LINE = "30 23 0:26 / /sys/fs/cgroup {options} - cgroup2 cgroup2 rw\n"


def make_host(
    root: Path,
    *,
    mountinfo: str = "",
    cgroup: str = "0::/\n",
    release: str = "6.8.0-generic",
    files: Mapping[str, str | bytes] | None = None,
) -> Path:
    """A host below ``root`` with these texts in /proc/self and further ``files``; returns ``root``."""
    texts: dict[str, str | bytes] = {
        "proc/self/mountinfo": mountinfo,
        "proc/self/cgroup": cgroup,
        "proc/sys/kernel/osrelease": f"{release}\n",
        **(files or {}),
    }
    for name, content in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape"))
    return root


def cgroup_files(
    path: str, controllers: str, *, inner: bool = True, limits: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The interface files of one cgroup directory at ``path`` (relative to the host's root)."""
    files = {"cgroup.procs": "", "cgroup.controllers": f"{controllers}\n", "cgroup.subtree_control": f"{controllers}\n"}
    if inner:
        files |= {"cgroup.type": "domain\n", "cgroup.freeze": "0\n", "cgroup.kill": ""}
        if "memory" in controllers:
            files |= {"memory.current": "0\n", "memory.peak": "0\n", "memory.max": "max\n"}
    return {f"{path}/{name}": text for name, text in {**files, **(limits or {})}.items()}
