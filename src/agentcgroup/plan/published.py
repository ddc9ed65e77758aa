"""Scripts from sampled sessions: the published format, one memory curve of a whole session, once a second.

What such a curve counts, and what it cannot say:

* It is the memory of the whole container; by the version of podman that took it, anonymous memory without page cache.
* What lies above the agent's own level in samples inside a shell call is taken for the call's. The level during a call
  is the lower one of the last sample before and the first one after it. Everything else is taken for the agent's own,
  which no policy can slow or end: also what a call left behind, and what a tool without a shell used.
* Calls between which no sample lies are one. Calls without a sample inside use nothing: what they used for less than a
  second was not seen. So bursts are at least as high and as steep as here, and the answers of a plan a little too good.
* What a call is expected to need is worked out as live: from its hint, its kind, and what that command needed before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agentcgroup import commands
from agentcgroup.policy import hints
from agentcgroup.policy.expect import History
from agentcgroup.replay.script import Script, Task, Turn, curve

_STEP_BYTES = 8 << 20  # the agent's own memory moves in steps of this; it is never taken for less than it is
_LEAST_BYTES = 4 << 20  # a call that adds less is left to the agent
_SHORTEST_S = 0.01  # so is one that begins and ends at a sample

Sample = tuple[float, int]  # seconds from the first one, bytes


@dataclass(frozen=True, slots=True)
class ShellCall:
    """A call of the agent that ran a shell command. Seconds as those of the samples."""

    start_s: float
    end_s: float
    command: str


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Samples first … last lie in calls, those on both sides do not."""

    first: int
    last: int
    call: ShellCall  # that covers most of it
    start_s: float
    end_s: float


def script(name: str, samples: Sequence[Sample], calls: Sequence[ShellCall], host_bytes: int) -> Script:
    """A script of ``samples`` (in order, one or more) and the shell calls that ran meanwhile.

    ``host_bytes`` is the memory of the host that is planned for: what calls are expected to need depends on it.
    """
    history, turns, now_s, at = History(), list[Turn](), samples[0][0], 0
    for stretch in _stretches(samples, sorted(calls, key=lambda call: call.start_s)):
        level, points = _above(samples, stretch)
        if max(size for _, size in points) < _LEAST_BYTES or stretch.end_s - stretch.start_s < _SHORTEST_S:
            continue
        turns += _idle(samples[at : stretch.first], now_s, stretch.start_s)
        task, history = _task(stretch, points, history, host_bytes)
        turns.append(Turn(0.0, (task,), level))
        now_s, at = stretch.start_s + task.work_s, stretch.last + 1
    turns += _idle(samples[at:], now_s, samples[-1][0])
    return Script(name, tuple(turns), agent_bytes=samples[0][1])


def _stretches(samples: Sequence[Sample], calls: Sequence[ShellCall]) -> Iterator[_Stretch]:
    """Runs of samples inside calls."""
    inside = _inside(samples, calls)
    at = 0
    while at < len(samples):
        if inside[at] is None:
            at += 1
            continue
        first = at
        while at < len(samples) and inside[at] is not None:
            at += 1
        covering = [call for call in inside[first:at] if call is not None]
        start_s = max(covering[0].start_s, samples[first - 1][0] if first else samples[0][0])
        end_s = min(covering[-1].end_s, samples[at][0] if at < len(samples) else samples[-1][0])
        most = max(covering, key=covering.count)
        yield _Stretch(first, at - 1, most, min(start_s, samples[first][0]), max(end_s, samples[at - 1][0]))


def _inside(samples: Sequence[Sample], calls: Sequence[ShellCall]) -> list[ShellCall | None]:
    """For each sample the call that it lies in, of several the one that ends last."""
    found: list[ShellCall | None] = []
    longest: ShellCall | None = None
    at = 0
    for t_s, _ in samples:
        while at < len(calls) and calls[at].start_s <= t_s:
            longest = calls[at] if longest is None or calls[at].end_s > longest.end_s else longest
            at += 1
        found.append(longest if longest is not None and longest.end_s >= t_s else None)
    return found


def _above(samples: Sequence[Sample], stretch: _Stretch) -> tuple[int, list[Sample]]:
    """The level of the agent during ``stretch``, and what lies above it, from its begin."""
    beside = [samples[at][1] for at in (stretch.first - 1, stretch.last + 1) if 0 <= at < len(samples)]
    within = samples[stretch.first : stretch.last + 1]
    level = min(beside, default=min(size for _, size in within))
    return level, [(t_s - stretch.start_s, max(0, size - level)) for t_s, size in within]


def _task(stretch: _Stretch, points: Sequence[Sample], history: History, host_bytes: int) -> tuple[Task, History]:
    """A call that uses ``points``, and what is remembered after it."""
    argv = ("bash", "-c", stretch.call.command)
    command = commands.classify(argv)
    key, hint = commands.normalised(command), hints.of_call(argv, "")
    expected = history.expected(key, command.kind, hint, None, host_bytes)
    end_s = stretch.end_s - stretch.start_s
    ends = [(end_s, points[-1][1])] if end_s > points[-1][0] else []
    task = Task(
        "call",
        curve([(0.0, 0), *points, *ends]),
        expected_bytes=expected.memory_bytes,
        expected_high_bytes=expected.high_bytes,
        expected_by=expected.source,
    )
    return task, history.observe(key, command.kind, task.peak_bytes, task.work_s)


def _idle(samples: Sequence[Sample], from_s: float, to_s: float) -> Iterator[Turn]:
    """The agent alone, in steps."""
    now_s, low, high = from_s, None, 0
    for t_s, size in samples:
        if low is not None and max(high, size) - min(low, size) > _STEP_BYTES and t_s > now_s:
            yield Turn(t_s - now_s, (), high)
            now_s, low = t_s, None
        low, high = (size, size) if low is None else (min(low, size), max(high, size))
    if to_s > now_s:
        yield Turn(to_s - now_s, (), high if low is not None else None)
