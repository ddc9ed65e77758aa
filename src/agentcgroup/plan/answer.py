"""The answer of a plan: agents per host by four ways to give out memory, with intervals, and what is to be said of it.

Interval: sessions are drawn again, whole and with replacement, so often as `Question.replicates` says; from the least
to the most agents that come out. Of 19 replicates that holds nine times in ten. One session has none. Each draw is
searched to a sixteenth only, which makes the interval wider by that, never narrower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from agentcgroup.errors import UsageError
from agentcgroup.plan import reserve
from agentcgroup.plan.load import Sessions
from agentcgroup.plan.question import Question, Together
from agentcgroup.plan.risk import Rate
from agentcgroup.plan.search import COARSE, Check, Common, Found, Job, check, drawn, search
from agentcgroup.plan.session import Session
from agentcgroup.plan.trial import Outcome, chosen_policy
from agentcgroup.study.engine import Engine
from agentcgroup.units import format_size

_DRAWS = 199  # of the sessions, for what needs no simulation
_QUICK = 0.5  # effort of a replicate: many of them average out what each does not see
_CHECKS, _CHECK_EFFORT = 6, 1.0
_TRIES = 4
_STEP = 25  # an answer that does not hold in the check is lowered by a twenty-fifth

T = TypeVar("T")
R = TypeVar("R")
Interval = tuple[int, int] | None
Progress = Callable[[str, int, int], None]  # what is being done, how much of it is done, of how much


@dataclass(frozen=True, slots=True)
class Row:
    """One way to give out memory. ``slowdown`` and ``held_s`` are of memory only; ``bound`` is what limits it."""

    name: str
    agents: int
    interval: Interval
    bound: str
    rate: Rate  # of lost calls and agents
    slowdown: float
    held_s: float  # queued, frozen, throttled, per session-hour
    wasted: float  # share of the memory that is not used on the average
    reserved_bytes: float | None = None  # per agent


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer for the sessions of one set. ``together``: the policy, by how far bursts come together."""

    set: str
    sessions: int
    demand: reserve.Demand
    by_cpu: int | None
    rows: tuple[Row, ...]
    together: tuple[Found, ...]
    notes: tuple[str, ...]


def answer(question: Question, of: Sessions, engine: Engine, progress: Progress) -> Answer:
    """How many agents such as ``of`` the host carries; the same for the same seed, whatever the engine.

    UsageError for a policy that does not exist, and when no session fits.
    """
    chosen_policy(question, of.all)
    least = min(session.peak_bytes for session in of.all)
    if least > question.memory_bytes:
        raise UsageError(
            f"{format_size(question.memory_bytes)} is less than any session of {of.set} needs",
            f"give at least --memory {-(-int(least) // (1 << 20))}m",
        )
    demand = reserve.demand(of.all)
    cpu = reserve.by_cpu(demand, question.cpus, question.cpu_share)
    work = _Work(question, of.all, engine, progress)
    policies = list(dict.fromkeys(("none", question.policy)))
    first = [Job(0, name) for name in policies]
    spread = [Job(0, question.policy, together) for together in (Together.HALF, Together.ALL)]
    found = work.map("searching", search, [*reversed(first), *spread])
    alone = dict(zip(reversed(policies), found, strict=False))
    rows = [_reserving(question, of.all, share, name) for share, name in _RESERVING]
    checked = {name: _checked(work.under(name), alone[name].agents, _title(name)) for name in policies}
    intervals = _intervals(work, {name: agents for name, (agents, _) in checked.items()})
    rows += [_sharing(question, alone[name], *checked[name], intervals.get(name), demand) for name in policies]
    together = (alone[question.policy], *found[len(policies) :])
    return Answer(of.set, len(of.all), demand, cpu, tuple(rows), together, tuple(_notes(question, of, demand, rows)))


_RESERVING = ((1.0, "peak-reserving"), (reserve.PERCENTILE, "p95-reserving"))


@dataclass(frozen=True, slots=True)
class _Work:
    question: Question
    sessions: tuple[Session, ...]
    engine: Engine
    progress: Progress

    def under(self, policy: str) -> _Work:
        """The same under another policy."""
        return replace(self, question=_under(self.question, policy))

    def map(self, what: str, function: Callable[[Common, T], R], items: Sequence[T]) -> list[R]:
        """As `Engine.map`, telling how far it is."""
        self.progress(what, 0, len(items))
        told = lambda done: self.progress(what, done, len(items))  # noqa: E731
        return self.engine.map(function, (self.question, self.sessions), items, told)


def _reserving(question: Question, sessions: Sequence[Session], share: float, name: str) -> Row:
    def agents(of: Sequence[Session]) -> int:
        cpu = reserve.by_cpu(reserve.demand(of), question.cpus, question.cpu_share)
        held = reserve.reservation(of, share, question.memory_bytes).agents
        return held if cpu is None else min(cpu, held)

    whole, demand = reserve.reservation(sessions, share, question.memory_bytes), reserve.demand(sessions)
    count = agents(sessions)
    drawn_counts = sorted(agents(drawn(sessions, number, question.seed)) for number in range(1, _DRAWS + 1))
    cut = round(_DRAWS / (question.replicates + 1))  # as much on either side as the replicates of a search leave
    interval = (drawn_counts[cut], drawn_counts[-1 - cut]) if len(sessions) > 1 and question.replicates else None
    return Row(
        name,
        count,
        interval,
        "memory" if count == whole.agents else "cpu",
        Rate(whole.lost, demand.hours),
        1.0,
        0.0,
        1 - count * demand.memory_bytes / question.memory_bytes,
        whole.bytes,
    )


def _sharing(
    question: Question, found: Found, agents: int, outcome: Outcome, interval: Interval, demand: reserve.Demand
) -> Row:
    """The row of a policy: what was searched, and checked in other rounds."""
    wasted = 1 - agents * demand.memory_bytes / question.memory_bytes
    bound = found.bound if agents == found.agents else "risk" if found.bound == "cpu" else found.bound
    name = _title(found.job.policy)
    return Row(name, agents, interval, bound, outcome.rate, outcome.slowdown, outcome.held_s, wasted)


def _intervals(work: _Work, agents: Mapping[str, int]) -> dict[str, Interval]:
    """Of each policy that carries any; nothing where none is to be given."""
    carry = [name for name, count in agents.items() if count]
    if len(work.sessions) < 2 or not work.question.replicates or not carry:
        return {}
    # The whole first, and what takes longest: so that no worker waits for the last one.
    jobs = [Job(0, name, guess=agents[name], effort=_QUICK) for name in reversed(carry)]
    for name in reversed(carry):
        numbers = range(1, work.question.replicates + 1)
        jobs += [Job(number, name, guess=agents[name], effort=_QUICK, part=COARSE) for number in numbers]
    found = work.map("drawing sessions again", search, jobs)
    return {name: _interval(agents[name], [one for one in found if one.job.policy == name]) for name in carry}


def _interval(agents: int, found: Sequence[Found]) -> Interval:
    """With less effort a search finds a little more: what counts is how much the draws differ from the whole."""
    whole, *draws = found
    low, high = min(one.agents for one in draws), max(one.most for one in draws)
    base = max(1, whole.agents)
    return min(agents, int(agents * low / base)), max(agents, int(agents * high / base + 0.5))


def _title(policy: str) -> str:
    return "no control" if policy == "none" else policy


def _under(question: Question, policy: str) -> Question:
    """The same question about another policy; the limit of a call is that of the one that was asked about."""
    return replace(question, policy=policy, call_bytes=question.call_bytes if policy == question.policy else None)


def _checked(work: _Work, agents: int, name: str) -> tuple[int, Outcome]:
    """The answer of a search, lowered until it holds in rounds that the search has not seen; with what came of it."""
    best = Outcome(0, Rate(0, 0.0), 1.0, 0.0, 0.0, ok=True)
    for _ in range(_TRIES):
        if not agents:
            return 0, best
        jobs = [Check(number, agents, _CHECK_EFFORT) for number in range(_CHECKS)]
        best = _pooled(work.map(f"checking {name}", check, jobs))
        if best.rate.value <= work.question.risk and best.slowdown <= work.question.slowdown:
            break
        agents -= max(1, agents // _STEP)
    return best.agents, best


def _pooled(outcomes: Sequence[Outcome]) -> Outcome:
    """All of them as one."""
    count = len(outcomes)
    rate = Rate(sum(one.rate.events for one in outcomes), sum(one.rate.hours for one in outcomes))
    slowdown, held_s = sum(one.slowdown for one in outcomes) / count, sum(one.held_s for one in outcomes) / count
    over = sum(one.over for one in outcomes) / count
    return Outcome(outcomes[0].agents, rate, slowdown, held_s, over, ok=all(one.ok for one in outcomes))


def _notes(question: Question, of: Sessions, demand: reserve.Demand, rows: Sequence[Row]) -> Iterator[str]:
    last = rows[-1]
    if last.agents and not last.rate.resolves(question.risk):
        yield (
            f"A risk of {question.risk:g} per session-hour cannot be told with the {last.rate.hours:.0f} session-hours "
            f"that were simulated of {last.name}: {last.rate.events} lost, so it is below {last.rate.most:.2g} "
            "(95 %). More --effort tells more."
        )
    elif last.agents and last.rate.most > question.risk:
        yield (
            f"{last.name}: {last.rate.events} lost in {last.rate.hours:.0f} session-hours; the estimate keeps the "
            f"risk, its upper bound of 95 % is {last.rate.most:.2g}."
        )
    if last.rate.value > question.risk or last.slowdown > question.slowdown:
        yield f"{last.name}: even so many did not keep the bounds in the check; take fewer, or give more --effort."
    yield (
        f"The traces have {of_sessions(of)} in {demand.hours:.1f} session-hours: what happens less often than once in "
        f"{demand.hours / 3:.2g} hours need not be in them, whatever is simulated."
    )
    if of.sampled:
        yield (
            f"{of.sampled} of them are sampled once a second or so: memory above the agent's own during a shell call "
            "is taken for the call's, all else for the agent's; bursts between two samples are not there."
        )
    if demand.cores is None:
        yield "The traces do not say how much CPU was used, so the CPUs set no limit here."
    elif demand.cores_unknown:
        yield f"The CPU time of {demand.cores_unknown} sessions is not known: they are taken for average ones."
    if of.left_out:
        yield f"Left out: {len(of.left_out)} sessions without memory, such as {of.left_out[0]}."


def of_sessions(of: Sessions) -> str:
    """Such as "33 sessions"."""
    return f"{len(of.all)} session{'s' if len(of.all) != 1 else ''}"
