"""What the kernel should not take from a session: memory.min for its agent, memory.low by its priority.

memory.min is what the agent was seen to use, with a margin; it only grows, so that an agent that was squeezed is not
squeezed further. memory.low is a share of the budget by priority. Where the sum would exceed what the host can promise,
the highest priority gets its share first and the first group that does not fit gets what is left, evenly.
"""

from __future__ import annotations

from collections.abc import Sequence

from agentcgroup.model import Priority
from agentcgroup.policy.draft import Draft
from agentcgroup.policy.settings import LadderSettings
from agentcgroup.policy.world import Protect, SessionState

_QUANTUM = 16 << 20  # amounts are rounded to this, so that small changes write nothing
_MIN_SHARE = 0.5  # of the host, for all agents together: more could leave the kernel nothing to reclaim
_EVERY_S = 1.0
_ASKED_S = 0.2  # the ladder is woken fifty times a second when memory is short


def protect(draft: Draft, protections: dict[str, tuple[int, int]], protected_s: float, asked: bool) -> float:
    """Set what has changed; the instant at which this was last looked into. ``asked``: look now, whatever the time."""
    same = len(protections) == len(draft.sessions)
    due_s = protected_s + (_ASKED_S if asked else _EVERY_S)
    if same and draft.now_s < due_s:
        if asked:  # somebody may have changed a priority
            draft.wake(due_s)
        return protected_s
    for gone in set(protections) - set(draft.sessions):
        del protections[gone]
    for session, (low, least) in distribute(draft.world.sessions, protections, draft.world.host_bytes, draft.settings):
        if not _worth_it(protections.get(session.name), (low, least)):
            continue
        protections[session.name] = (low, least)
        draft.actions.append(
            Protect(session.name, low, least, f"priority {session.priority.name.lower()}, and the agent's own need")
        )
    return draft.now_s


def distribute(
    sessions: Sequence[SessionState],
    before: dict[str, tuple[int, int]],
    host_bytes: int,
    settings: LadderSettings,
) -> list[tuple[SessionState, tuple[int, int]]]:
    """memory.low and memory.min of each session; their sums fit into the host."""
    wanted = [_agent_bytes(session, before, settings) for session in sessions]
    scale = min(1.0, host_bytes * _MIN_SHARE / max(1, sum(wanted)))
    least = [int(size * scale) for size in wanted]
    left = max(0, int(host_bytes * settings.protect_most_share) - sum(least))
    low = list(least)
    for priority in sorted(Priority, reverse=True):
        group = [index for index, session in enumerate(sessions) if session.priority is priority]
        extra = {index: max(0, _share_bytes(sessions[index], settings) - least[index]) for index in group}
        scale = min(1.0, left / max(1, sum(extra.values())))
        for index, size in extra.items():
            low[index] += int(size * scale)
            left -= int(size * scale)
    return [(session, (low[index], least[index])) for index, session in enumerate(sessions)]


def _agent_bytes(session: SessionState, before: dict[str, tuple[int, int]], settings: LadderSettings) -> int:
    size = -(-int(session.agent_bytes * settings.agent_margin) // _QUANTUM) * _QUANTUM
    size = max(size, before.get(session.name, (0, 0))[1])
    return size if session.budget_bytes is None else min(size, session.budget_bytes // 2)


def _share_bytes(session: SessionState, settings: LadderSettings) -> int:
    shares = (settings.low_share_low, settings.low_share_normal, settings.low_share_high)
    base = session.memory_bytes if session.budget_bytes is None else session.budget_bytes
    return int(base * shares[session.priority]) // _QUANTUM * _QUANTUM


def _worth_it(before: tuple[int, int] | None, now: tuple[int, int]) -> bool:
    """Less is always set, for the sum has to fit; more only when it is noticeable."""
    if before is None:
        return True
    return any(
        new < old or new - old >= max(_QUANTUM, old // 10) for old, new in zip(before, now, strict=True) if new != old
    )
