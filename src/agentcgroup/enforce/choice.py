"""Which enforcer a session gets: the best that the host offers, or the one that was asked for. Pure.

memcg_bpf  delays and protection in the kernel's own reclaim path; in no released kernel (kernel/memcg_ops.py)
bpf        detection by BPF, and a freeze by the controller: of the brakes the quickest, and the one that makes nobody
           wait for a lock for long (docs/reference/brakes.md)
scx        the same detection, and a small share of the CPU for who is held (the sched_ext scheduler)
cgroup     the files of cgroup v2 alone; always there, and what it cannot do on a host its results say
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agentcgroup.errors import UsageError

ENFORCERS = ("memcg_bpf", "bpf", "scx", "cgroup")  #: best first
LAST = "cgroup"
AUTO = "auto"
_NOT_LOOKED_AT = "nobody looked whether this host offers it"


@dataclass(frozen=True, slots=True)
class Choice:
    """The enforcer of a session, one of ENFORCERS, and in a sentence or more why it is this one."""

    enforcer: str
    why: str


def choose(wanted: str, available: Mapping[str, str | None]) -> Choice:
    """The enforcer for ``wanted``, which is ``auto`` or one of ENFORCERS; UsageError for another word.

    ``available`` has None for each that can be had, else the sentence why not. One that was asked for and cannot be
    had is replaced by the best that can: a session is worth more than the way in which it is held.
    """
    if wanted not in (AUTO, *ENFORCERS):
        raise UsageError(f"{wanted!r} is not an enforcer", f"choose {AUTO}, {', '.join(ENFORCERS)}")
    missing = {name: available.get(name, _NOT_LOOKED_AT) for name in ENFORCERS}
    if wanted != AUTO and missing[wanted] is None:
        return Choice(wanted, "it was asked for")
    best = next((name for name in ENFORCERS if missing[name] is None), LAST)
    if wanted == AUTO:
        lacking = ENFORCERS[: ENFORCERS.index(best)]
        if not lacking and missing[best] is None:
            return Choice(best, "this host offers it, and it is the best there is")
        lost = [*lacking, best] if missing[best] is not None else lacking
        return Choice(best, _told(lost, missing))
    return Choice(best, f"{wanted} was asked for; {_told([wanted], missing)}")


def _told(names: list[str] | tuple[str, ...], missing: Mapping[str, str | None]) -> str:
    """Why these cannot be had, those with the same reason together."""
    by_reason: dict[str, list[str]] = {}
    for name in names:
        by_reason.setdefault(missing[name] or "", []).append(name)
    return "; ".join(f"no {' or '.join(group)}: {reason}" for reason, group in by_reason.items())
