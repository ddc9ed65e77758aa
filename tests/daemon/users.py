"""Doing something as another user, in a process of its own that has everything imported already."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

ALICE, BOB = 61001, 61002

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be other users")


_running: set[int] = set()


def end_all() -> None:
    """Kill those that a failed test has left."""
    for pid in _running:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    _running.clear()


class Child:
    """``work`` runs as ``uid`` until it returns; ``result`` waits for what it returned, or the text of its error."""

    def __init__(self, uid: int, work: Callable[[], Any]) -> None:
        self._read, write = os.pipe()
        self.pid = os.fork()
        _running.add(self.pid)
        if self.pid == 0:
            try:
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
                os.write(write, json.dumps(work()).encode())
            except BaseException as error:
                os.write(write, json.dumps(f"{type(error).__name__}: {error}").encode())
            finally:
                os._exit(0)
        os.close(write)

    def result(self) -> Any:
        """What it returned."""
        with os.fdopen(self._read, "rb") as pipe:
            found = pipe.read()
        os.waitpid(self.pid, 0)
        _running.discard(self.pid)
        return json.loads(found)


def as_user(uid: int, work: Callable[[], Any]) -> Any:
    """The result of ``work``, run as ``uid``."""
    return Child(uid, work).result()
