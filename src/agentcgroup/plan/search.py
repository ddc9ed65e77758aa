"""The most agents that stay within the bounds: the work of one process, for one draw of the sessions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from agentcgroup.plan import reserve
from agentcgroup.plan.question import Question, Together
from agentcgroup.plan.session import Session
from agentcgroup.plan.trial import Outcome, Trial

_WORK = 12_000  # agents squared x rounds played: the time of a round grows like that
_LEAST_ROUNDS, _MOST_ROUNDS = 3, 40
FINE, COARSE = 50, 16  # a search stops when it knows the answer to such a part of it


@dataclass(frozen=True, slots=True)
class Job:
    """One search. Replicate 0 is the sessions as they are, every other one a draw from them with replacement."""

    replicate: int
    policy: str
    together: Together = Together.INDEPENDENT
    guess: int | None = None
    effort: float = 1.0
    part: int = FINE


@dataclass(frozen=True, slots=True)
class Check:
    """``agents`` tried once more, with a tape of its own."""

    number: int
    agents: int
    effort: float = 1.0


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found: with ``agents`` the bounds hold, with more than ``most`` they do not.

    ``bound`` is what keeps it from being more: cpu, risk, slow-down, or memory (the mean).
    """

    job: Job
    agents: int
    most: int
    bound: str
    steps: tuple[Outcome, ...]  # by agents


Common = tuple[Question, tuple[Session, ...]]


def drawn(sessions: Sequence[Session], replicate: int, seed: int) -> tuple[Session, ...]:
    """The sessions of a replicate."""
    if replicate == 0:
        return tuple(sessions)
    return tuple(Random(f"{seed}.replicate.{replicate}").choices(sessions, k=len(sessions)))  # noqa: S311


def search(common: Common, job: Job) -> Found:
    """The most agents with which ``job`` stays within the bounds."""
    question, sessions = common
    question = replace(question, policy=job.policy, call_bytes=question.call_bytes if job.policy == "static" else None)
    mine = drawn(sessions, job.replicate, question.seed)
    of = reserve.demand(mine)
    cpu = reserve.by_cpu(of, question.cpus, question.cpu_share)
    cap = reserve.by_mean(of, question.memory_bytes)
    cap = cap if cpu is None else min(cap, cpu)
    trial = Trial(question, mine, job.together, f"{question.seed}.{job.replicate}")
    steps: dict[int, Outcome] = {}

    def passes(agents: int) -> bool:
        steps[agents] = trial.outcome(agents, rounds_of(agents, question.effort * job.effort))
        return steps[agents].ok

    guess = job.guess or min(cap, reserve.reservation(mine, 0.95, question.memory_bytes).agents)
    found, most = edge(passes, cap, guess, job.part)
    tried = tuple(steps[agents] for agents in sorted(steps))
    return Found(job, found, most, _bound(found, cpu, steps, question), tried)


def check(common: Common, job: Check) -> Outcome:
    """What becomes of so many agents, in other rounds than those of the search."""
    question, sessions = common
    trial = Trial(question, sessions, Together.INDEPENDENT, f"{question.seed}.check.{job.number}")
    return trial.outcome(job.agents, rounds_of(job.agents, question.effort * job.effort))


def rounds_of(agents: int, effort: float) -> int:
    """How many rounds are played with so many agents."""
    affordable = int(_WORK / max(1, agents) ** 2)
    return max(1, round(effort * max(_LEAST_ROUNDS, min(_MOST_ROUNDS, affordable))))


def edge(passes: Callable[[int], bool], cap: int, guess: int, part: int = FINE) -> tuple[int, int]:
    """A number that passes, and one that no larger number is found to pass, at most a ``part``-th of the first apart.

    Up to ``cap``; 0 passes. Begins at ``guess``.
    """
    low, high = 0, cap
    agents, step = max(1, min(guess, cap)), max(1, 3 * guess // part)
    while low < high:
        if passes(agents):
            low, agents = agents, min(cap, agents + step)
        else:
            high, agents = agents - 1, max(low + 1, agents - step)
        step *= 2
        if low > 0 and high < cap:  # both ends are known now
            break
    while high - low > max(low, 1) // part:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if passes(middle) else (low, middle - 1)
    return low, high


def _bound(found: int, cpu: int | None, steps: dict[int, Outcome], question: Question) -> str:
    above = [outcome for agents, outcome in steps.items() if agents > found]
    if cpu is not None and found >= cpu:
        return "cpu"
    if above:
        nearest = min(above, key=lambda outcome: outcome.agents)
        return "risk" if nearest.rate.value > question.risk else "slow-down"
    return "memory"
