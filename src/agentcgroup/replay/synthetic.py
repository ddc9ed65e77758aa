"""Scripts from a seed: what agents' sessions look like, bursts of a second or two on a flat baseline.

Shapes and sizes follow what was published of 144 coding sessions (the AgentCgroup study): most calls take well under a
second and hardly any memory, a few run tests or builds and burst to several hundred MiB for one or two seconds, and the
agent thinks for seconds in between.
"""

from __future__ import annotations

import random

from agentcgroup.model import Priority
from agentcgroup.replay.script import Script, Task, Turn, curve

_MIB = 1 << 20


def sessions(count: int, seed: int, calls: int = 50, peak_bytes: int = 600 * _MIB) -> list[Script]:
    """``count`` scripts of ``calls`` calls each, bursts up to about ``peak_bytes``; the same for the same seed.

    Every third session is of high, normal or low priority in turn; they arrive over half a minute.
    """
    made = []
    for index in range(count):
        dice = random.Random(f"{seed}.{index}")  # noqa: S311
        turns = tuple(_turn(dice, number, peak_bytes) for number in range(calls))
        made.append(
            Script(
                name=f"s{index:04d}",
                turns=turns,
                agent_bytes=dice.randint(120, 260) * _MIB,
                priority=Priority((index + 1) % 3),
                arrives_s=dice.uniform(0, 30),
            )
        )
    return made


def burst(name: str, work_s: float, base_bytes: int, peak_bytes: int, at_share: float = 0.4) -> Task:
    """A call on a flat ``base_bytes`` with one burst of about a second (less in a short call) up to ``peak_bytes``."""
    half_s = min(0.6, work_s / 5)
    middle = max(2 * half_s, min(work_s - 2 * half_s, work_s * at_share))
    points = [
        (0.0, base_bytes // 4),
        (min(0.2, half_s), base_bytes),
        (middle - half_s, base_bytes),
        (middle, peak_bytes),
        (middle + half_s, base_bytes),
        (work_s, base_bytes),
    ]
    return Task(name, curve(points))


def steady(name: str, work_s: float, size: int, grow_s: float = 0.2) -> Task:
    """A call that takes ``size`` bytes within ``grow_s`` and keeps them."""
    return Task(name, curve([(0.0, 1 << 20), (min(grow_s, work_s / 2), size), (work_s, size)]))


def _turn(dice: random.Random, number: int, peak_bytes: int) -> Turn:
    think_s = dice.expovariate(1 / 4.0)
    roll = dice.random()
    if roll < 0.75:  # ls, grep, git, an edit
        task = steady(f"c{number}", dice.lognormvariate(-1.6, 0.8), dice.randint(2, 25) * _MIB, 0.05)
    elif roll < 0.9:  # a script, a few tests
        task = steady(f"c{number}", dice.lognormvariate(1.0, 0.6), int(peak_bytes * dice.uniform(0.1, 0.35)))
    else:  # a test suite, an install, a build
        work_s = max(2.0, dice.lognormvariate(2.3, 0.7))
        base = int(peak_bytes * dice.uniform(0.15, 0.3))
        task = burst(f"c{number}", work_s, base, int(peak_bytes * dice.uniform(0.5, 1.1)), dice.uniform(0.2, 0.9))
    return Turn(think_s, (task,))
