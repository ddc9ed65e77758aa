"""So many agents on the host: rounds of some minutes, in virtual time, against the policy.

Every round places all agents anew on the tape. First the demand of all rounds is added up as if nobody did anything;
that is cheap, and sorts them:

* *over*: at some instant it exceeds what the policy leaves to be used. Only here somebody can be lost. As many as the
  effort allows are played, and stand for all of them.
* *near*: it exceeds `NEAR` of the host. A few are played, for calls may wait here; who is lost here counts, too.
* *calm*: a work-conserving policy does nothing, nobody is lost or slowed, and nothing is played.

For a policy of which that is not known, all rounds are over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from statistics import median

import polars as pl

from agentcgroup.plan.question import Question, Together
from agentcgroup.plan.risk import Rate, upper
from agentcgroup.plan.session import Session
from agentcgroup.plan.tape import Tape, record
from agentcgroup.policy.registry import policy
from agentcgroup.policy.settings import LadderSettings
from agentcgroup.policy.world import Policy
from agentcgroup.replay.memory import Host
from agentcgroup.replay.result import Ending, Result
from agentcgroup.replay.simulator import simulate

NEAR = 0.75  # of the host: from here on admission may let calls wait for what others are expected to need yet
WARM_S = 30  # agents arrive over this; what happens meanwhile does not count
_LEAST_S, _MOST_S = 270, 1800  # that count, of a round
_LEAST_ROUNDS, _MOST_ROUNDS = 60, 1000  # scanned; between them so many that the risk could be told
_NEAR_ROUNDS = 2  # of those that are near, where more than that are played of those that are over; of many a third
_TELLING = 3  # rounds that are over: so many agree
_LOST = frozenset((Ending.OOM, Ending.KILLED, Ending.REFUSED))


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of ``agents`` on the host. ``rate`` is of lost calls and agents per session-hour."""

    agents: int
    rate: Rate
    slowdown: float  # time of sessions over their time alone
    held_s: float  # queued, frozen and throttled, per session-hour
    over: float  # share of the rounds whose demand exceeds what the policy leaves to be used
    ok: bool

    def to_json(self) -> dict[str, object]:
        """For machines."""
        return {
            "agents": self.agents,
            "lost": self.rate.events,
            "session_hours": round(self.rate.hours, 3),
            "risk_per_session_hour": self.rate.value,
            "risk_at_most": self.rate.most if self.rate.hours else None,
            "slowdown": self.slowdown,
            "held_s_per_session_hour": self.held_s,
            "rounds_over": self.over,
            "ok": self.ok,
        }


class _Played:
    """Rounds of one kind: how many there are, and what came of those that were played."""

    def __init__(self, rounds: Sequence[int], most: int, scanned: int) -> None:
        self.chosen = rounds[:most]
        self.share = len(rounds) / scanned  # of all rounds
        self.weight = len(rounds) / len(self.chosen) if self.chosen else 1.0  # rounds that one of them stands for
        self.count = self.lost = 0
        self.alone_s = self.took_s = self.held_s = 0.0

    def add(self, result: Result, counted_s: int) -> None:
        self.count += 1
        self.lost += _lost(result, WARM_S, WARM_S + counted_s)
        self.alone_s += sum(session.alone_s for session in result.sessions)
        self.took_s += sum(session.seconds for session in result.sessions)
        self.held_s += sum(call.queued_s + call.frozen_s + call.throttled_s for call in result.calls)

    @property
    def stood_for(self) -> float:
        """Which share of these rounds was played; all of them where there are none."""
        return self.count / (len(self.chosen) * self.weight) if self.chosen else 1.0

    @property
    def slower(self) -> float:
        """What these rounds add to the mean slow-down."""
        return self.share * (self.took_s / self.alone_s - 1) if self.alone_s else 0.0

    @property
    def held_share(self) -> float:
        """What they add to the mean share of time for which a session's calls are held."""
        return self.share * self.held_s / self.alone_s if self.alone_s else 0.0


class Trial:
    """Sessions on the host of ``question``. The same ``seed`` places agent number n the same however many there are."""

    def __init__(self, question: Question, sessions: Sequence[Session], together: Together, seed: str) -> None:
        self.question = question
        self._together = together
        self._seed = seed
        self._tape: Tape = record(sessions, Random(f"{seed}.tape"))  # noqa: S311
        self._counted_s = int(min(_MOST_S, max(_LEAST_S, median(one.length_s for one in sessions))))
        self._policy = chosen_policy(question, sessions)
        self._room = room_bytes(question)
        self._dice = [Random(f"{seed}.{number}") for number in range(_MOST_ROUNDS)]  # noqa: S311
        self._places: list[list[int]] = [[] for _ in range(_MOST_ROUNDS)]
        self._sums: dict[int, pl.Series] = {}  # demand of the first so many agents in each second: 2 MB each

    def outcome(self, agents: int, rounds: int) -> Outcome:
        """What becomes of ``agents``; up to ``rounds`` of the rounds that are over are played, fewer when they fail."""
        hours = agents * self._counted_s / 3600
        scanned = round(upper(0) / self.question.risk / hours + 0.5)
        scanned = min(_MOST_ROUNDS, max(_LEAST_ROUNDS, scanned))
        peaks = self._peaks(agents, scanned)
        over = _Played([n for n, peak in enumerate(peaks) if peak > self._room], rounds, scanned)
        most = max(1, min(_NEAR_ROUNDS, rounds - 1), rounds // 3)
        near_bytes = min(self._room, NEAR * self.question.memory_bytes)
        near = _Played([n for n, peak in enumerate(peaks) if near_bytes < peak <= self._room], most, scanned)
        allowed = self.question.risk * hours * scanned
        for part in (over, near):
            for number in part.chosen:
                part.add(self._play(agents, number), self._counted_s)
                hopeless = self._hopeless(over.slower + near.slower, over.count)
                if over.lost * over.weight + near.lost * near.weight > allowed or hopeless:
                    return self._sum(agents, hours * scanned, over, near, ok=False)
        slow = 1 + over.slower + near.slower > self.question.slowdown
        return self._sum(agents, hours * scanned, over, near, ok=not slow)

    def _hopeless(self, slower: float, rounds: int) -> bool:
        """Whether more rounds will not bring the slow-down within its bound."""
        return slower > (self.question.slowdown - 1) * (1.3 if rounds >= _TELLING else 2)

    def _sum(self, agents: int, hours: float, over: _Played, near: _Played, *, ok: bool) -> Outcome:
        """Hours are those for which the rounds that were played stand; where none is over, all that were scanned."""
        stood_for = over.stood_for
        if near.lost:  # so it can happen there as well, and few of them were played
            stood_for = min(stood_for, near.stood_for)
        rate = Rate(over.lost + near.lost, hours * stood_for)
        held_s = 3600 * (over.held_share + near.held_share)
        return Outcome(agents, rate, 1 + over.slower + near.slower, held_s, over.share, ok)

    def _peaks(self, agents: int, scanned: int) -> list[float]:
        """The highest demand of each round if nobody did anything; endless where that says nothing."""
        if self._room <= 0:
            return [float("inf")] * scanned
        cells = self._counted_s
        fewer, total = self._summed(agents, scanned * cells)
        rows = pl.int_range(scanned * cells, eager=True)
        cell, of_round = rows % cells + WARM_S, rows // cells
        for agent in range(fewer, agents):
            places = pl.Series([self._place(number, agent) for number in range(scanned)], dtype=pl.Int64)
            total += self._tape.memory.gather((places.gather(of_round) + cell) % self._tape.length_s)
        self._sums[agents] = total
        peaks: list[float] = total.reshape((scanned, cells)).arr.max().to_list()
        return peaks

    def _summed(self, agents: int, cells: int) -> tuple[int, pl.Series]:
        """The demand of as many of the first ``agents`` as was added up before; fewer agents had no fewer rounds."""
        known = [count for count, total in self._sums.items() if count <= agents and len(total) >= cells]
        if not known:
            return 0, pl.zeros(cells, dtype=pl.Float64, eager=True)
        return max(known), self._sums[max(known)].head(cells)

    def _place(self, number: int, agent: int) -> int:
        """Where on the tape ``agent`` is at 0 of a round."""
        places = self._places[number]
        while len(places) <= agent:
            places.append(self._draw(self._dice[number], len(places)))
        return places[agent]

    def _draw(self, dice: Random, agent: int) -> int:
        if self._begins(agent):
            return dice.choice(self._tape.starts) - WARM_S
        return dice.randrange(self._tape.length_s)

    def _begins(self, agent: int) -> bool:
        """Whether ``agent`` is one of those that begin a session together, when the round begins to count."""
        return self._together is Together.ALL or (self._together is Together.HALF and agent % 2 == 0)

    def _play(self, agents: int, number: int) -> Result:
        dice = Random(f"{self._seed}.{number}.arrivals")  # noqa: S311
        scripts = []
        for agent in range(agents):
            arrives_s = dice.uniform(0, WARM_S)
            arrives_s = float(WARM_S) if self._begins(agent) else arrives_s
            place = self._place(number, agent)
            scripts.append(self._tape.slot(f"s{agent:05d}", place, arrives_s, WARM_S + self._counted_s))
        # Slower than twice the bound is as bad as standing still, and may take very long to play.
        until_s = 2 * self.question.slowdown * (WARM_S + self._counted_s)
        return simulate(scripts, self._policy, Host(self.question.memory_bytes), until_s)


def chosen_policy(question: Question, sessions: Sequence[Session]) -> Policy:
    """The policy that is asked about; UsageError when there is none such."""
    if question.policy != "static":
        return policy(question.policy)
    largest = max((task.peak_bytes for one in sessions for span in one.spans for task in span.tasks), default=0)
    # One byte more: a limit that is met exactly is a kill.
    return policy("static", call_bytes=question.call_bytes or max(1, int(largest * 1.05) + 1))


def room_bytes(question: Question) -> float:
    """Demand below this loses nobody, whatever its course; 0 where that is not known of the policy."""
    if question.policy == "ladder":  # it throttles, freezes and kills when less than its reserve is left
        return question.memory_bytes - LadderSettings().host_reserve_bytes(question.memory_bytes)
    return question.memory_bytes if question.policy == "none" or _harmless(question) else 0


def _harmless(question: Question) -> bool:
    """Whether its limits are so wide that no call meets its own."""
    return question.policy == "static" and question.call_bytes is None


def _lost(result: Result, from_s: float, to_s: float) -> int:
    """Calls and agents that were lost in that time. The calls of a lost agent are not counted again."""
    calls = sum(call.ending in _LOST and from_s <= call.ended_s <= to_s for call in result.calls)
    return calls + sum(not session.agent_alive for session in result.sessions)
