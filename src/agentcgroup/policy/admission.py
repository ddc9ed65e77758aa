"""Who may begin: a request waits in a queue while there is no room for what it needs, instead of joining a stampede.

Room is what is left when every running call has what it uses, or is expected still to reach. First come, first served
within a priority; higher priority first, and waiting raises it. A modest request that fits does not wait behind a big
one. Every request is answered by its deadline, and a call that would be the only one never waits: for whom?
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from agentcgroup.policy import room
from agentcgroup.policy.draft import Draft
from agentcgroup.policy.held import Grant
from agentcgroup.policy.room import Scope
from agentcgroup.policy.victims import Rank
from agentcgroup.policy.world import Admit, CallId, CallState, Refuse, Request, SessionState
from agentcgroup.units import format_duration, format_size

_LOOK_S = 1.0  # while somebody waits: what was expected of others may have lapsed
_PRIORITIES = 3
_WORTH_S = 0.1  # a shorter wait is not held against the bound of all that a call may wait
_STAMPEDE = 8  # so many calls of unknown need at once, running and waiting, are still nothing special
_PEERS = 3  # so many tell something about the others
_GROWS_S = 8.0  # for so long a call of unknown need is taken to grow as it did, in a stampede
_OVERDUE = 4  # requests of a session that begin without room in one decision; a stampede that has waited is still one


def admit(draft: Draft, grants: dict[CallId, Grant]) -> None:
    """Answer the requests that can be answered; ``grants`` is brought up to date."""
    _redeem(draft, grants)
    waiting = [request for request in draft.world.requests if request.id not in grants]
    if not waiting:
        return
    desk = _Desk(draft, grants)
    blocked: set[Scope] = set()
    overdue: Counter[str] = Counter()
    for request in _queue(waiting, draft):
        need = desk.need(request)
        lacking = desk.lacking(request, need)
        fits = not lacking and (need <= draft.settings.unknown_bytes or not blocked & {request.id.session, None})
        waited = max(0.0, draft.now_s - request.asked_s)
        if fits:
            draft.actions.append(Admit(request.id, _after(waited)))
        elif waited >= draft.settings.queue_s:
            anyway = not draft.settings.refuse and overdue[request.id.session] < _OVERDUE
            overdue[request.id.session] += 1
            answer = _overdue(request, need, waited, anyway)
            draft.actions.append(answer)
            need = 0 if isinstance(answer, Refuse) else need
        else:
            blocked |= lacking
            draft.wake(min(request.asked_s + draft.settings.queue_s, draft.now_s + _LOOK_S))
            continue
        desk.give(request, need, waited)


class _Desk:
    """The room there is to give, less what has been given in this decision."""

    def __init__(self, draft: Draft, grants: dict[CallId, Grant]) -> None:
        self._draft = draft
        self._grants = grants
        self._host = self._host_bytes()
        self._sessions: dict[str, _Share | None] = {}
        self._held: dict[Scope, Rank] = {}  # the highest priority among those that are held
        for scope, placed in draft.held():
            self._held[scope] = max(placed.rank, self._held.get(scope, placed.rank))

    def need(self, request: Request) -> int:
        """What ``request`` is taken to need."""
        if request.expected_bytes is not None:
            return request.expected_bytes
        session = self._draft.sessions.get(request.id.session)
        share = self._share(session) if session is not None else None
        return self._draft.settings.unknown_bytes if share is None else share.unknown

    def lacking(self, request: Request, need: int) -> set[Scope]:
        """Where there is no room for ``need`` bytes and somebody to wait for."""
        scopes: set[Scope] = set()
        if need > self._host and self._occupied(self._draft.sessions.values()):
            scopes.add(None)
        session = self._draft.sessions.get(request.id.session)
        if session is not None:
            scopes |= self._before(request, session, need)
        share = self._share(session) if session is not None else None
        if session is None or share is None:
            return scopes
        if need > share.left(request.expected_bytes is not None) and self._occupied([session]):
            scopes.add(session.name)
        return scopes

    def _before(self, request: Request, session: SessionState, need: int) -> set[Scope]:
        """Where somebody is held whose turn it is before this one: room that comes free is theirs."""
        rank = (session.priority, request.priority)
        modest = need <= self._draft.settings.unknown_bytes
        held = {scope: self._held[scope] for scope in (None, session.name) if scope in self._held}
        return {scope for scope, first in held.items() if first > rank or (first == rank and not modest)}

    def give(self, request: Request, need: int, waited_s: float) -> None:
        """Take the room of an answered request out of what there is."""
        known = request.expected_bytes is not None
        self._grants[request.id] = Grant(need, self._draft.now_s, waited_s, known)
        self._host -= need
        if share := self._sessions.get(request.id.session):
            share.used += need
            share.known &= known

    def _occupied(self, sessions: Iterable[SessionState]) -> bool:
        """Whether any call runs that will end, or has just been let in."""
        names = set()
        for session in sessions:
            if any(not call.background and call.id not in self._draft.killed for call in session.calls):
                return True
            names.add(session.name)
        return any(call.session in names for call in self._grants)

    def _host_bytes(self) -> int:
        draft = self._draft
        reserve = draft.settings.host_reserve_bytes(draft.world.host_bytes)
        left = draft.world.available_bytes - reserve - sum(grant.bytes for grant in self._grants.values())
        for session in draft.world.sessions:
            left -= room.outstanding_bytes(session.calls, draft.settings, draft.now_s)
        return left

    def _share(self, session: SessionState) -> _Share | None:
        if session.name not in self._sessions:
            self._sessions[session.name] = self._measure(session)
        return self._sessions[session.name]

    def _measure(self, session: SessionState) -> _Share | None:
        draft = self._draft
        if session.calls_bytes is None:
            return None
        granted = [grant for call, grant in self._grants.items() if call.session == session.name]
        tight = int(session.calls_bytes * draft.settings.tight_share)
        gone = int(session.calls_bytes * draft.settings.gone_share)
        if self._stampede(session, granted):
            needs = {call.id: self._grown_bytes(call, tight // _STAMPEDE) for call in session.calls}
            alike = sorted(needs[call.id] for call in session.calls if _undeclared(call))
            unknown = alike[len(alike) // 2] if len(alike) >= _PEERS else tight // _STAMPEDE
            unknown = max(unknown, draft.settings.unknown_bytes)
        else:
            needs = {call.id: room.expected_bytes(call, draft.settings, draft.now_s) for call in session.calls}
            unknown = draft.settings.unknown_bytes
        used = sum(needs.values()) + sum(grant.bytes if grant.known else unknown for grant in granted)
        known = room.promised_bytes(session, draft.settings, draft.now_s) is not None
        return _Share(used, known and all(grant.known for grant in granted), tight, gone, unknown)

    def _stampede(self, session: SessionState, granted: list[Grant]) -> bool:
        """Whether very many calls of unknown need run in ``session`` or want to: then a few go first."""
        count = sum(map(_undeclared, session.calls)) + sum(not grant.known for grant in granted)
        waiting = (one for one in self._draft.world.requests if one.id.session == session.name)
        return count + sum(one.expected_bytes is None for one in waiting) > _STAMPEDE

    def _grown_bytes(self, call: CallState, most: int) -> int:
        """What ``call`` may become in a stampede: ``most`` while it is young, later what its growth lets one fear."""
        draft = self._draft
        if not _undeclared(call):
            return room.expected_bytes(call, draft.settings, draft.now_s)
        hard, ran_s = room.hard_bytes(call), call.ran_s(draft.now_s)
        if ran_s < draft.settings.unknown_s:
            return max(hard, most)
        return max(hard, min(most, int(hard * _GROWS_S / ran_s)))


class _Share:
    """The room of one session: filled to the brim while every need in it is known, else only to where it gets tight."""

    def __init__(self, used: int, known: bool, tight: int, gone: int, unknown: int) -> None:
        self.used = used
        self.known = known
        self.unknown = unknown
        self._tight = tight
        self._gone = gone

    def left(self, known: bool) -> int:
        return (self._gone if self.known and known else self._tight) - self.used


def _undeclared(call: CallState) -> bool:
    return call.expected_bytes is None and not call.background


def _redeem(draft: Draft, grants: dict[CallId, Grant]) -> None:
    """Forget grants whose call has begun (noting how long it waited), and those nobody has made use of."""
    for call, grant in list(grants.items()):
        session = draft.sessions.get(call.session)
        if session is not None and any(state.id == call for state in session.calls):
            if grant.waited_s >= _WORTH_S:
                draft.holds[call] = replace(draft.hold(call), spent_s=draft.hold(call).spent_s + grant.waited_s)
            del grants[call]
        elif session is None or draft.now_s - grant.at_s >= draft.settings.begin_s:
            del grants[call]


def _queue(requests: list[Request], draft: Draft) -> list[Request]:
    """The requests in the order in which they are to be served."""

    def rank(request: Request) -> int:
        session = draft.sessions.get(request.id.session)
        base = (session.priority * _PRIORITIES if session is not None else 0) + request.priority
        return base + int(max(0.0, draft.now_s - request.asked_s) / draft.settings.ageing_s)

    return sorted(requests, key=lambda request: (-rank(request), request.asked_s))


def _overdue(request: Request, need: int, waited_s: float, anyway: bool) -> Admit | Refuse:
    if anyway:
        return Admit(request.id, f"it has waited for {format_duration(waited_s)}, the longest there is")
    reason = f"no room for {format_size(need)} in {format_duration(waited_s)}: try again later, or with less at a time"
    return Refuse(request.id, reason)


def _after(waited_s: float) -> str:
    return f"there is room, after {format_duration(waited_s)}" if waited_s > 0 else ""
