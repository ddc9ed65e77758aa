"""Memory limits, reclaim and protection of cgroups: the blocking half of ``CgroupEnforcer``, run in its threads.

What the kernel does on the write itself, tried on Linux 7.3 in the lab (an emulated CPU) with 200 MiB in use:

    memory.high 50 MiB, page cache           113 ms: it reclaims before the write returns
    memory.high 50 MiB, anonymous, no swap     5 ms: it gives up; the call is throttled at its next allocation
    memory.max 50 MiB, anonymous, no swap     15 ms: it KILLS the call
    the same, file opened with O_NONBLOCK    0.1 ms: only the number is set (6.16 and newer; older ones block)
    memory.reclaim 32 MiB, page cache         23 ms; anonymous without swap 1 to 3 ms and EAGAIN
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from agentcgroup.enforce.result import DONE, Result, refused
from agentcgroup.errors import CgroupError
from agentcgroup.kernel.cgroup import Cgroup, CgroupFileError
from agentcgroup.kernel.refusal import refusal
from agentcgroup.units import format_size

_CONTROLLER = "the memory controller, enabled in cgroup.subtree_control of every cgroup above"
_RECLAIM = "Linux 5.19 or newer, with the memory controller"
_STEP = 16 << 20  # of a reclaim: between two, time is looked at


@dataclass(slots=True)
class Tally:
    """Bytes that a reclaim has got back so far; read by the caller when it does not want to wait any longer."""

    bytes: int = 0


def limit(cgroup: Cgroup, high: int | None, maximum: int | None, given_up: threading.Event) -> Result:
    """Set memory.high, then memory.max, which is left as it is while more is in use and when nobody waits any more."""
    try:
        _write_number(cgroup, "memory.high", high)
        if given_up.is_set():
            return Result(False)
        used = cgroup.read_int("memory.current")
        if maximum is not None and used is not None and used > maximum:
            return Result(
                False,
                f"memory.max stays: {format_size(used)} are in use, and a limit of {format_size(maximum)} would kill; "
                "memory.high is set. Reclaim or freeze first, or kill",
            )
        _write_number(cgroup, "memory.max", maximum)
    except CgroupError as error:
        return refused(cgroup, error, needs=_CONTROLLER)
    return DONE


def reclaim(cgroup: Cgroup, wanted: int, timeout_s: float, tally: Tally) -> Result:
    """Have up to ``wanted`` bytes taken back, in steps, until the kernel finds no more or time is up."""
    deadline = time.monotonic() + timeout_s
    while tally.bytes < wanted:
        step = min(_STEP, wanted - tally.bytes)
        before = cgroup.read_int("memory.current") or 0
        try:
            cgroup.write("memory.reclaim", step)
        except CgroupFileError as error:
            if error.errno != errno.EAGAIN:
                return refused(cgroup, error, needs=_RECLAIM)
            tally.bytes += max(0, min(step, before - (cgroup.read_int("memory.current") or 0)))
            why = "the kernel found no more to take back (memory of processes needs swap)"
            return Result(tally.bytes > 0, why, bytes=tally.bytes)
        tally.bytes += step
        if time.monotonic() >= deadline and tally.bytes < wanted:
            return Result(True, f"stopped after {timeout_s:g} s", bytes=tally.bytes)
    return Result(True, bytes=tally.bytes)


def protect(cgroup: Cgroup, low: int, minimum: int, above: Sequence[Cgroup]) -> Result:
    """Set memory.low and memory.min, then give each of ``above`` the sum of what its children have."""
    at = cgroup
    try:
        _write_number(cgroup, "memory.low", low)
        _write_number(cgroup, "memory.min", minimum)
        for at in above:
            for file in ("memory.low", "memory.min"):
                _write_changed(at, file, _sum_of_children(at, file))
    except CgroupError as error:
        result = refused(at, error, needs=_CONTROLLER)
        if at is cgroup:
            return result
        return Result(False, f"the protection of {cgroup.path} has no effect beyond {at.path}: {result.why}")
    return DONE


def _write_number(cgroup: Cgroup, file: str, value: int | None) -> None:
    """Write a number, or ``max`` for None, without taking part in the reclaim where the kernel allows it (6.16)."""
    text = "max" if value is None else str(value)
    try:
        descriptor = os.open(cgroup.path / file, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise refusal(cgroup.path, file, f"write {text!r} to", error) from None


def _write_changed(cgroup: Cgroup, file: str, value: int | None) -> None:
    """Write only what differs: the file of a cgroup that is not ours may be readable only."""
    text = (cgroup.read(file) or "").strip()
    if text != ("max" if value is None else str(value)):
        _write_number(cgroup, file, value)


def _sum_of_children(cgroup: Cgroup, file: str) -> int | None:
    """Of a protection; None when one of the children has no bound."""
    total = 0
    for child in cgroup.children():
        text = (child.read(file) or "0").strip()
        if text == "max":
            return None
        total += int(text)
    return total
