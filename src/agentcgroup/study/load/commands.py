"""What a shell command is: our kind and program, and both orders of the published rule."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from agentcgroup.commands import by_programs, classify
from agentcgroup.study.load.categories import categories


def describe(command: str, argv: Sequence[str] = (), programs: Sequence[str] = ()) -> dict[str, object]:
    """The columns of a call that follow from its command; ``argv`` and ``programs`` (basenames of what it executed)
    where the source has them."""
    return dict(_describe(command, tuple(argv), tuple(programs)))


@lru_cache(maxsize=1 << 14)  # agents repeat themselves
def _describe(command: str, argv: tuple[str, ...], programs: tuple[str, ...]) -> dict[str, object]:
    found = by_programs(classify(argv or ("bash", "-c", command)), programs)
    by_time, by_spike = categories(command)
    return {
        "shell": True,
        "command": command,
        "kind": str(found.kind),
        "program": found.program or None,
        "category_time": by_time,
        "category_spike": by_spike,
    }
