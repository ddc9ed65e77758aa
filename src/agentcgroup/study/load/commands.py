"""What a shell command is: our kind and program, and both orders of the published rule."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from agentcgroup.commands import classify
from agentcgroup.study.load.categories import categories


def describe(command: str, argv: Sequence[str] = ()) -> dict[str, object]:
    """The columns of a call that follow from its command; ``argv`` where the source has the real one."""
    return dict(_describe(command, tuple(argv)))


@lru_cache(maxsize=1 << 14)  # agents repeat themselves
def _describe(command: str, argv: tuple[str, ...]) -> dict[str, object]:
    found = classify(argv or ("bash", "-c", command))
    by_time, by_spike = categories(command)
    return {
        "shell": True,
        "command": command,
        "kind": str(found.kind),
        "program": found.program or None,
        "category_time": by_time,
        "category_spike": by_spike,
    }
