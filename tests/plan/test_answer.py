from __future__ import annotations

from typing import Any

import pytest

from agentcgroup.errors import UsageError
from agentcgroup.plan.answer import Answer, answer
from agentcgroup.plan.chart import answer_json
from agentcgroup.plan.question import Question
from agentcgroup.plan.session import Session
from agentcgroup.study.engine import Inline, open_engine
from tests.plan.made import GIB, MIB, bursty, busy, idle, sessions


def asked(memory: int, cpus: float = 1000, *, risk: float = 0.05, replicates: int = 3, **more: Any) -> Question:
    """A question that is answered soon."""
    return Question(memory, cpus, risk=risk, replicates=replicates, effort=0.1, **more)


def ask(question: Question, *of: Session) -> Answer:
    return answer(question, sessions(*of), Inline(), lambda *_: None)


def agents(found: Answer) -> dict[str, int]:
    return {row.name: row.agents for row in found.rows}


@pytest.mark.parametrize(
    ("memory", "size", "count"), [(10 * GIB, GIB, 10), (10 * GIB + 5, GIB, 10), (4 * GIB, 3 * GIB, 1)]
)
def test_agents_of_one_size_fill_the_host(memory: int, size: int, count: int) -> None:
    found = ask(asked(memory), idle(size))
    assert agents(found) == {"peak-reserving": count, "p95-reserving": count, "no control": count, "ladder": count}
    assert [row.interval for row in found.rows] == [None] * 4  # one session: no interval is invented
    assert found.rows[-1].wasted == pytest.approx(1 - count * size / memory)


def test_calls_of_one_size_fill_the_host_without_control() -> None:
    found = agents(ask(asked(4 * GIB), busy(112 * MIB, 400 * MIB)))
    assert found["peak-reserving"] == found["no control"] == 8
    assert found["ladder"] <= 8


def test_reservations_are_what_they_are_by_hand() -> None:
    many = [idle((100 + n) * MIB, name=f"s{n}", length_s=180) for n in range(20)]
    found = ask(asked(10 * GIB), *many)
    peak, most = found.rows[:2]
    assert (peak.reserved_bytes, peak.agents, peak.rate.events) == (119 * MIB, 10 * GIB // (119 * MIB), 0)
    assert (most.reserved_bytes, most.agents, most.rate.events) == (118 * MIB, 10 * GIB // (118 * MIB), 1)
    assert most.rate.value == pytest.approx(1.0)  # one of 20 sessions of 180 s: once an hour
    assert all(row.interval and row.interval[0] <= row.agents <= row.interval[1] for row in found.rows)


def test_sharing_carries_more_than_reserving_the_peak() -> None:
    found = ask(asked(8 * GIB), *[bursty(100 * MIB, 50 * MIB, 1500 * MIB, t, str(t)) for t in (5.0, 31.0)])
    assert agents(found)["peak-reserving"] == 5
    assert agents(found)["ladder"] > 5
    assert found.rows[-1].slowdown <= 1.1
    assert [one.job.together for one in found.together] == ["independent", "half", "all"]


def test_more_memory_never_fewer_agents() -> None:
    one, two = bursty(150 * MIB, 50 * MIB, 600 * MIB, 8.0, "a"), bursty(200 * MIB, 80 * MIB, 500 * MIB, 33.0, "b")
    counts = [agents(ask(asked(size * GIB, replicates=0), one, two)) for size in (1, 2, 3, 4)]
    for name in counts[0]:
        series = [count[name] for count in counts]
        assert series == sorted(series), name
        assert series[0] < series[-1], name


def test_the_same_seed_the_same_answer_whatever_the_workers() -> None:
    question = asked(3 * GIB, seed=3)
    of = [bursty(100 * MIB, 50 * MIB, 900 * MIB, t, str(t)) for t in (5.0, 31.0)]
    here = answer_json(question, ask(question, *of))
    with open_engine("local", 2) as engine:
        there = answer_json(question, answer(question, sessions(*of), engine, lambda *_: None))
    assert here == there


def test_a_risk_that_cannot_be_told_is_not_claimed() -> None:
    of = [bursty(100 * MIB, 50 * MIB, 900 * MIB, t, str(t)) for t in (5.0, 31.0)]
    question = asked(3 * GIB, risk=1e-6, replicates=0)
    found = ask(question, *of)
    last = found.rows[-1]
    assert not last.rate.resolves(1e-6)
    assert any("cannot be told" in note and f"{last.rate.most:.2g}" in note for note in found.notes)


def test_static_keeps_calls_under_their_limit_and_loses_those_that_pass_it() -> None:
    of = bursty(100 * MIB, 50 * MIB, 900 * MIB, 5.0)
    assert agents(ask(asked(4 * GIB, policy="static"), of))["static"] >= 4
    narrow = asked(4 * GIB, policy="static", call_bytes=500 * MIB)
    assert agents(ask(narrow, of))["static"] == 0


def test_cpu_that_is_not_known_sets_no_limit_and_that_is_said() -> None:
    found = ask(asked(GIB, 1), idle(100 * MIB, cores=None))
    assert found.by_cpu is None
    assert agents(found)["ladder"] == 10
    assert any("how much CPU" in note for note in found.notes)


def test_a_host_below_one_session_and_a_policy_that_does_not_exist_are_refused() -> None:
    with pytest.raises(UsageError, match=r"less than any session of made needs; give at least --memory 1024m"):
        ask(Question(512 * MIB, 4), idle(GIB))
    with pytest.raises(UsageError, match="'fastest' is no policy"):
        ask(Question(GIB, 4, policy="fastest"), idle(MIB))


@pytest.mark.parametrize(
    "wrong",
    [{"risk": 0}, {"risk": 1}, {"slowdown": 1}, {"cpu_share": 0}, {"cpus": 0}, {"memory_bytes": 0}, {"call_bytes": 5}],
)
def test_numbers_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Question(**{"memory_bytes": GIB, "cpus": 4, **wrong})
