"""The sched_ext scheduler of sessions (src/agentcgroup/bpf/sched.bpf.c): loaded, attached, watched.

    with Scheduler() as scheduler:
        scheduler.add(cgroup_of_the_session)
        join(0)  # this process and all that it will start
        ...
        if (end := scheduler.ended()) is not None:
            print(end.reason)  # the kernel has ejected it; everything runs under the default scheduler again

It governs the tasks that have the policy SCHED_EXT and lie in a session; all others stay with the kernel's own
scheduler (SCX_OPS_SWITCH_PARTIAL). Nothing is pinned: when this process ends, however it ends, so does the scheduler,
and the tasks run on under the default one. Source: Documentation/scheduler/sched-ext.rst, Linux 6.12.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from agentcgroup.errors import HostError
from agentcgroup.kernel import btf
from agentcgroup.kernel.bpf import BpfObject
from agentcgroup.kernel.libbpf import BpfError, Obstacle

POLICY = 7  # SCHED_EXT, include/uapi/linux/sched.h
_STATE = Path("/sys/kernel/sched_ext/state")
_OPS = "agentcgroup_ops"


class _State(ctypes.Structure):
    """struct state of sched.h."""

    _fields_ = (
        ("now", ctypes.c_int64),
        ("queued", ctypes.c_uint64),
        ("direct", ctypes.c_uint64),
        ("stayed", ctypes.c_uint64),
        ("preempted", ctypes.c_uint64),
        ("over_high", ctypes.c_uint64),
        ("ran_ns", ctypes.c_uint64),
        ("exit_code", ctypes.c_int64),
        ("exit_kind", ctypes.c_uint64),
        ("reason", ctypes.c_char * 64),
        ("message", ctypes.c_char * 128),
    )


class _Operations(ctypes.Structure):
    """struct sched_ext_ops of scx.h, as far as it is set here."""

    _fields_ = (
        ("callbacks", ctypes.c_void_p * 12),
        ("flags", ctypes.c_uint64),
        ("timeout_ms", ctypes.c_uint32),
        ("name", ctypes.c_char * 128),
    )


@dataclass(frozen=True, slots=True)
class Counters:
    """Since the scheduler was attached."""

    queued: int  # times that a task was put into the queue
    direct: int  # times that a task that woke up found an idle CPU
    stayed: int  # times that one had used its slice, and nobody else was due
    preempted: int  # times that it took the place of another
    over_high: int  # runs of tasks above their memory.high
    ran_ns: int  # CPU time of all its tasks


@dataclass(frozen=True, slots=True)
class End:
    """Why the kernel took the scheduler away: its own words."""

    reason: str
    message: str


class Scheduler:
    """Attached from its construction until ``close``; BpfError says why it cannot be."""

    def __init__(self) -> None:
        if not _STATE.exists():
            raise BpfError(
                Obstacle.NO_BTF,
                "this kernel has no sched_ext",
                "use Linux 6.12 or newer built with CONFIG_SCHED_CLASS_EXT=y, such as `agentcgroup lab`",
            )
        if (state := _STATE.read_text().strip()) != "disabled":
            raise BpfError(Obstacle.REFUSED, f"another sched_ext scheduler is {state}", "end that one first")
        self._object = BpfObject("sched")
        try:
            flags = btf.enum_value(btf.read(), "scx_ops_flags", "SCX_OPS_SWITCH_PARTIAL")
            self._object.initial(_OPS, _Operations).flags |= flags
            self._object.load()
            self._object.attach_operations(_OPS)
        except BaseException:
            self._object.close()
            raise
        self._live = self._object.live(".data", _State)

    def add(self, session: Path) -> None:
        """The cgroup ``session`` is one; its tasks that have joined are governed from now on, until it is removed."""
        descriptor = os.open(session, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._object.maps["sessions"].put(descriptor.to_bytes(4, sys.byteorder), (1).to_bytes(4, sys.byteorder))
        finally:
            os.close(descriptor)

    def ended(self) -> End | None:
        """Why it is no longer attached; None while it is."""
        if not self._live.exit_kind:
            return None
        return End(self._live.reason.decode(errors="replace"), self._live.message.decode(errors="replace"))

    def counters(self) -> Counters:
        """What it did so far."""
        live = self._live
        return Counters(live.queued, live.direct, live.stayed, live.preempted, live.over_high, live.ran_ns)

    def close(self) -> None:
        """Detach it: its tasks run on under the default scheduler. May be called again."""
        self._object.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


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
