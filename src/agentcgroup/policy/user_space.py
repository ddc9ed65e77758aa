"""The policy ``user-space``: a poller that kills under pressure, as systemd-oomd and its kin do. Here to compare with.

Once a second it looks at the memory in use and at PSI, of the host and of each session. What has been over a threshold
for ``for_s`` costs the largest call of the lowest priority there its life; then it waits as long again. It neither
queues nor slows anybody, and knows no priority but in the choice of the victim. (systemd-oomd itself waits for 30 s by
default and kills a whole cgroup below the unit; five seconds and one call are kinder than what hosts run today.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from agentcgroup.errors import UsageError
from agentcgroup.policy.none import admit_all
from agentcgroup.policy.world import Action, CallState, Decision, Kill, SessionState, Signal, Stalled, World

_PSI_KEPT_S = 2.0  # a PSI trigger tells at most once a window; without news for so long there is no stall


@dataclass(frozen=True, slots=True)
class UserSpace:
    """``stall_share`` and ``usage_share`` are thresholds, ``every_s`` and ``for_s`` seconds; the rest is memory."""

    stall_share: float = 0.6  # of the time, as systemd-oomd's DefaultMemoryPressureLimit
    usage_share: float = 0.9  # of the host, or of the calls' limit
    every_s: float = 1.0
    for_s: float = 5.0
    looked_s: float = field(default=float("-inf"), kw_only=True)
    stalls: Mapping[str | None, tuple[float, float]] = field(default_factory=dict, kw_only=True)  # share, when
    over: Mapping[str | None, float] = field(default_factory=dict, kw_only=True)  # since when

    def __post_init__(self) -> None:
        if self.every_s <= 0 or self.for_s < 0:
            raise UsageError("every_s must be above 0 and for_s not below it", "such as every_s 1 and for_s 5")

    @property
    def name(self) -> str:
        """``user-space``."""
        return "user-space"

    def decide(self, world: World, signal: Signal) -> Decision:
        """See `world.Policy`. Every signal but the passing of a second is only noted."""
        policy = self
        if isinstance(signal, Stalled) and signal.window_us > 0:
            share = signal.stall_us / signal.window_us
            policy = replace(self, stalls={**self.stalls, signal.session: (share, world.now_s)})
        answers = admit_all(world)
        due_s = policy.looked_s + policy.every_s
        if world.now_s < due_s:
            return Decision(policy, answers, due_s)
        policy, kills = policy._look(world)
        return Decision(policy, answers + kills, world.now_s + policy.every_s)

    def _look(self, world: World) -> tuple[UserSpace, tuple[Action, ...]]:
        now_s = world.now_s
        scopes: list[tuple[str | None, tuple[SessionState, ...]]] = [(None, world.sessions)]
        scopes += [(session.name, (session,)) for session in world.sessions]
        over: dict[str | None, float] = {}
        kills: dict[object, Action] = {}
        for scope, sessions in scopes:
            why = self._over(world, scope, sessions)
            if not why:
                continue
            over[scope] = self.over.get(scope, now_s)
            victim = _largest(sessions)
            if now_s - over[scope] >= self.for_s and victim is not None and victim.id not in kills:
                rule = "host-pressure" if scope is None else "session-pressure"
                kills[victim.id] = Kill(victim.id, rule, f"{why} for {self.for_s:g} s")
                over[scope] = now_s
        return replace(self, looked_s=now_s, over=over), tuple(kills.values())

    def _over(self, world: World, scope: str | None, sessions: tuple[SessionState, ...]) -> str:
        """What is over its threshold, in words; empty when nothing is."""
        share, at_s = self.stalls.get(scope, (0.0, float("-inf")))
        if share >= self.stall_share and world.now_s - at_s <= _PSI_KEPT_S:
            return f"tasks stalled for more than {self.stall_share:.0%} of the time"
        if scope is None:
            used, limit = world.host_bytes - world.available_bytes, world.host_bytes
        else:
            used = sum(call.memory_bytes for call in sessions[0].calls)
            limit = sessions[0].calls_bytes or 0
        return (
            f"more than {self.usage_share:.0%} of the memory in use"
            if limit and used > self.usage_share * limit
            else ""
        )


def _largest(sessions: tuple[SessionState, ...]) -> CallState | None:
    """The largest call of the lowest priority that has calls."""
    lowest = min((session.priority for session in sessions if session.calls), default=None)
    calls = [call for session in sessions if session.priority is lowest for call in session.calls]
    return max(calls, key=lambda call: (call.memory_bytes, call.id.session, call.id.call), default=None)
