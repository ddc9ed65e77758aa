"""Starts daemons quickly: one process that has imported the service and forks a real daemon for each line it reads.

A line is a JSON object: ``config``, ``sets``, ``socket`` and ``log`` (for service.run), ``patch`` (constants by
"module:name"), ``memory`` (bytes that the host has and has left, as the daemon sees it) and ``die``, which makes the
daemon kill -9 itself at the n-th call of a method, before or after it. The answer is the process id. Nobody waits for
the daemons: the kernel reaps them.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentcgroup.daemon import service
from agentcgroup.kernel.meminfo import MemInfo


def main() -> None:
    """Serve until the end of the input."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _be_daemon(order)
        print(pid, flush=True)


def _be_daemon(order: dict[str, Any]) -> None:
    status = 70
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        for place, value in order.get("patch", {}).items():
            module, _, name = place.partition(":")
            setattr(importlib.import_module(module), name, value)
        if memory := order.get("memory"):
            setattr(service, "read_meminfo", functools.partial(MemInfo, *memory))  # noqa: B010 (not ours to assign)
        if die := order.get("die"):
            _arm(die["at"], die["nth"], die["after"])
        service.run(Path(order["config"]), order["sets"], Path(order["socket"]))
        status = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(status)


def _arm(place: str, nth: int, after: bool) -> None:
    """Have ``module:Class.method`` end the process at its ``nth`` call."""
    module, _, path = place.partition(":")
    owner, name = getattr(importlib.import_module(module), path.split(".")[0]), path.split(".")[1]
    method: Callable[..., Any] = getattr(owner, name)
    left = [nth]

    @functools.wraps(method)
    def deadly(*args: Any, **keywords: Any) -> Any:
        left[0] -= 1
        if left[0] == 0 and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = method(*args, **keywords)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, deadly)


if __name__ == "__main__":
    main()
