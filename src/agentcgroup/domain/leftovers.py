"""What a call leaves behind: which processes were started to stay. Pure.

The rule. When the command of a call has ended, a process that is still in its domain is *kept* if it was started to
stay, and killed otherwise. Started to stay means one of:

* it is in another session than the command (``setsid``, a daemon, a tmux server);
* it ignores SIGHUP and the command did not (``nohup``);
* one of its ancestors in the domain is kept.

A plain ``command &`` is none of these, and is killed. What is kept stays in the call's domain under the call's limits,
at most ``--keep-background`` long, and never longer than the session.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Leftover:
    """One process still there: ids as in /proc/PID/stat, and whether it ignores SIGHUP (SigIgn)."""

    pid: int
    ppid: int
    sid: int
    ignores_hangup: bool


def kept(leftovers: Iterable[Leftover], command_sid: int, command_ignored_hangup: bool) -> frozenset[int]:
    """The pids that stay, out of ``leftovers``; ``command_sid`` is the session id (setsid(2)) of the command."""
    by_pid = {leftover.pid: leftover for leftover in leftovers}
    stay = {
        leftover.pid
        for leftover in by_pid.values()
        if leftover.sid != command_sid or (leftover.ignores_hangup and not command_ignored_hangup)
    }
    grown = True
    while grown:
        below = {pid for pid, leftover in by_pid.items() if pid not in stay and leftover.ppid in stay}
        stay |= below
        grown = bool(below)
    return frozenset(stay)
