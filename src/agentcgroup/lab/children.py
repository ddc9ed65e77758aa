"""The lab's child processes: they end with the lab, whatever ends it.

A child gets SIGKILL from the kernel when its parent dies (PR_SET_PDEATHSIG, set by setpriv(1), which
survives execve), is in a session of its own so that the terminal's Ctrl-C reaches the lab alone, and
writes its messages to a file without a name.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO

from agentcgroup.lab import packages

QEMU_NAME = "QEMU"


@dataclass(slots=True)
class Child:
    """One running helper program."""

    name: str
    process: subprocess.Popen[bytes]
    log: IO[bytes]

    def messages(self) -> str:
        """The end of what it wrote, at most 2,000 bytes."""
        size = self.log.seek(0, os.SEEK_END)
        self.log.seek(max(0, size - 2000))
        return self.log.read().decode(errors="replace").strip()


@dataclass(slots=True)
class Children:
    """All helpers of one run; leaving the ``with`` block kills and reaps them."""

    running: list[Child] = field(default_factory=list)

    def start(self, name: str, argv: Sequence[str], fds: Sequence[int]) -> Child:
        """Start ``argv`` with the descriptors ``fds`` kept open under their numbers."""
        log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        # setpriv comes first: Python's preexec_fn would run code between fork and exec, unsafe with threads
        process = subprocess.Popen(
            [str(packages.need("setpriv")), "--pdeathsig", "KILL", "--", *argv],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=fds,
            start_new_session=True,
        )
        child = Child(name, process, log)
        self.running.append(child)
        return child

    def culprit(self) -> str:
        """Which part ended first, in words: a guest that switches itself off ends QEMU with status 0."""
        for child in self.running:
            if child.name == QEMU_NAME:
                with suppress(subprocess.TimeoutExpired):  # a guest that switches itself off takes virtiofsd with it
                    child.process.wait(1.0)
        ended = [child for child in self.running if child.process.poll() is not None]
        if not ended or any(child.name == QEMU_NAME and child.process.returncode == 0 for child in ended):
            return "the guest"
        return next((child.name for child in ended if child.name == QEMU_NAME), ended[0].name)

    def close(self) -> None:
        """Kill and reap all helpers."""
        for child in self.running:
            if child.process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(child.process.pid, signal.SIGKILL)
        for child in self.running:
            child.process.wait()
            child.log.close()
        self.running.clear()

    def __enter__(self) -> Children:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
