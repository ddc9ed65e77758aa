"""A session as a plan sees it: its script, its memory second by second, and its CPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil

from agentcgroup.errors import UsageError
from agentcgroup.replay.script import Curve, Script, Task, Turn

CELL_S = 1.0
_MOST_CELLS = 30 * 86_400  # of a session: a month


@dataclass(frozen=True, slots=True)
class Span:
    """A turn of a session alone on its host: the agent thinks from ``since_s``, calls from ``began_s`` to ``end_s``."""

    since_s: float
    began_s: float
    end_s: float
    agent_bytes: int
    tasks: tuple[Task, ...]


@dataclass(frozen=True, slots=True)
class Session:
    """One session. ``line`` is the most it uses in each second, alone on a host with endless memory."""

    name: str
    spans: tuple[Span, ...]
    line: tuple[float, ...]  # bytes
    cores: float | None  # used on the average; None: not known

    @property
    def length_s(self) -> int:
        """Seconds, the last one begun counts as whole."""
        return len(self.line)

    @property
    def peak_bytes(self) -> float:
        """The most it uses."""
        return max(self.line)

    @property
    def mean_bytes(self) -> float:
        """What it uses on the average."""
        return sum(self.line) / len(self.line)


def session(script: Script, length_s: float, cores: float | None) -> Session:
    """A session that plays ``script`` and lasts ``length_s``, or as long as the script takes if that is longer.

    UsageError when it lasts longer than a month, or uses no memory at all.
    """
    spans = list(_spans(script))
    end_s = spans[-1].end_s if spans else 0.0
    agent = spans[-1].agent_bytes if spans else script.agent_bytes
    cells = max(1, ceil(max(length_s, end_s) / CELL_S - 1e-9))
    if cells > _MOST_CELLS:
        raise UsageError(f"the session {script.name} lasts longer than a month", "leave it out of the plan")
    spans.append(Span(end_s, cells * CELL_S, cells * CELL_S, agent, ()))  # whole seconds, so that sessions fit together
    line = _line(spans, cells)
    if max(line) <= 0:
        raise UsageError(f"the session {script.name} has no memory in its trace", "record it with cgroups, or leave it")
    return Session(script.name, tuple(spans), tuple(line), cores)


def cut(of: Session, from_s: float, to_s: float, prefix: str) -> Iterator[Turn]:
    """What ``of`` does in [from_s, to_s) of its own time, as turns; calls go on where they were. Names get ``prefix``.

    What the calls of a turn do after ``to_s`` is left out.
    """
    for number, span in enumerate(of.spans):
        if span.end_s <= from_s:
            continue
        if span.since_s >= to_s:
            return
        begin_s, end_s = max(span.began_s, from_s), min(span.end_s, to_s)
        think_s = max(0.0, min(span.began_s, to_s) - max(span.since_s, from_s))
        tasks = [_part(task, span.began_s + task.offset_s, begin_s, end_s) for task in span.tasks]
        named = tuple(replace(task, name=f"{prefix}{number}.{task.name}") for task in tasks if task is not None)
        done_s = max((task.offset_s + task.work_s for task in named), default=0.0)
        if not named:
            think_s += max(0.0, end_s - begin_s)
        yield Turn(think_s, named, span.agent_bytes)
        if named and begin_s + done_s < end_s:  # cut before a later call of this turn begins
            yield Turn(end_s - begin_s - done_s, (), span.agent_bytes)


def _spans(script: Script) -> Iterator[Span]:
    now_s, agent = 0.0, script.agent_bytes
    for turn in script.turns:
        agent = agent if turn.agent_bytes is None else turn.agent_bytes
        began_s = now_s + turn.think_s
        end_s = max((began_s + task.offset_s + task.work_s for task in turn.tasks), default=began_s)
        yield Span(now_s, began_s, end_s, agent, turn.tasks)
        now_s = end_s


def _part(task: Task, began_s: float, from_s: float, to_s: float) -> Task | None:
    """``task``, which begins at ``began_s``, between two instants; None when nothing of it lies there."""
    low, high = from_s - began_s, to_s - began_s
    if high <= 0 or low >= task.work_s:
        return None
    offset_s = max(0.0, -low)
    if low <= 0 and high >= task.work_s:
        return replace(task, offset_s=offset_s)
    points = _between(task.curve, max(0.0, low), min(high, task.work_s))
    return replace(task, curve=points, offset_s=offset_s) if len(points) > 1 else None


def _between(curve: Curve, low: float, high: float) -> Curve:
    """The part of a curve in [low, high], from 0 on."""
    points: list[tuple[float, int]] = []
    for (t0, b0), (t1, b1) in pairwise(curve):
        if t1 <= low or t0 >= high:
            continue
        start, end = max(t0, low), min(t1, high)
        slope = (b1 - b0) / (t1 - t0)
        if not points:
            points.append((0.0, int(b0 + slope * (start - t0))))
        if end - low > points[-1][0]:
            points.append((end - low, int(b0 + slope * (end - t0))))
    return tuple(points)


def _line(spans: list[Span], cells: int) -> list[float]:
    """The sum over calls of the most each uses in a second, and of the agent: an upper bound of their sum."""
    line = [0.0] * cells
    for span in spans:
        first, last = int(span.since_s / CELL_S), ceil(span.end_s / CELL_S)
        for cell in range(first, min(last, cells)):
            line[cell] = max(line[cell], float(span.agent_bytes))
    for span in spans:
        for task in span.tasks:
            for cell, size in _cells(task, span.began_s + task.offset_s).items():
                if cell < cells:
                    line[cell] += size
    return line


def _cells(task: Task, began_s: float) -> dict[int, float]:
    """The most that a call uses in each second it touches."""
    found: dict[int, float] = {}
    for (t0, b0), (t1, b1) in pairwise(task.curve):
        slope = (b1 - b0) / (t1 - t0)
        for cell in range(int((began_s + t0) / CELL_S), int((began_s + t1) / CELL_S) + 1):
            low, high = max(t0, cell * CELL_S - began_s), min(t1, (cell + 1) * CELL_S - began_s)
            if low < high:
                size = max(b0 + slope * (low - t0), b0 + slope * (high - t0))
                found[cell] = max(found.get(cell, 0.0), size)
    return found
