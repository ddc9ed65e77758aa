"""memory.min and memory.low: for the agents first, then by priority, never more than the host has."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.model import Priority
from agentcgroup.policy.protection import distribute
from agentcgroup.policy.settings import LadderSettings
from agentcgroup.policy.world import SessionState
from tests.policy.fake_kernel import GIB, MIB

SETTINGS = LadderSettings()
sizes = st.integers(0, 8 * 1024).map(lambda mib: mib * MIB)


def session(name: str, priority: Priority, budget: int | None, agent: int) -> SessionState:
    return SessionState(name, priority, 200 * MIB + agent, budget, None, agent)


hosts = st.lists(
    st.builds(session, st.just("s"), st.sampled_from(list(Priority)), st.none() | sizes, sizes), max_size=12
)


@given(hosts, st.integers(1, 64).map(lambda gib: gib * GIB))
def test_the_sum_fits_into_the_host_and_low_includes_min(sessions: list[SessionState], host: int) -> None:
    given_ = [amounts for _, amounts in distribute(sessions, {}, host, SETTINGS)]
    assert all(0 <= least <= low for low, least in given_)
    assert sum(low for low, _ in given_) <= host * SETTINGS.protect_most_share + MIB


def test_the_higher_priority_has_its_share_first() -> None:
    sessions = [session(name, priority, 4 * GIB, 100 * MIB) for name, priority in zip("abc", Priority, strict=True)]
    low = {one.name: amounts[0] for one, amounts in distribute(sessions, {}, 6 * GIB, SETTINGS)}
    assert low["c"] >= 3 * GIB
    assert low["c"] > low["b"] > low["a"]
    assert low["a"] >= 100 * MIB, "its agent all the same"


def test_an_agent_that_was_squeezed_keeps_what_it_had() -> None:
    before = {"s": (500 * MIB, 400 * MIB)}
    ((_, (_, least)),) = distribute([session("s", Priority.NORMAL, 4 * GIB, 50 * MIB)], before, 64 * GIB, SETTINGS)
    assert least == 400 * MIB
