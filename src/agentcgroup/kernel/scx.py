"""The sched_ext scheduler of sessions (src/agentcgroup/bpf/sched.bpf.c): loaded, attached, watched.

    with Scheduler() as scheduler:
        scheduler.add(cgroup_of_the_session)
        join(0)  # this process and all that it will start
        ...
        if (end := scheduler.ended()) is not None:
            print(end.reason)  # the kernel has ejected it; everything runs under the default scheduler again

It has brakes for what uses memory that others need: ``slow`` leaves a cgroup a part of a CPU, ``hold`` nothing for a
moment. Neither makes a task wait that may own a lock of the kernel (src/agentcgroup/bpf/bandwidth.h), both end by
themselves, and both let a task through that is to be killed or frozen. cpu.max is enforced in the same way.

It governs the tasks that have the policy SCHED_EXT and lie in a session; all others stay with the kernel's own
scheduler (SCX_OPS_SWITCH_PARTIAL). Nothing is pinned: when this process ends, however it ends, so does the scheduler,
and the tasks run on under the default one. Source: Documentation/scheduler/sched-ext.rst, Linux 6.12.

The kernel has one sched_ext scheduler at a time. Since Linux 7.3 that one may let others attach to cgroups below it
(sub_attach of struct sched_ext_ops_cid, kernel/sched/ext): then ours can do so, ``Scheduler(session)``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from agentcgroup.errors import HostError
from agentcgroup.kernel import btf
from agentcgroup.kernel.bpf import BpfObject
from agentcgroup.kernel.bpf_info import ProgramInfo
from agentcgroup.kernel.closing import Closing
from agentcgroup.kernel.libbpf import BpfError, Obstacle

POLICY = 7  # SCHED_EXT, include/uapi/linux/sched.h
_SYSFS = Path("sys/kernel/sched_ext")  # below the root directory
NAME = "agentcgroup"  #: of our scheduler, as the kernel shows it
OTHER_FIX = "end that one, or run one that lets others attach below it (sub_attach, Linux 7.3)"
OURS_FIX = "have a daemon hold it for all sessions (agentcgroup daemon --set scheduler=sched_ext)"
_OPS = "agentcgroup_ops"
_HOST, _BELOW = "sched", "below"  # objects


class _State(ctypes.Structure):
    """struct state of sched.h."""

    _fields_ = (
        ("now", ctypes.c_int64),
        ("sweeping", ctypes.c_uint64),
        ("limited", ctypes.c_uint64),
        ("exit_code", ctypes.c_int64),
        ("exit_kind", ctypes.c_uint64),
        ("reason", ctypes.c_char * 64),
        ("message", ctypes.c_char * 128),
    )


class _Operations(ctypes.Structure):
    """struct sched_ext_ops of scx.h, as far as it is set here."""

    _fields_ = (
        ("callbacks", ctypes.c_void_p * 14),
        ("cgroup_set_bandwidth", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("timeout_ms", ctypes.c_uint32),
        ("sub_cgroup_id", ctypes.c_uint64),
        ("name", ctypes.c_char * 128),
    )


class _Bucket(ctypes.Structure):
    """struct bucket of sched.h."""

    _fields_ = (
        ("rate", ctypes.c_uint64),
        ("most_ns", ctypes.c_uint64),
        ("until_ns", ctypes.c_uint64),
        ("left_ns", ctypes.c_int64),
        ("at_ns", ctypes.c_uint64),
    )


_WHOLE_CPU = 1 << 20  # of _Bucket.rate
_PIECE_NS = 2_000_000  # PIECE of bandwidth.h: with less in it a bucket would never let a task go
MOST_HOLD_S = 2.5  # the kernel ends a scheduler that leaves a task waiting for 5 s


@dataclass(frozen=True, slots=True)
class Counters:
    """Since the scheduler was attached: struct counters of sched.h."""

    queued: int  # times that a task was put into the queue
    direct: int  # times that a task that woke up found an idle CPU
    stayed: int  # times that one had used its slice, and nobody else was due
    preempted: int  # times that it took the place of another
    over_high: int  # runs of tasks above their memory.high
    ran_ns: int  # CPU time of all its tasks
    held: int  # times that a task was made to wait, by a limit or a brake
    let_on: int  # times that one would have been, but was in the kernel, where it may own a lock
    called: int  # times that one that waited was let through for a signal, or to be frozen
    waits: tuple[int, ...]  # from waking up to running: [n] below 2**n us, and not below the one before


@dataclass(frozen=True, slots=True)
class End:
    """Why the kernel took the scheduler away: its own words."""

    reason: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.reason, self.message) if part)


@dataclass(frozen=True, slots=True)
class Enabled:
    """The scheduler that the kernel has."""

    name: str
    open: bool  # it lets others attach below it


def enabled(root: Path = Path("/")) -> Enabled | None:
    """The sched_ext scheduler that is enabled now, or about to be; None for none, and on kernels that know of none.

    From /sys/kernel/sched_ext: ``state``, ``root/ops``, and ``root/sub``, which is there for one that has sub_attach.
    """
    folder = root / _SYSFS
    try:
        if (folder / "state").read_text(errors="replace").strip() == "disabled":
            return None
    except FileNotFoundError:
        return None
    try:
        name = (folder / "root/ops").read_text(errors="replace").strip()
    except OSError:  # it comes or goes just now
        name = ""
    return Enabled(name or "?", (folder / "root/sub").is_dir())


def check(root: Path = Path("/"), *, below: bool = True) -> str:
    """Which object is the one to load on this host; BpfError says why there is none.

    ``below``: one that attaches below the scheduler that is enabled would do.
    """
    if not (root / _SYSFS / "state").exists():
        raise BpfError(
            Obstacle.NO_BTF,
            "this kernel has no sched_ext",
            "use Linux 6.12 or newer built with CONFIG_SCHED_CLASS_EXT=y, such as `agentcgroup lab`",
        )
    other = enabled(root)
    if other is None:
        return _HOST
    if other.open and below:
        return _BELOW
    closed = "" if other.open else " and lets none attach below it"
    fix = OURS_FIX if other.name == NAME else OTHER_FIX
    raise BpfError(Obstacle.REFUSED, f"another sched_ext scheduler ({other.name}) is enabled{closed}", fix)


class Scheduler(Closing):
    """Attached from its construction until ``close``; BpfError says why it cannot be.

    It is the scheduler of the host, or, when another one is and lets it, the one of the cgroup ``place``, in which all
    sessions must lie then.
    """

    def __init__(self, place: Path | None = None) -> None:
        kind = check(below=place is not None)
        self._object = BpfObject(kind)
        self.above = ""  # the name of the scheduler that ours is attached below
        self._asked: dict[Path, tuple[int, int, int] | None] = {}  # cpu.max of sessions, where the kernel tells of none
        try:
            blob, operations = btf.read(), self._object.initial(_OPS, _Operations)
            flags = ["SCX_OPS_ENQ_LAST"]
            if kind == _BELOW and place is not None:
                other = enabled()
                self.above = other.name if other else "?"
                operations.sub_cgroup_id = place.stat().st_ino
                self._told_limits = False  # of those below, but not of that of the place itself
            else:
                flags.append("SCX_OPS_SWITCH_PARTIAL")
                members = btf.layouts(blob, ["sched_ext_ops"])["sched_ext_ops"].members
                self._told_limits = "cgroup_set_bandwidth" in members
                if not self._told_limits:  # before Linux 6.17
                    operations.cgroup_set_bandwidth = None
            for flag in btf.enum_values(blob, "scx_ops_flags", *flags):
                operations.flags |= flag
            self._object.load()
            self._object.attach_operations(_OPS)
            self._live = self._object.live(".data", _State)
            if (end := self.ended()) is not None:  # the one above had the last word
                raise BpfError(Obstacle.REFUSED, f"{self.above} does not let it attach below ({end})", OTHER_FIX)
        except BaseException:
            self._object.close()
            raise

    def add(self, session: Path) -> None:
        """The cgroup ``session`` is one; its tasks that have joined are governed from now on, until it is removed."""
        self._put("sessions", session, (1).to_bytes(4, sys.byteorder))
        if not self._told_limits:
            self._ask(session)

    def remove(self, session: Path) -> None:
        """It is one no longer; for those of its tasks that have run, nothing changes. Nothing is done for one that is
        gone."""
        self._asked.pop(session, None)
        self._delete("sessions", session)

    def refresh(self) -> None:
        """Take over a changed cpu.max of a session where the kernel tells of none: before Linux 6.17, and below another
        scheduler. To be called about once a second; it reads two files for each such session."""
        for session, known in list(self._asked.items()):
            with suppress(OSError, BpfError):  # it is gone
                if _cpu_max(session) != known:
                    self._ask(session)

    def _ask(self, session: Path) -> None:
        limit = self._asked[session] = _cpu_max(session)
        if limit is None:
            self._delete("limits", session)
            return
        quota_us, period_us, burst_us = limit
        most_ns = max((quota_us + burst_us) * 1000, _PIECE_NS)
        bucket = _Bucket(quota_us * _WHOLE_CPU // period_us, most_ns, 0, most_ns, time.monotonic_ns())
        self._put("limits", session, bytes(bucket))
        self._live.limited = 1

    def slow(self, cgroup: Path, share: float, seconds: float) -> None:
        """Leave ``cgroup`` at most ``share`` of one CPU, even of an idle one, for ``seconds`` or until ``release``.

        From the next timer interrupt on that finds one of its tasks in user mode; the average is exact over about a
        second. Again: with new numbers. ValueError for a share that is not above 0, for 0 is ``hold``.
        """
        if not (share > 0 and seconds > 0):
            raise ValueError(f"a share of {share} for {seconds} s: both must be above 0")
        self._brake(cgroup, max(1, round(share * _WHOLE_CPU)), seconds)

    def hold(self, cgroup: Path, seconds: float) -> None:
        """Keep the tasks of ``cgroup`` from running for ``seconds`` (``MOST_HOLD_S`` at most), or until ``release``.

        Each from the next timer interrupt on that finds it in user mode: one in the kernel runs on until then.
        """
        if not 0 < seconds <= MOST_HOLD_S:
            raise ValueError(f"{seconds} s: a cgroup can be held for at most {MOST_HOLD_S} s at a time")
        self._brake(cgroup, 0, seconds)

    def release(self, cgroup: Path) -> None:
        """End ``slow`` or ``hold`` now: what waits runs again within 5 ms. Nothing is done where there is neither."""
        self._delete("brakes", cgroup)

    def _brake(self, cgroup: Path, rate: int, seconds: float) -> None:
        now = time.monotonic_ns()
        self._put("brakes", cgroup, bytes(_Bucket(rate, _PIECE_NS, now + round(seconds * 1e9), 0, now)))
        self._live.limited = 1

    def _put(self, kind: str, cgroup: Path, value: bytes) -> None:
        with _descriptor(cgroup) as key:
            self._object.maps[kind].put(key, value)

    def _delete(self, kind: str, cgroup: Path) -> None:
        with suppress(FileNotFoundError), _descriptor(cgroup) as key:
            self._object.maps[kind].delete(key)

    def ended(self) -> End | None:
        """Why it is no longer attached; None while it is."""
        if not self._live.exit_kind:
            return None
        return End(self._live.reason.decode(errors="replace"), self._live.message.decode(errors="replace"))

    def counters(self) -> Counters:
        """What it did so far."""
        counts = self._object.maps["counts"].totals()
        *single, _ = (field.name for field in fields(Counters))
        each: dict[str, Any] = dict(zip(single, counts, strict=False))  # the rest are the waits
        return Counters(**each, waits=counts[len(single) :])

    def programs(self) -> dict[str, ProgramInfo]:
        """What the kernel says of each program, such as the instructions that its verifier walked through."""
        return self._object.info()

    def close(self) -> None:
        """Detach it: its tasks run on under the default scheduler. May be called again."""
        self._object.close()


@contextmanager
def _descriptor(cgroup: Path) -> Iterator[bytes]:
    """The key of a cgroup in a map that the kernel keeps with cgroups."""
    descriptor = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor.to_bytes(4, sys.byteorder)
    finally:
        os.close(descriptor)


def _cpu_max(cgroup: Path) -> tuple[int, int, int] | None:
    """Quota, period and burst of cpu.max (us); None: it has none, or is gone. OSError while it goes."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
        burst = (cgroup / "cpu.max.burst").read_text()
    except FileNotFoundError:  # without the controller
        return None
    return None if quota == "max" else (int(quota), int(period), int(burst))


def join(pid: int) -> None:
    """Put the thread ``pid`` (0: this one), and what it will start, under sched_ext; HostError where there is none.

    Without a scheduler attached such tasks run like any other, so this is safe to do early (Linux 6.12).
    """
    _set_policy(pid, POLICY)


def leave(pid: int) -> None:
    """Back to the default policy; what it has started meanwhile stays."""
    with suppress(ProcessLookupError):
        _set_policy(pid, os.SCHED_OTHER)


def _set_policy(pid: int, policy: int) -> None:
    try:
        os.sched_setscheduler(pid, policy, os.sched_param(0))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise HostError("this kernel has no sched_ext", "use Linux 6.12 or newer, such as `agentcgroup lab`") from error
