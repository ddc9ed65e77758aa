"""Advice for containers: one image, one stage, one service at a time, and a limit of their own. Pure.

What a daemon runs (Docker) is not in the cgroup of the call: it is neither counted nor stopped there.
"""

from __future__ import annotations

from agentcgroup.commands import Command, Kind
from agentcgroup.feedback.wording import MiB

_SHARE = 0.75  # of the limit of the call: the engine's own processes are in it too
_STEP = 64  # MiB
_UNKNOWN = 1024


def advise(command: Command, limit_bytes: int | None) -> str:
    """One sentence; empty for what runs no container."""
    program = command.program.removesuffix("-compose")
    if command.kind is Kind.BUILD:
        return f"Build one stage at a time: `{program} build --target STAGE .`."
    if command.kind is Kind.SERVER:
        return f"Start one service at a time: `{program} compose up -d --no-deps SERVICE`."
    if command.kind is Kind.INSTALL:
        return f"Fetch one image at a time: `{program} pull IMAGE`."
    if command.words[:1] == ("run",):
        fits = _UNKNOWN if limit_bytes is None else max(_STEP, int(_SHARE * limit_bytes) // MiB // _STEP * _STEP)
        return f"Limit the container itself, and give it less to do: `{program} run --memory={fits}m --cpus=2 IMAGE`."
    return "Have the container do a smaller part of the work at a time." if command.kind is Kind.INTERPRETER else ""
