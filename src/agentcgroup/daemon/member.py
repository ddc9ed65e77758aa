"""A session that lets the daemon of the host decide, and decides alone while there is none.

    signal -> report -> daemon -> actions -> carried out
        or -> local decider -> actions -> carried out           (no daemon, or it is gone, or silent)

Whenever the one takes over from the other, what the last one held back is let go first. `run` does

    decider = await join_daemon(Hello(name, time.monotonic(), priority, argv, agent, trace, budget),
                                lambda: LocalDecider(policy), say, require=wanted == "require")

and gives it to its session; without the daemon (``--daemon off``) a LocalDecider takes its place.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from agentcgroup.controller.decider import Decider, Governed
from agentcgroup.daemon import codec
from agentcgroup.daemon.followed import Followed
from agentcgroup.daemon.link import Link, connect
from agentcgroup.daemon.messages import (
    Actions,
    FromDaemon,
    Hello,
    Killed,
    Look,
    Order,
    Pong,
    Refused,
    Report,
    Welcome,
)
from agentcgroup.daemon.places import candidates
from agentcgroup.daemon.timer import Timer
from agentcgroup.daemon.undo import Undo
from agentcgroup.errors import HostError
from agentcgroup.model import Priority
from agentcgroup.policy.world import Asked, Began, Ended, Short, Signal, Stalled, Woken
from agentcgroup.trace.kill_log import KillRecord

_SILENT_S = 2.0  # without an answer to a ping: the daemon hangs
_PING_EVERY_S = 1.0  # while something waits for the daemon or is held by it
_PING_LEAST_S = 0.5
_RETRY_LEAST_S, _RETRY_MOST_S = 0.1, 5.0
_GATHER_S = 0.01  # calls that come and go are reported together ...
_REST = 10.0  # ... or as many times the CPU time that a report takes, when that is more ...
_REST_MOST_S = 0.25  # ... up to this

# What the user is told, each at most once in a session
_LOST = "{}; this session decides for itself until a daemon is back"
_BACK = "the daemon decides for this session again"
_CAME = "a daemon has come and decides for this session from now on"


async def join_daemon(
    hello: Hello,
    alone: Callable[[], Decider],
    say: Callable[[str], None],
    *,
    require: bool = False,
    sockets: Sequence[Path] | None = None,
) -> JoinedDecider:
    """A decider that uses the daemon when there is one (``--daemon auto``), else ``alone`` until there is.

    With ``require``: HostError, with the way to mend it, when no daemon welcomes the session now.
    """
    where = candidates() if sockets is None else tuple(sockets)
    link: Link | None = None
    welcome: Welcome | None = None
    try:
        link, welcome = await connect(where, hello)
    except HostError:
        if require:
            raise
    decider = JoinedDecider(hello, alone, say, where)
    if link is not None and welcome is not None:
        decider.adopt(link, welcome)
    return decider


class JoinedDecider:
    """See the module. ``alone`` makes a fresh local decider each time that one is needed."""

    def __init__(
        self, hello: Hello, alone: Callable[[], Decider], say: Callable[[str], None], sockets: Sequence[Path]
    ) -> None:
        self._hello = hello
        self._make_local = alone
        self._say = say
        self._sockets = tuple(sockets)
        self._said: set[str] = set()
        self._session: Followed | None = None
        self._undo = Undo()
        self._held = False  # by an operator
        self._local: Decider | None = None
        self._link: Link | None = None
        self._report_s = 5.0
        self._scheduler = ""
        self._seen = 0
        self._signals: list[Signal] = []
        self._report_timer = Timer(self._report)
        self._tick_timer = Timer(self._tick)
        self._answer_timer = Timer(self._no_answer)  # runs while a ping waits for its answer
        self._ping = 0
        self._ping_sent_s = 0.0
        self._rest_s = _GATHER_S
        self._rest_until_s = 0.0
        self._retry: asyncio.Task[None] | None = None
        self._retry_s = _RETRY_LEAST_S
        self._ever_joined = False

    @property
    def joined(self) -> bool:
        """Whether the daemon decides now."""
        return self._link is not None

    @property
    def scheduler(self) -> str:
        """The scheduler that the daemon holds for this session, as it said last; empty: none, or no daemon."""
        return self._scheduler if self._link is not None else ""

    # controller.decider.Decider

    def start(self, session: Governed) -> None:
        """See controller.decider.Decider."""
        self._session = Followed(session, self._undo)
        if self._link is not None:
            self._begin_with_daemon()
        else:
            self._begin_alone()
            self._retry = asyncio.get_running_loop().create_task(self._look_for_daemon())

    def submit(self, signal: Signal) -> None:
        """See controller.decider.Decider."""
        if self._session is None:
            return
        if self._local is not None:
            self._local.submit(signal)
        elif self._link is not None and not _of_the_host(signal):
            self._signals.append(signal)
            self._report_timer.start_by(self._patience_s(signal))

    def close(self) -> None:
        """See controller.decider.Decider."""
        self._session = None
        self._cancel_timers()
        if self._retry is not None:
            self._retry.cancel()
        if self._local is not None:
            self._local.close()
        if self._link is not None:
            self._link.close()
            self._link = None

    def killed(self, record: KillRecord) -> None:
        """A call was killed: the daemon shows it, and keeps a record when it is another user's."""
        if self._link is not None:
            self._link.send(codec.encode(Killed(record)))

    def adopt(self, link: Link, welcome: Welcome) -> None:
        """Let the daemon at the other end of ``link`` decide from now on."""
        self._link, self._report_s, self._seen = link, welcome.report_s, 0
        self._scheduler = welcome.scheduler
        link.take, link.lost = self._take, self._lost
        self._ever_joined = True
        if self._session is not None:
            self._begin_with_daemon()

    # Who decides

    def _begin_with_daemon(self) -> None:
        if self._local is not None:
            self._local.close()
            self._local = None
            self._let_go("the daemon decides from now on")
        self._signals = [Woken()]
        self._tick()

    def _begin_alone(self) -> None:
        if self._session is None:
            return
        self._local = self._make_local()
        self._local.start(self._session)

    def _lost(self, reason: str) -> None:
        """The daemon is gone or of no use: at once, nothing it has held stays held."""
        link, self._link = self._link, None
        self._cancel_timers()
        if link is not None:
            link.close()
        if self._session is None:
            return
        self._tell(_LOST, _LOST.format(reason))
        self._let_go(reason)
        self._begin_alone()
        self._retry = asyncio.get_running_loop().create_task(self._look_for_daemon())

    def _let_go(self, reason: str) -> None:
        if self._session is None:
            return
        if self._held:
            self._held = False
            self._session.hold(False, reason)
        if actions := self._undo.take(reason):
            self._session.carry_out(actions)

    async def _look_for_daemon(self) -> None:
        while self._session is not None and self._link is None:
            await asyncio.sleep(self._retry_s)
            self._retry_s = min(_RETRY_MOST_S, self._retry_s * 2)  # until one has answered a ping
            try:
                link, welcome = await connect(self._sockets, self._hello_now())
            except HostError:
                continue
            if self._session is None:
                link.close()
                return
            word = _BACK if self._ever_joined else _CAME
            self.adopt(link, welcome)
            self._tell(word, word)
            return

    def _hello_now(self) -> Hello:
        """The hello with the priority that an operator may have changed."""
        if self._session is None:
            return self._hello
        states = self._session.world().sessions
        return replace(self._hello, priority=states[0].priority) if states else self._hello

    def _tell(self, what: str, text: str) -> None:
        if what not in self._said:
            self._said.add(what)
            self._say(text)

    # What the daemon says

    def _take(self, message: FromDaemon) -> None:
        if self._session is None or self._link is None:
            return
        match message:
            case Actions():
                self._seen = message.seq
                self._session.carry_out(message.actions)
                self._report_timer.start_by(max(_GATHER_S, self._rest_left_s()))
            case Look():  # of many that wait here, one is answered, and what clients ask comes in between
                self._report_timer.start_by(self._rest_left_s())
            case Pong(ping=self._ping):
                self._answer_timer.cancel()
                self._retry_s = _RETRY_LEAST_S
            case Order():
                self._obey(message)
                self._signals.append(Woken())
                self._report_timer.start_by(0.0)
            case Refused():
                self._lost(message.message)

    def _obey(self, order: Order) -> None:
        if self._session is None:
            return
        reason = order.value or "an operator wants it"
        match order.what:
            case "set-priority":
                self._session.set_priority(Priority[order.value.upper()])
            case "freeze" | "thaw":
                self._held = order.what == "freeze"
                self._session.hold(self._held, reason)
            case "end":
                self._session.end(reason)

    # What the daemon is told

    def _patience_s(self, signal: Signal) -> float:
        """How long it may wait to be told, so that it is told together with others: not when a client waits."""
        if isinstance(signal, Began | Ended):
            return self._rest_s
        return 0.0 if isinstance(signal, Asked) else self._rest_left_s()

    def _rest_left_s(self) -> float:
        return self._rest_until_s - time.monotonic()

    def _report(self) -> None:
        self._report_timer.cancel()
        if self._session is None or self._link is None:
            return
        begun = time.thread_time()
        world = self._session.world()
        signals, self._signals = tuple(self._signals), []
        for state in world.sessions:
            report = Report(self._seen, state, world.requests, signals, self._next_ping())
            self._link.send(codec.encode_report(report))
        if world.requests or len(self._undo) or self._held:
            self._tick_timer.start_by(_PING_EVERY_S)
        cost_s = time.thread_time() - begun
        self._rest_s = min(max(_GATHER_S, _REST * cost_s), _REST_MOST_S)
        self._rest_until_s = time.monotonic() + min(_REST * cost_s, _REST_MOST_S)

    def _next_ping(self) -> int | None:
        """A number to be answered, when the last one was and it is time to ask again."""
        now_s = time.monotonic()
        if self._answer_timer.running or now_s - self._ping_sent_s < _PING_LEAST_S:
            return None
        self._ping += 1
        self._ping_sent_s = now_s
        self._answer_timer.start(_SILENT_S)
        return self._ping

    def _no_answer(self) -> None:
        self._lost(f"the daemon has not answered for {_SILENT_S:g} s")

    def _tick(self) -> None:
        """Report although nothing has happened."""
        self._tick_timer.start(self._report_s)
        self._report()

    def _cancel_timers(self) -> None:
        for timer in (self._report_timer, self._tick_timer, self._answer_timer):
            timer.cancel()


def _of_the_host(signal: Signal) -> bool:
    """The daemon watches the host itself, and takes nobody's word for it."""
    return (isinstance(signal, Stalled) and signal.session is None) or (
        isinstance(signal, Short) and signal.scope is None
    )
