"""Signals that wait for the policy, merged where one says what several say."""

from __future__ import annotations

from agentcgroup.policy.world import Asked, Began, CallId, Ended, Moved, Short, Signal, Stalled, Woken

_MOST_OCCASIONS = 16  # more than so many requests and ends are one occasion to look at everything


class Pending:
    """What has happened since the policy was asked last."""

    def __init__(self) -> None:
        self._moved: dict[tuple[str, CallId | None], Moved] = {}
        self._stalled: dict[tuple[str | None, bool], Stalled] = {}
        self._shorts: dict[Short, None] = {}  # in order
        self._occasions: list[Signal] = []

    def __bool__(self) -> bool:
        return bool(self._moved or self._stalled or self._shorts or self._occasions)

    def add(self, signal: Signal) -> None:
        """Counters are summed up, stalls keep the worst of a place, calls that came and went keep their order."""
        match signal:
            case Moved(session=session, id=id):
                before = self._moved.get((session, id))
                self._moved[session, id] = signal if before is None else _sum(before, signal)
            case Stalled(session=session, full=full):
                worst = self._stalled.get((session, full))
                if worst is None or worst.stall_us * signal.window_us <= signal.stall_us * worst.window_us:
                    self._stalled[session, full] = signal
            case Short():
                self._shorts[signal] = None
            case Woken() if any(isinstance(other, Woken) for other in self._occasions):
                pass
            case _:
                self._occasions.append(signal)

    def drop(self, session: str) -> None:
        """A session has left: what it said is of no use any more."""
        self._moved = {key: signal for key, signal in self._moved.items() if key[0] != session}
        self._stalled = {key: signal for key, signal in self._stalled.items() if key[0] != session}
        self._shorts = {signal: None for signal in self._shorts if signal.session != session}
        self._occasions = [signal for signal in self._occasions if not _concerns(signal, session)]

    def take(self) -> list[Signal]:
        """All that wait, those that tell of harm first."""
        occasions = self._occasions
        began: list[Signal] = [signal for signal in occasions if isinstance(signal, Began)]
        if len(occasions) - len(began) > _MOST_OCCASIONS:  # but of each call that began a policy may want to know
            occasions = [*began, Woken()]
        taken = [*self._shorts, *self._moved.values(), *self._stalled.values(), *occasions]
        self._moved, self._stalled, self._shorts, self._occasions = {}, {}, {}, []
        return taken


def _concerns(signal: Signal, session: str) -> bool:
    return isinstance(signal, Asked | Began | Ended) and signal.id.session == session


def _sum(one: Moved, other: Moved) -> Moved:
    return Moved(
        one.session,
        one.id,
        one.high + other.high,
        one.max + other.max,
        one.oom + other.oom,
        one.oom_kill + other.oom_kill,
    )
