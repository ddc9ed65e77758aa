"""Processes as /proc shows them, and the few calls a supervisor needs beyond the standard library.

Every reader answers None (or nothing) for a process that has ended: it may do so at any time.
Sources: proc(5), pidfd_open(2) (5.3), pidfd_getfd(2) (5.6), prctl(2) PR_SET_CHILD_SUBREAPER (3.4), PR_SET_PDEATHSIG.
``proc`` is the directory that is /proc, for tests.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agentcgroup.errors import HostError

PROC = Path("/proc")
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PIDFD_GETFD = 438  # its number, the same everywhere
_PF_FORKNOEXEC = 0x40  # include/linux/sched.h
_GONE = (FileNotFoundError, ProcessLookupError, NotADirectoryError)


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """/proc/PID/stat. ``start_ticks`` since boot (SC_CLK_TCK per second) makes a pid unique over its reuse."""

    pid: int
    comm: str
    state: str  # R S D T t Z X I
    ppid: int
    pgid: int
    sid: int
    user_ticks: int
    system_ticks: int
    start_ticks: int
    forked_only: bool = False  # has not executed a program since its fork (PF_FORKNOEXEC of its flags)


@dataclass(frozen=True, slots=True)
class SignalMasks:
    """The signal sets of /proc/PID/status, as signal numbers."""

    blocked: frozenset[int]
    ignored: frozenset[int]
    caught: frozenset[int]


def stat(pid: int, proc: Path = PROC) -> ProcessStat | None:
    """The state and relations of a process."""
    text = _read(proc / str(pid) / "stat")
    if text is None:
        return None
    # comm is in parentheses and may itself hold spaces and parentheses: the last one closes it.
    head, _, rest = text.decode(errors="surrogateescape").rpartition(") ")
    fields = rest.split()
    if len(fields) < 20:
        return None
    comm = head.partition(" (")[2]
    ppid, pgid, sid = (int(field) for field in fields[1:4])
    user, system, start = (int(fields[index]) for index in (11, 12, 19))
    forked_only = bool(int(fields[6]) & _PF_FORKNOEXEC)
    return ProcessStat(pid, comm, fields[0], ppid, pgid, sid, user, system, start, forked_only)


def status_signals(pid: int | str = "self", proc: Path = PROC) -> SignalMasks | None:
    """Which signals a process blocks, ignores and catches."""
    text = _read(proc / str(pid) / "status")
    if text is None:
        return None
    masks = {"SigBlk": frozenset[int](), "SigIgn": frozenset[int](), "SigCgt": frozenset[int]()}
    for line in text.decode(errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name in masks:
            mask = int(value.strip() or "0", 16)
            masks[name] = frozenset(bit + 1 for bit in range(64) if mask >> bit & 1)
    return SignalMasks(masks["SigBlk"], masks["SigIgn"], masks["SigCgt"])


def cmdline(pid: int, proc: Path = PROC) -> tuple[str, ...] | None:
    """The arguments of a process (surrogateescape); empty for a kernel thread or a zombie.

    Unlike the other readers it needs the process's mmap lock: one that is preempted in the midst of a fork keeps it.
    """
    text = _read(proc / str(pid) / "cmdline")
    if text is None:
        return None
    return (
        tuple(part.decode(errors="surrogateescape") for part in text.removesuffix(b"\0").split(b"\0")) if text else ()
    )


def exe(pid: int, proc: Path = PROC) -> str | None:
    """The path of the executable; None too for a kernel thread or another user's process."""
    try:
        return str((proc / str(pid) / "exe").readlink())
    except OSError:
        return None


def pids(proc: Path = PROC) -> list[int]:
    """All processes that are visible, in ascending order."""
    return sorted(int(name) for entry in proc.iterdir() if (name := entry.name).isascii() and name.isdigit())


def descendants(pid: int, proc: Path = PROC) -> list[int]:
    """The processes below ``pid``, parents before children. A snapshot: what forks meanwhile may be missing."""
    children: dict[int, list[int]] = {}
    for other in pids(proc):
        found = stat(other, proc)
        if found is not None:
            children.setdefault(found.ppid, []).append(other)
    below: list[int] = []
    queue = list(children.get(pid, ()))
    while queue:
        below.append(queue[0])
        queue += children.get(queue.pop(0), ())
    return below


def pss_bytes(pid: int, proc: Path = PROC) -> int | None:
    """The proportional set size (smaps_rollup, 4.14); the resident set size where that cannot be read."""
    text = _read(proc / str(pid) / "smaps_rollup")
    for line in (text or b"").splitlines():
        name, _, value = line.partition(b":")
        if name == b"Pss":
            return int(value.split()[0]) * 1024
    statm = _read(proc / str(pid) / "statm")
    return int(statm.split()[1]) * os.sysconf("SC_PAGESIZE") if statm else None


def pss_sum_bytes(of: Iterable[int], proc: Path = PROC) -> int | None:
    """The sum of pss_bytes over those of the processes that still exist; None when none does."""
    sizes = [size for pid in of if (size := pss_bytes(pid, proc)) is not None]
    return sum(sizes) if sizes else None


def open_pidfd(pid: int) -> int | None:
    """A descriptor of a process that polls readable when it ends (5.3); None when it has ended already."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    except OSError as error:
        raise HostError(
            f"cannot watch process {pid}: {error.strerror}", "pidfd_open needs Linux 5.3 or newer"
        ) from None


def signal_pidfd(pidfd: int, number: int) -> bool:
    """Send a signal to the very process the descriptor stands for; False when it has ended."""
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    return True


def copy_descriptor(pid: int, number: int) -> int | None:
    """A descriptor of ours for the open file that is ``number`` in a process; needs the rights of ptrace(2).

    None when the process or the descriptor is gone, when it may not be had, and before Linux 5.6.
    """
    try:
        pidfd = open_pidfd(pid)
    except HostError:
        return None
    if pidfd is None:
        return None
    try:
        copy = int(ctypes.CDLL(None).syscall(_PIDFD_GETFD, pidfd, number, 0))  # close-on-exec
    finally:
        os.close(pidfd)
    return copy if copy >= 0 else None


def kill_descendants(pid: int, timeout: float = 5.0, proc: Path = PROC) -> int:
    """SIGKILL all processes below ``pid`` until none is left; returns how many were hit. For hosts without cgroups.

    They are stopped first, so that none forks away while the list is read. A subreaper finds those
    too that left their process group or session. Zombies are left for their parent to reap, and what
    became another user's is out of reach and stays. ``timeout`` (seconds) is how long those that were
    hit may take to go.
    """
    hit: set[int] = set()
    out_of_reach: set[int] = set()
    deadline = time.monotonic() + timeout
    while True:
        alive = [other for other in descendants(pid, proc) if other not in out_of_reach and _alive(other, proc)]
        fresh = [other for other in alive if other not in hit]
        if not alive or (not fresh and time.monotonic() >= deadline):
            return len(hit)
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for other in fresh:
                try:
                    os.kill(other, number)
                except ProcessLookupError:
                    pass
                except PermissionError:
                    out_of_reach.add(other)
        hit.update(set(fresh) - out_of_reach)
        if fresh:
            deadline = time.monotonic() + timeout
        else:
            time.sleep(0.002)  # killed, but not gone yet


def oom_score_adj(proc: Path = PROC) -> int | None:
    """The own oom_score_adj (proc(5): -1000 to 1000, thousandths of the host's memory); None where it is not shown."""
    try:
        return int((proc / "self" / "oom_score_adj").read_text())
    except (OSError, ValueError):
        return None


def set_oom_score_adj(value: int, proc: Path = PROC) -> bool:
    """Set it for this process and what it will start; False if refused.

    Raising it is free, lowering it below the lowest value it had needs CAP_SYS_RESOURCE.
    """
    try:
        (proc / "self" / "oom_score_adj").write_text(str(max(-1000, min(1000, value))))
    except OSError:
        return False
    return True


def become_subreaper(enable: bool = True) -> None:
    """Make orphaned descendants children of this process instead of init's (PR_SET_CHILD_SUBREAPER, 3.4)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, int(enable))


def set_pdeathsig(number: int) -> None:
    """Have the kernel send this process a signal when the *thread* that made it ends; 0 clears it."""
    _prctl(_PR_SET_PDEATHSIG, number)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise HostError(f"prctl({option}) failed: {os.strerror(ctypes.get_errno())}")


def _alive(pid: int, proc: Path) -> bool:
    found = stat(pid, proc)
    return found is not None and found.state not in "ZX"


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except _GONE:
        return None
    except PermissionError:
        return None  # another user's process: as good as not there for a supervisor
