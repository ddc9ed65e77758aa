"""What a session does, whatever memory there is: turns of calls, each call with its memory over its own work.

Work is counted in seconds that the call would run if nothing slowed it. A script is a value and holds no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from agentcgroup.errors import UsageError
from agentcgroup.model import Priority

Curve = tuple[tuple[float, int], ...]  # (seconds of work, bytes), rising in time; straight lines between

_SHORTEST_S = 0.001  # of a piece of a curve: programs do not take memory in no time


@dataclass(frozen=True, slots=True)
class Task:
    """One call. The first point of ``curve`` is at 0, the last one where the call ends."""

    name: str
    curve: Curve
    offset_s: float = 0.0  # after the beginning of its turn
    priority: Priority = Priority.NORMAL
    expected_bytes: int | None = None  # what it declares
    expected_high_bytes: int | None = None  # the memory.high that a policy may give it for that
    expected_by: str = ""  # who expects it: hint, history, kind
    high_bytes: int | None = None  # memory.high from the beginning, None: no limit
    max_bytes: int | None = None
    cache_share: float = 0.0  # of its memory: page cache, which the kernel can take back

    def __post_init__(self) -> None:
        times = [at_s for at_s, _ in self.curve]
        if len(times) < 2 or times[0] != 0 or any(a >= b for a, b in pairwise(times)):
            raise UsageError(f"the curve of {self.name} does not rise in time from 0", "use `script.curve` to make one")
        if any(size < 0 for _, size in self.curve) or not 0 <= self.cache_share <= 1:
            raise UsageError(f"{self.name} has less than no memory", "give bytes from 0, and cache_share from 0 to 1")

    @property
    def work_s(self) -> float:
        """How long it runs when nothing slows it."""
        return self.curve[-1][0]

    @property
    def peak_bytes(self) -> int:
        """The most it uses when nothing limits it."""
        return max(size for _, size in self.curve)


@dataclass(frozen=True, slots=True)
class Turn:
    """Calls that belong together; the next turn begins when all of them are over."""

    think_s: float  # from the end of the last turn
    tasks: tuple[Task, ...]
    agent_bytes: int | None = None  # the agent itself, from the end of the last turn on; None: as before


@dataclass(frozen=True, slots=True)
class Script:
    """One session. ``budget_bytes`` None: no limit but the host's."""

    name: str
    turns: tuple[Turn, ...]
    agent_bytes: int = 0  # the agent itself, all the time
    priority: Priority = Priority.NORMAL
    budget_bytes: int | None = None
    arrives_s: float = 0.0

    @property
    def calls(self) -> int:
        """How many calls it makes."""
        return sum(len(turn.tasks) for turn in self.turns)

    @property
    def work_s(self) -> float:
        """The work of all its calls together."""
        return sum(task.work_s for turn in self.turns for task in turn.tasks)

    @property
    def alone_s(self) -> float:
        """How long it takes on a host of its own with endless memory, added up as the simulator does."""
        now_s = self.arrives_s
        for turn in self.turns:
            began_s = now_s + turn.think_s
            now_s = max((_end_s(began_s + task.offset_s, task.curve) for task in turn.tasks), default=began_s)
        return now_s - self.arrives_s


def _end_s(now_s: float, points: Curve) -> float:
    for (t0, _), (t1, _) in pairwise(points):
        now_s += t1 - t0
    return now_s


def curve(points: list[tuple[float, int]], tolerance_bytes: int = 1 << 20) -> Curve:
    """A curve through ``points`` (seconds, bytes), in order of time.

    Points that hardly differ from a line are left out, but never the highest one. A jump takes a millisecond.
    """
    spread: list[tuple[float, int]] = []
    for at_s, size in points:
        at_s = max(0.0, at_s) if not spread else max(at_s, spread[-1][0] + _SHORTEST_S)
        spread.append((at_s, max(0, size)))
    if not spread or spread[0][0] > 0:
        spread.insert(0, (0.0, spread[0][1] if spread else 0))
    if len(spread) < 2:
        spread.append((spread[0][0] + _SHORTEST_S, spread[0][1]))
    highest = max(range(len(spread)), key=lambda index: spread[index][1])
    kept = [0]
    for end in {highest, len(spread) - 1} - {0} if highest else {len(spread) - 1}:
        kept += _kept(spread, kept[-1] if end > kept[-1] else 0, end, tolerance_bytes)
    return tuple(spread[index] for index in sorted(set(kept)))


def _kept(points: list[tuple[float, int]], first: int, last: int, tolerance: int) -> list[int]:
    """The indices after ``first`` that a broken line within ``tolerance`` of all points needs (Douglas and Peucker)."""
    kept: list[int] = []
    spans = [(first, last)]
    while spans:
        low, high = spans.pop()
        kept.append(high)
        (t0, b0), (t1, b1) = points[low], points[high]
        slope = (b1 - b0) / (t1 - t0)
        worst, at = float(tolerance), None
        for index in range(low + 1, high):
            error = abs(points[index][1] - b0 - slope * (points[index][0] - t0))
            if error > worst:
                worst, at = error, index
        if at is not None:
            spans += [(low, at), (at, high)]
    return kept
