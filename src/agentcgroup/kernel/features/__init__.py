"""What this host offers to agentcgroup, what works because of it, and how to get the rest.

Each probe looks at one thing, changes nothing, and answers with a ``Feature``. ``root`` is the
directory that holds ``proc``, ``sys`` and ``run``; another one than ``/`` lets tests show odd hosts.
"""

from __future__ import annotations

from pathlib import Path

from agentcgroup.kernel.features import bpf, cgroups, system
from agentcgroup.kernel.features.feature import Feature, guarded

__all__ = ["Feature", "guarded", "survey"]


def survey(root: Path = Path("/")) -> list[Feature]:
    """All features of this host, in the order in which they matter. Never raises for an odd host."""
    plan = cgroups.planned(root)
    found = [
        guarded("cgroup-v2", lambda: cgroups.mounted(root)),
        guarded("delegation", lambda: cgroups.delegation(plan, root)),
    ]
    found += [
        guarded(f"{name}-controller", lambda name=name: cgroups.controller(name, plan, root))  # type: ignore[misc]
        for name in cgroups.CONTROLLERS
    ]
    found += [
        guarded(name, lambda name=name: cgroups.interface_file(name, plan, root))  # type: ignore[misc]
        for name in cgroups.FILES
    ]
    for name, probe in {**system.PROBES, **bpf.PROBES}.items():
        found.append(guarded(name, lambda probe=probe: probe(root)))  # type: ignore[misc]
    return found
