from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.plan.question import Question, Together
from agentcgroup.plan.search import COARSE, FINE, Job, edge, search
from agentcgroup.plan.trial import Trial, room_bytes
from tests.plan.made import GIB, MIB, bursty, idle


@given(st.integers(0, 3000), st.integers(0, 3000), st.integers(1, 4000), st.sampled_from([FINE, COARSE]))
def test_the_search_finds_the_edge(last: int, cap: int, guess: int, part: int) -> None:
    tried: list[int] = []

    def passes(agents: int) -> bool:
        tried.append(agents)
        return agents <= last

    found, most = edge(passes, cap, guess, part)
    right = min(last, cap)
    assert found <= right <= most
    assert most - found <= found / part
    assert found == 0 or found in tried
    assert len(tried) <= 40
    assert all(1 <= agents <= cap for agents in tried)


def test_a_calm_host_slows_nobody_when_it_is_played_all_the_same() -> None:
    sessions = [bursty(100 * MIB, 50 * MIB, 600 * MIB, at_s, f"s{at_s}") for at_s in (5.0, 20.0, 47.0)]
    trial = Trial(Question(16 * GIB, 64), sessions, Together.INDEPENDENT, "seed")
    peaks = trial._peaks(20, 60)
    calm = [number for number, peak in enumerate(peaks) if peak < 0.75 * 16 * GIB]
    assert len(calm) == 60
    for number in calm[:3]:
        result = trial._play(20, number)
        assert all(call.ending == "ok" for call in result.calls)
        assert max(session.slowdown for session in result.sessions) < 1.001
        assert result.peak_bytes <= peaks[number] + MIB


def test_no_round_loses_anybody_whose_demand_fits() -> None:
    sessions = [bursty(100 * MIB, 50 * MIB, 1500 * MIB, at_s, f"s{at_s}") for at_s in (5.0, 20.0, 47.0)]
    lost = {True: 0, False: 0}
    for name in ("none", "ladder"):
        trial = Trial(Question(8 * GIB, 64, policy=name), sessions, Together.INDEPENDENT, "seed")
        room = room_bytes(trial.question)
        for number, peak in enumerate(trial._peaks(18, 20)):
            result = trial._play(18, number)
            lost[peak <= room] += sum(call.ending in ("oom", "killed") for call in result.calls)
    assert lost[True] == 0
    assert lost[False] > 0


def test_bursts_that_come_together_leave_room_for_fewer() -> None:
    sessions = (bursty(100 * MIB, 50 * MIB, 1500 * MIB, 20.0),)
    question = Question(8 * GIB, 1000, risk=0.01, policy="none")
    alone, half, together = (search((question, sessions), Job(0, "none", how)).agents for how in Together)
    assert alone > half >= together
    assert together == 5  # all at 1600 MiB at once


def test_cpu_bounds_too() -> None:
    found = search((Question(64 * GIB, 4, cpu_share=0.5), (idle(MIB, cores=0.1),)), Job(0, "ladder"))
    assert (found.agents, found.bound) == (20, "cpu")
