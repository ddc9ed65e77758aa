"""Whatever world a policy is shown and whatever it is told: it answers, about what is there, and stays as it was."""

from __future__ import annotations

from typing import get_args

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentcgroup.model import Priority
from agentcgroup.policy import registry
from agentcgroup.policy.world import Action as AnyAction
from agentcgroup.policy.world import (
    Admit,
    Asked,
    Began,
    CallId,
    CallState,
    Ended,
    Kill,
    Moved,
    Policy,
    Protect,
    Refuse,
    Request,
    SessionState,
    Signal,
    Stalled,
    Tripwire,
    Woken,
    World,
)
from tests.policy.fake_kernel import GIB, MIB

names, priorities = st.sampled_from("xyz"), st.sampled_from(list(Priority))
sizes = st.integers(0, 3 * GIB)
ids = st.builds(CallId, names, st.sampled_from("abcd"))
psi = st.integers(0, 2_000_000)
signals: st.SearchStrategy[Signal] = st.one_of(
    st.builds(Asked, ids),
    st.builds(Began, ids),
    st.builds(Ended, ids),
    st.builds(Moved, names, st.none() | ids, *[st.integers(0, 3)] * 4),
    st.builds(Stalled, st.none() | names, psi, st.integers(1, 2_000_000), st.booleans()),
    st.just(Woken()),
)


@st.composite
def worlds(draw: st.DrawFn, now_s: float) -> World:
    """Any world, also one that no kernel would show: sums need not add up."""
    sessions = []
    for name in draw(st.lists(names, unique=True)):
        calls = tuple(
            CallState(
                CallId(name, call),
                draw(priorities),
                draw(st.floats(0, now_s)),
                draw(sizes),
                draw(st.none() | sizes),
                draw(st.none() | sizes),
                draw(st.none() | sizes),
                draw(st.booleans()),
                draw(sizes),
                draw(st.booleans()),
            )
            for call in draw(st.lists(st.sampled_from("abcd"), unique=True))
        )
        limits = draw(st.none() | st.integers(MIB, 4 * GIB)), draw(st.none() | st.integers(MIB, 4 * GIB))
        sessions.append(SessionState(name, draw(priorities), draw(sizes), *limits, draw(sizes), calls))
    there = {call.id for session in sessions for call in session.calls}
    requests = [
        Request(id_, draw(priorities), draw(st.floats(0, now_s)), draw(st.none() | sizes))
        for id_ in draw(st.lists(ids, unique=True))
        if id_ not in there
    ]
    host = draw(st.integers(GIB, 16 * GIB))
    return World(now_s, host, draw(st.integers(0, host)), tuple(sessions), tuple(requests))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data(), st.sampled_from(registry.names()))
def test_every_question_has_an_answer_about_what_is_there(data: st.DataObject, name: str) -> None:
    policy: Policy = registry.policy(name)
    now_s = 0.0
    for _ in range(data.draw(st.integers(1, 6))):
        now_s += data.draw(st.sampled_from((0.0, 0.01, 0.3, 5.0, 70.0)))
        world = data.draw(worlds(now_s))
        before = repr(policy)
        decision = policy.decide(world, data.draw(signals))
        assert repr(policy) == before
        for action in decision.actions:
            check(world, action)
        policy = decision.policy
        assert policy.name == name


def check(world: World, action: AnyAction) -> None:
    assert isinstance(action, get_args(AnyAction))
    sessions = {session.name for session in world.sessions}
    calls = {call.id for session in world.sessions for call in session.calls}
    match action:
        case Protect(session=session) | Tripwire(session=session):
            assert session in sessions
        case Admit(id=id_) | Refuse(id=id_):
            assert id_ in {request.id for request in world.requests}
        case _:
            assert action.id in calls
            assert action.reason
    if isinstance(action, Kill):
        assert action.rule
