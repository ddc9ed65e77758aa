"""Sessions back to back, as a host under continuous load meets them: one that ends is replaced by another.

A tape is a long row of sessions that were drawn with replacement. Every slot of the host plays the tape from an instant
of its own: a long session is met more often and usually in the middle, as in reality. Seconds are whole.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random

import polars as pl

from agentcgroup.plan.session import Session, cut
from agentcgroup.replay.script import Script, Turn

_LEAST_SESSIONS = 400
_LEAST_S = 40 * 3600
_MOST_S = 30 * 86_400


@dataclass(frozen=True, slots=True)
class Tape:
    """See the module. ``memory``: bytes in each second; ``starts``: where each session begins."""

    sessions: tuple[Session, ...]
    starts: tuple[int, ...]
    memory: pl.Series

    @property
    def length_s(self) -> int:
        """After this it begins anew."""
        return len(self.memory)

    def slot(self, name: str, at_s: int, arrives_s: float, length_s: float) -> Script:
        """What a slot does that is at ``at_s`` of the tape at 0 and arrives at ``arrives_s``, until ``length_s``."""
        turns = tuple(self._turns(at_s + arrives_s, length_s - arrives_s))
        first = turns[0].agent_bytes if turns else 0
        return Script(name, turns, agent_bytes=first or 0, arrives_s=arrives_s)

    def _turns(self, at_s: float, left_s: float) -> Iterator[Turn]:
        at_s %= self.length_s
        row = bisect_right(self.starts, at_s) - 1
        from_s, played = at_s - self.starts[row], 0
        while left_s > 0:
            session = self.sessions[row]
            yield from cut(session, from_s, from_s + left_s, f"{played}.")
            left_s -= session.length_s - from_s
            row, from_s, played = (row + 1) % len(self.sessions), 0.0, played + 1


def record(sessions: Sequence[Session], dice: Random) -> Tape:
    """A tape of sessions drawn from ``sessions``: 400 or more, of 40 hours or more together."""
    drawn: list[Session] = []
    total = 0
    while (len(drawn) < _LEAST_SESSIONS or total < _LEAST_S) and total < _MOST_S:
        drawn.append(dice.choice(sessions))
        total += drawn[-1].length_s
    starts = [0, *accumulate(session.length_s for session in drawn)]
    memory = pl.Series([size for session in drawn for size in session.line], dtype=pl.Float64)
    return Tape(tuple(drawn), tuple(starts[:-1]), memory)
