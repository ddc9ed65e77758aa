"""The exception tree. Every error says what happened and how to mend it.

AgentcgroupError
 ├─ UsageError          what the user gave cannot be used           exit status 2
 ├─ HostError           this host does not offer what was asked     exit status 1
 │   ├─ CgroupError     a cgroup file refused an operation
 │   ├─ BpfError        BPF cannot be used (kernel/libbpf.py)
 │   └─ LabError        the lab VM cannot be prepared or booted     exit status 125
 ├─ TraceError          a trace cannot be read or written           exit status 1
 └─ WireError           a message on the socket is malformed        (never leaves the controller)
"""

from __future__ import annotations


class AgentcgroupError(Exception):
    """Base of all errors of this package.

    ``message`` is one sentence, ``fix`` is the line to run or edit that mends it (may be empty).
    """

    exit_status = 1

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}; {self.fix}" if self.fix else self.message


class UsageError(AgentcgroupError):
    """What the user gave cannot be used."""

    exit_status = 2


class HostError(AgentcgroupError):
    """This host does not offer what was asked for."""


class CgroupError(HostError):
    """A cgroup v2 interface file refused an operation."""


class LabError(HostError):
    """The lab virtual machine cannot be prepared, booted or reached."""

    exit_status = 125


class TraceError(AgentcgroupError):
    """A trace cannot be read or written."""


class WireError(AgentcgroupError):
    """A message between client and controller is malformed."""
