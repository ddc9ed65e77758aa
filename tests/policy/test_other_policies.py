"""The policies to compare with, and how policies are found by name."""

from __future__ import annotations

import sys
from dataclasses import FrozenInstanceError, dataclass, replace
from pathlib import Path

import pytest

from agentcgroup.errors import UsageError
from agentcgroup.model import Priority
from agentcgroup.policy import registry
from agentcgroup.policy.ladder import Ladder
from agentcgroup.policy.world import (
    Admit,
    Began,
    CallId,
    CallState,
    Decision,
    Kill,
    Limit,
    Moved,
    Policy,
    Request,
    SessionState,
    Signal,
    Stalled,
    Woken,
    World,
)
from tests.policy.fake_kernel import GIB, MIB

A, B = CallId("s", "a"), CallId("s", "b")


def world(now_s: float, used: int, limit: int | None = GIB, requests: tuple[Request, ...] = ()) -> World:
    calls = (
        CallState(A, Priority.NORMAL, 0.0, used * 2 // 3),
        CallState(B, Priority.NORMAL, 0.0, used // 3),
    )
    session = SessionState("s", Priority.NORMAL, used + 100 * MIB, None, limit, 100 * MIB, calls)
    return World(now_s, 8 * GIB, 8 * GIB - used, (session,), requests)


def play(policy: Policy, used: int, until_s: float) -> list[tuple[float, Kill]]:
    """Wake it whenever it asks; its kills."""
    kills, now_s = [], 0.0
    while now_s <= until_s:
        decision = policy.decide(world(now_s, used), Woken())
        policy = decision.policy
        kills += [(now_s, action) for action in decision.actions if isinstance(action, Kill)]
        assert decision.wake_s is not None
        assert decision.wake_s > now_s
        now_s = decision.wake_s
    return kills


@pytest.mark.parametrize("name", ["none", "static", "user-space"])
def test_the_others_admit_everybody_in_order(name: str) -> None:
    asked = (Request(CallId("s", "x"), Priority.LOW, 0.0), Request(CallId("s", "y"), Priority.HIGH, 0.0, 99 * GIB))
    decision = registry.policy(name).decide(world(1.0, 100 * MIB, requests=asked), Woken())
    assert [action.id.call for action in decision.actions if isinstance(action, Admit)] == ["x", "y"]


def test_none_does_nothing_whatever_happens() -> None:
    signals: tuple[Signal, ...] = (Moved("s", A, oom=1), Stalled(None, 500_000, 500_000), Began(A), Woken())
    for signal in signals:
        assert registry.policy("none").decide(world(1.0, GIB), signal) == Decision(registry.policy("none"))


def test_static_gives_every_call_the_same_limit() -> None:
    actions = registry.policy("static", call_bytes=64 * MIB).decide(world(1.0, MIB), Began(A)).actions
    assert actions == (Limit(A, None, 64 * MIB, "the same limit for every call"),)
    half = registry.policy("static").decide(world(1.0, MIB), Began(A)).actions
    assert half == (Limit(A, None, GIB // 2, "the same limit for every call"),)
    assert registry.policy("static").decide(world(1.0, MIB, limit=None), Began(A)).actions == ()


def test_user_space_kills_the_largest_after_five_seconds_over_the_threshold_and_no_sooner() -> None:
    kills = play(registry.policy("user-space"), 950 * MIB, 11.5)
    assert [(at_s, kill.id, kill.rule) for at_s, kill in kills] == [
        (5.0, A, "session-pressure"),
        (10.0, A, "session-pressure"),
    ]
    assert kills[0][1].reason == "more than 90% of the memory in use for 5 s"
    assert not play(registry.policy("user-space"), 900 * MIB, 30)


def test_user_space_looks_once_a_second_however_many_signals_come() -> None:
    policy = registry.policy("user-space", for_s=0)
    policy = policy.decide(world(0.0, 100 * MIB), Woken()).policy
    decision = policy.decide(world(0.5, 1000 * MIB), Moved("s", None, max=1))
    assert decision.actions == ()
    assert decision.wake_s == 1.0


def test_user_space_believes_psi() -> None:
    policy = registry.policy("user-space", for_s=0)
    policy = policy.decide(world(0.0, MIB), Woken()).policy
    policy = policy.decide(world(0.9, MIB), Stalled("s", 400_000, 500_000)).policy
    kill = next(action for action in policy.decide(world(1.0, MIB), Woken()).actions if isinstance(action, Kill))
    assert "stalled for more than 60% of the time" in kill.reason


@pytest.mark.parametrize("name", registry.names())
def test_a_policy_is_a_value(name: str) -> None:
    policy = registry.policy(name)
    assert policy.name == name
    assert policy == registry.policy(name)
    before = repr(policy)
    first = policy.decide(world(1.0, 1000 * MIB), Stalled("s", 400_000, 500_000))
    assert repr(policy) == before, "deciding changes nothing in it"
    assert first == policy.decide(world(1.0, 1000 * MIB), Stalled("s", 400_000, 500_000))
    with pytest.raises((FrozenInstanceError, AttributeError, TypeError)):
        policy.name = "other"  # type: ignore[misc]


@dataclass(frozen=True)
class Mine:
    """A policy of somebody else."""

    eager: bool = False
    name: str = "mine"

    def decide(self, world: World, signal: Signal) -> Decision:
        return Decision(self)


MADE = Mine(eager=True)


def test_a_dotted_path_names_a_class_a_value_or_a_function() -> None:
    here = __name__
    assert registry.policy(f"{here}:Mine") == Mine()
    assert registry.policy(f"{here}.Mine", eager=True) == MADE
    assert registry.policy(f"{here}:MADE") is MADE


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("fastest", "is no policy; give none, static, user-space, ladder, or a path"),
        ("os.system('true')", "is no policy"),
        ("no_such_module_xyz:Policy", "put the folder of no_such_module_xyz on PYTHONPATH"),
        ("json:Nothing", "json has no Nothing"),
        ("json:loads", "cannot be made"),
        ("collections:OrderedDict", "gave no policy but OrderedDict"),
    ],
)
def test_what_is_no_policy_is_refused_with_the_fix(name: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        registry.policy(name)
    assert says in str(caught.value)


def test_settings_are_checked_by_name_and_value() -> None:
    assert registry.policy("ladder", freeze_s=20.0) == Ladder(replace(Ladder().settings, freeze_s=20.0))
    with pytest.raises(UsageError, match="no setting 'frieze_s'"):
        registry.policy("ladder", frieze_s=20)
    with pytest.raises(UsageError, match="it has no settings"):
        registry.policy("none", x=1)
    with pytest.raises(UsageError, match="takes no settings"):
        registry.policy(f"{__name__}:MADE", eager=False)


def test_naming_a_policy_runs_nothing_but_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No part of the name is evaluated."""
    monkeypatch.syspath_prepend(str(tmp_path))
    witness = tmp_path / "witness"
    with pytest.raises(UsageError):
        registry.policy(f"__import__('pathlib').Path({str(witness)!r}).touch():x")
    assert not witness.exists()
    assert "witness" not in sys.modules
