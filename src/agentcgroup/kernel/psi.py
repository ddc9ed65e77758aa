"""Pressure stall information: how long tasks waited for memory, CPU or I/O, and triggers on it.

Source: Documentation/accounting/psi.rst, since 4.20; triggers since 5.2, for unprivileged users
since 6.4 with windows of whole multiples of 2 s; others of at least 0.5 s before 6.3. ``full`` of the
CPU is meaningful in cgroups only.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agentcgroup.errors import HostError
from agentcgroup.kernel.closing import Closing
from agentcgroup.kernel.counters import parse_int

Kind = Literal["some", "full"]
_MAX_WINDOW_US = 10_000_000
_UNPRIVILEGED_STEP_US = 2_000_000


@dataclass(frozen=True, slots=True)
class Stall:
    """One line of a pressure file: percentages of the last 10, 60 and 300 s, and the sum in microseconds."""

    avg10: float
    avg60: float
    avg300: float
    total_us: int


@dataclass(frozen=True, slots=True)
class Pressure:
    """A pressure file: ``some`` task stalled, and all of them (``full``); None where the kernel has no such line."""

    some: Stall | None = None
    full: Stall | None = None


def parse_pressure(text: str) -> Pressure:
    """The pressure in the text of ``/proc/pressure/*`` or of a cgroup's ``*.pressure``."""
    stalls: dict[str, Stall] = {}
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        fields = dict(word.partition("=")[::2] for word in rest.split())
        total = parse_int(fields.get("total"))
        try:
            avg10, avg60, avg300 = (float(fields[name]) for name in ("avg10", "avg60", "avg300"))
        except (KeyError, ValueError):
            continue
        if total is not None:
            stalls[kind] = Stall(avg10, avg60, avg300, total)
    return Pressure(stalls.get("some"), stalls.get("full"))


def read_pressure(path: Path) -> Pressure | None:
    """The pressure in a file; None when this kernel has PSI off (psi=0, cgroup.pressure 0) or not at all."""
    try:
        return parse_pressure(path.read_text(encoding="ascii", errors="replace"))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP):
            return None
        raise HostError(f"cannot read {path}: {error.strerror}", f"check the permissions of {path}") from None


class PsiTrigger(Closing):
    """An open trigger: its descriptor polls POLLPRI when ``stall_us`` of a ``window_us`` were stalled.

    It fires at most once a window, 20 to 180 ms after the fact. POLLERR means the cgroup is gone.
    """

    def __init__(self, path: Path, kind: Kind, stall_us: int, window_us: int) -> None:
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise _refused(path, kind, stall_us, window_us, error) from None
        try:
            os.write(self._descriptor, f"{kind} {stall_us} {window_us}\0".encode())
        except OSError as error:
            os.close(self._descriptor)
            raise _refused(path, kind, stall_us, window_us, error) from None

    def fileno(self) -> int:
        """The descriptor to poll for POLLPRI; the trigger lives as long as it is open."""
        return self._descriptor

    def close(self) -> None:
        """Remove the trigger. Harmless when it is closed already."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _refused(path: Path, kind: Kind, stall_us: int, window_us: int, error: OSError) -> HostError:
    what = f"the kernel refused the PSI trigger '{kind} {stall_us} {window_us}' on {path}"
    if error.errno == errno.EINVAL:
        if not 0 < window_us <= _MAX_WINDOW_US:
            return HostError(f"{what}: the window is out of range", "use a window of at most 10 s")
        if not 0 < stall_us <= window_us:
            return HostError(f"{what}: the stall is not within the window", "use a stall above 0 and below the window")
        if window_us % _UNPRIVILEGED_STEP_US:
            return HostError(
                f"{what}: without CAP_SYS_RESOURCE the window must be a multiple of 2 s",
                "use a window of 2, 4, 6, 8 or 10 s, or give the process CAP_SYS_RESOURCE "
                "(and before Linux 6.3 at least 0.5 s)",
            )
        return HostError(f"{what}: the file has no such line", f"use a line that `cat {path}` shows")
    if error.errno in (errno.ENOENT, errno.EOPNOTSUPP):
        return HostError(f"{what}: PSI is off", "boot with psi=1 (CONFIG_PSI), and write 1 to cgroup.pressure")
    return HostError(f"{what}: {error.strerror}", "run as the owner of the cgroup, on Linux 6.4 or newer, or as root")
