"""Runs one command next to a model server: ``python -m tests.agents.modelserver JOB``, JOB a JSON file.

JOB: ``script`` (turns), ``argv``, ``env``, ``cwd``, ``stdout`` and ``stderr`` (files), ``timeout_s``, ``loopback``
(bring `lo` up first: in a new network namespace it is down). ``@URL@`` in argv and env becomes the server's URL.
Prints one JSON object: ``status``, ``requests``, ``errors``, ``turns_played``, ``results``.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.agents.modelserver.script import ToolCall, Turn
from tests.agents.modelserver.server import ModelServer

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1  # netdevice(7)


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = fcntl.ioctl(sock, _SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0))
        flags = struct.unpack("16sH14x", request)[1]
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))


def _turn(value: dict[str, Any]) -> Turn:
    calls = tuple(ToolCall(call["name"], call["arguments"]) for call in value.get("calls", ()))
    return Turn(value.get("text", ""), calls)


def _run(job: dict[str, Any], url: str) -> int | str:
    argv = [word.replace("@URL@", url) for word in job["argv"]]
    env = {name: value.replace("@URL@", url) for name, value in job["env"].items()}
    with Path(job["stdout"]).open("wb") as out, Path(job["stderr"]).open("wb") as err:
        child = subprocess.Popen(
            argv, env=env, cwd=job["cwd"], stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
        )
        try:
            return child.wait(job["timeout_s"])
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGTERM)
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
            return "timeout"


def main() -> None:
    """Entry point."""
    job = json.loads(Path(sys.argv[1]).read_text())
    if job["loopback"]:
        _loopback_up()
    with ModelServer([_turn(value) for value in job["script"]]) as server:
        status = _run(job, server.url)
    report = {
        "status": status,
        "errors": server.errors,
        "turns_played": server.turns_played,
        "results": server.results,
        "requests": [{"path": each.path, "body": each.body} for each in server.requests],
    }
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
