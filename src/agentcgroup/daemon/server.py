"""The daemon's socket. Who may say what: a connection speaks for the session that it opened, and for no other."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import resource
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from agentcgroup.daemon.arbiter import Arbiter
from agentcgroup.daemon.desk import Desk
from agentcgroup.daemon.messages import PROTOCOL, Hello, Killed, Pong, Question, Refused, Report, Welcome
from agentcgroup.daemon.peer import Peer
from agentcgroup.daemon.seat import Seat
from agentcgroup.daemon.territory import confirmed
from agentcgroup.daemon.timer import Timer
from agentcgroup.errors import HostError, WireError
from agentcgroup.trace.kill_log import KillLog
from agentcgroup.trace.text import printable

_log = logging.getLogger(__name__)

_BACKLOG = 4096
_SWEEP_S = 0.5
_LINE_WITHIN_S = 5.0  # from the first byte of a line to its end
_HELLO_WITHIN_S = 10.0  # from connecting to a hello, or between two questions
_CLOCKS_APART_S = 5.0
_MOST_KEPT = 32 << 20  # bytes of incomplete lines, or unread, of all connections together
_MOST_UNSEEN = 1000  # messages with actions that a session has not confirmed: it does not live any more
_MOST_KILLS = 20  # of one user and sweep that are noted: nobody can wash the log out
_SPARE = 64  # descriptors that are no connections
_USERS_SHARE = 4  # a user may have this part of our descriptors: others must still get in
_OWN_TIME, _USERS_TIME = 1.0, 0.25  # of each sweep: for the messages of root and our own user, and of any other user


class Server:
    """Accepts connections on ``path`` for ``arbiter``. ``start`` and ``close`` once."""

    def __init__(self, path: Path, arbiter: Arbiter, desk: Desk, kill_log: KillLog) -> None:
        self.kill_log = kill_log
        self.scheduler_of: Callable[[Seat], str] = lambda seat: ""
        self._path = path
        self._arbiter = arbiter
        self._desk = desk
        self._peers: set[Peer] = set()
        self._of_user: Counter[int] = Counter()  # connections
        self._spent_s: dict[int, float] = {}  # since the last sweep, by user
        self._kills: Counter[int] = Counter()
        self._uid = os.geteuid()
        self._limit = _raise_descriptors()
        self._server: asyncio.Server | None = None
        self._sweeper = Timer(self._sweep)

    async def start(self) -> None:
        """Listen. Everybody may connect where the kernel says who they are; a user's daemon is for that user.

        HostError when that cannot be.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_unix_server(lambda: Peer(self), str(self._path), backlog=_BACKLOG)
            self._path.chmod(0o666 if self._uid == 0 else 0o600)
        except OSError as error:
            why = error.strerror or error
            raise HostError(f"cannot listen at {self._path}: {why}", "give another with --socket PATH") from error
        self._sweeper.start(_SWEEP_S)

    def close(self) -> None:
        """Listen no more and close all connections: each session decides for itself then."""
        self._sweeper.cancel()
        if self._server is not None:
            self._server.close()
        for peer in list(self._peers):
            peer.drop()

    # peer.Host

    def opened(self, peer: Peer) -> Refused | None:
        """See peer.Host."""
        self._peers.add(peer)
        self._of_user[peer.uid] += 1
        own = peer.uid in (0, self._uid)
        if not own and self._uid != 0:
            return Refused(f"this daemon is for user {self._uid}", "start one of your own: agentcgroup daemon")
        most = self._limit - _SPARE if own else self._limit // _USERS_SHARE
        if self._of_user[peer.uid] > most:
            return Refused(f"user {peer.uid} has {most} connections already", "end some sessions, or raise LimitNOFILE")
        return None

    def time_of(self, uid: int) -> float:
        """See peer.Host."""
        share = _OWN_TIME if uid in (0, self._uid) else _USERS_TIME
        return share * _SWEEP_S - self._spent_s.get(uid, 0.0)

    def spent(self, uid: int, seconds: float) -> None:
        """See peer.Host."""
        self._spent_s[uid] = self._spent_s.get(uid, 0.0) + seconds

    def closed(self, peer: Peer) -> None:
        """See peer.Host."""
        self._peers.discard(peer)
        self._of_user[peer.uid] -= 1
        if not self._of_user[peer.uid]:
            del self._of_user[peer.uid]
        if peer.seat is not None:
            self._arbiter.leave(peer.seat)
            _log.debug("session %s has left", peer.seat.name)

    def hello(self, peer: Peer, hello: Hello) -> None:
        """See peer.Host."""
        if refused := self._reason_to_refuse(peer, hello):
            peer.finish(refused)
            return
        arbiter, now_s = self._arbiter, time.monotonic()
        before = arbiter.seat_of(hello.name, peer.uid)
        if before is not None:  # of the same process: the end of its last connection is still on its way
            arbiter.leave(before)
        cgroup = confirmed(hello.cgroup, hello.name, peer.uid)
        seat = Seat(arbiter.unique(hello, peer.uid), peer.uid, peer.pid, hello, peer.send, now_s, cgroup)
        peer.seat = seat
        arbiter.join(seat)
        scheduler = self.scheduler_of(seat)
        peer.send(Welcome(seat.name, arbiter.policy.name, arbiter.report_every_s(), os.getpid(), scheduler))
        _log.debug("session %s of user %d has joined", seat.name, seat.uid)

    def report(self, seat: Seat, report: Report) -> None:
        """See peer.Host."""
        self._arbiter.report(seat, report)
        if report.ping is not None:
            seat.send(Pong(report.ping))

    def killed(self, seat: Seat, killed: Killed) -> None:
        """See peer.Host. A session of our own user writes into the same log itself."""
        self._kills[seat.uid] += 1
        if self._kills[seat.uid] > _MOST_KILLS:
            return
        record = replace(killed.record, session=seat.name, uid=seat.uid)
        rule, reason = printable(record.rule), printable(record.reason)  # what a user has made up may end in a terminal
        _log.warning("%s: call %s was killed (%s): %s", record.session, printable(record.call), rule, reason)
        if seat.uid != self._uid and (problem := self.kill_log.append(record)):
            _log.error("%s", problem)

    def question(self, peer: Peer, question: Question) -> None:
        """See peer.Host."""
        answer = self._desk.answer(question, peer.uid)
        try:
            peer.send(answer)
        except WireError as error:
            peer.send(Refused(f"the answer is too long: {error}", "ask for one session: agentcgroup session show NAME"))

    def _reason_to_refuse(self, peer: Peer, hello: Hello) -> Refused | None:
        if hello.version != PROTOCOL:
            return Refused(
                f"the session speaks version {hello.version} of the protocol, the daemon version {PROTOCOL}",
                "run both from the same version of agentcgroup",
            )
        if abs(hello.now_s - time.monotonic()) > _CLOCKS_APART_S:
            return Refused(
                "the session has another clock than the daemon",
                "run the daemon in the same time namespace (the same container) as the session",
            )
        before = self._arbiter.seat_of(hello.name, peer.uid)
        if before is not None and before.pid != peer.pid:
            return Refused(f"a session named {hello.name!r} is here already", "choose another --name")
        return None

    def _sweep(self) -> None:
        self._sweeper.start(_SWEEP_S)
        self._spent_s.clear()
        self._kills.clear()
        peers, now_s = list(self._peers), time.monotonic()
        random.shuffle(peers)  # of those that had to wait, each is the first one now and then
        full = sum(peer.unsent for peer in peers) > _MOST_KEPT
        crowded = sum(peer.pending for peer in peers) > _MOST_KEPT
        for peer in peers:
            peer.sweep(now_s, 0.0 if crowded else _LINE_WITHIN_S, _HELLO_WITHIN_S)
            if (full and peer.unsent) or (peer.seat is not None and peer.seat.unseen > _MOST_UNSEEN):
                peer.drop()


def _raise_descriptors() -> int:
    """As many descriptors as we may have; that number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1 << 16 if hard == resource.RLIM_INFINITY else min(hard, 1 << 16)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
