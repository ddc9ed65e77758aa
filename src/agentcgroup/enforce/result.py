"""What became of an action. In the control loop a refusal is an answer, never an exception."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from agentcgroup.errors import CgroupError
from agentcgroup.kernel.cgroup import Cgroup, CgroupFileError

_GONE = (errno.ENOENT, errno.ENODEV)  # ENODEV: removed between open and write


@dataclass(frozen=True, slots=True)
class Result:
    """``done``: it is as asked, or for a reclaim, some of it is. ``why``: what is not as asked, and how to mend it.

    ``gone``: the cgroup does not exist any more. ``bytes``: what a reclaim got back.
    """

    done: bool
    why: str = ""
    gone: bool = False
    bytes: int = 0


DONE = Result(True)
GONE = Result(False, "the cgroup does not exist any more", gone=True)


def refused(cgroup: Cgroup, error: CgroupError, *, needs: str = "") -> Result:
    """The result for an error of a file of ``cgroup``; ``needs`` is what this host lacks when the file is missing."""
    if isinstance(error, CgroupFileError) and error.errno in _GONE:
        if not cgroup.exists:
            return GONE
        return Result(False, f"{error.path} is not offered: needs {needs}" if needs else str(error))
    return Result(False, str(error))
