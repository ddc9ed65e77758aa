"""Kill records of one session: what a decider had killed, joined with what the kernel counted of it.

    decider -> Kill -> (noted here) -> session           trace -> end of the call -> record -> kill log, daemon

A record is written when the call has ended, since only then its peak is known.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from agentcgroup.controller.decider import Decider, Governed, Overheard
from agentcgroup.kernel.psi import parse_pressure
from agentcgroup.model import CallEnd, CallStart, Outcome
from agentcgroup.trace.records import Record, SessionStart
from agentcgroup.trace.text import command_of

if TYPE_CHECKING:
    from agentcgroup.policy.world import Action, Signal
    from agentcgroup.trace.kill_log import KillRecord


class _Noted(NamedTuple):
    """A kill that was asked for."""

    rule: str
    reason: str
    memory_bytes: int | None
    pressure_percent: float | None


class Kills:
    """The kills of the session ``name``: to the kill log at ``log`` (None: the user's), and to ``tell``.

    ``say`` is told, once, why a log cannot be written; ``most_bytes`` is the size at which it is rotated.
    """

    def __init__(self, name: str, log: Path | None, say: Callable[[str], None], most_bytes: int | None = None) -> None:
        self.tell: Callable[[KillRecord], None] | None = None
        self._name = name
        self._log = log
        self._most_bytes = most_bytes
        self._say = say
        self._failed = False
        self._cgroup: Path | None = None
        self._started: dict[str, CallStart] = {}
        self._noted: dict[str, _Noted] = {}

    def see(self, record: Record) -> None:
        """A record of the trace, in order."""
        match record.body:
            case SessionStart(cgroup=str(cgroup)):
                self._cgroup = Path(cgroup)
            case CallStart() as begun:
                self._started[begun.call] = begun
            case CallEnd() as end:
                start, noted = self._started.pop(end.call, None), self._noted.pop(end.call, None)
                if end.outcome is Outcome.KILLED and start is not None:
                    self._write(start, end, noted)

    def note(self, actions: Sequence[Action], session: Governed) -> None:
        """Actions that are about to be carried out in ``session``."""
        from agentcgroup.policy.world import Kill  # loaded, where something decides

        kills = [action for action in actions if isinstance(action, Kill)]
        if not kills:
            return
        states = session.world().sessions
        memory = {call.id.call: call.memory_bytes for state in states for call in state.calls}
        for kill in kills:
            call = kill.id.call
            self._noted[call] = _Noted(kill.rule, kill.reason, memory.get(call), self._pressure())

    def _pressure(self) -> float | None:
        """Percent of the last 10 s in which some task of the session stalled on memory."""
        if self._cgroup is None:
            return None
        try:
            some = parse_pressure((self._cgroup / "memory.pressure").read_text()).some
        except OSError:
            return None
        return None if some is None else some.avg10

    def _write(self, start: CallStart, end: CallEnd, noted: _Noted | None) -> None:
        from agentcgroup.trace.kill_log import MOST_BYTES, KillLog, KillRecord  # few sessions kill anything

        record = KillRecord(
            session=self._name,
            call=end.call,
            rule=noted.rule if noted else "unknown",
            reason=noted.reason if noted else end.reason,
            program=Path(start.argv[0]).name if start.argv else "",
            command=command_of(start.argv),
            memory_bytes=noted.memory_bytes if noted else None,
            peak_bytes=end.usage.memory_peak_bytes,
            limit_bytes=start.limits.memory_max_bytes,
            pressure_percent=noted.pressure_percent if noted else None,
            uid=os.geteuid(),
        )
        most = MOST_BYTES if self._most_bytes is None else self._most_bytes
        problem = KillLog(self._log, most).append(record)
        if problem and not self._failed:
            self._failed = True
            self._say(problem)
        if self.tell is not None:
            self.tell(record)


class Noting:
    """``decider``, with the kills that it asks for noted in ``kills`` (controller.decider.Decider)."""

    def __init__(self, decider: Decider, kills: Kills) -> None:
        self._decider = decider
        self._kills = kills

    def start(self, session: Governed) -> None:
        """See Decider."""
        self._decider.start(_Watched(session, self._kills))

    def submit(self, signal: Signal) -> None:
        """See Decider."""
        self._decider.submit(signal)

    def close(self) -> None:
        """See Decider."""
        self._decider.close()


class _Watched(Overheard):
    """A session whose kills are noted before they are carried out."""

    def __init__(self, session: Governed, kills: Kills) -> None:
        super().__init__(session)
        self._kills = kills

    def carry_out(self, actions: Sequence[Action]) -> None:
        self._kills.note(actions, self.session)
        self.session.carry_out(actions)
