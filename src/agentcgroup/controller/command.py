"""COMMAND while it runs: waiting for its end, and the signals that go on to it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

from agentcgroup.controller.launch import Child

_TERM_TO_KILL_S = 10.0  # after SIGTERM to `run`, before COMMAND is killed


class Command:
    """The process of ``child``; ``ended`` becomes its wait status (waitpid(2)).

    With ``orphans`` this process is a subreaper: SIGCHLD is ours, and whatever ends below is waited for.
    """

    def __init__(self, child: Child, loop: asyncio.AbstractEventLoop, *, orphans: bool) -> None:
        self.pid = child.pid
        self.ended: asyncio.Future[int] = loop.create_future()
        self._loop = loop
        self._orphans = orphans
        self._signals: list[signal.Signals] = []
        self._pidfd: int | None = os.pidfd_open(child.pid)
        loop.add_reader(self._pidfd, self.reap)
        if orphans:
            self._handle(signal.SIGCHLD, self.reap)

    def forward_signals(self) -> None:
        """SIGTERM and SIGHUP go on to COMMAND; those of the terminal reach it by themselves."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._handle(number, self.end, number)
        for number in (signal.SIGINT, signal.SIGQUIT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._handle(number, lambda: None)

    def end(self, number: int = signal.SIGTERM) -> None:
        """Tell it to end, and kill it when it does not."""
        if not self.ended.done():
            os.kill(self.pid, number)
            self._loop.call_later(_TERM_TO_KILL_S, self.kill)

    def kill(self) -> None:
        """SIGKILL, if it is still there."""
        if not self.ended.done():
            os.kill(self.pid, signal.SIGKILL)

    def reap(self) -> None:
        """COMMAND has ended, or (as a subreaper) an orphan has."""
        while True:
            try:
                pid, status = os.waitpid(-1 if self._orphans else self.pid, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.pid:
                self._let_go()
                if not self.ended.done():
                    self.ended.set_result(status)

    def ignore_children(self) -> None:
        """From now on somebody else waits for them."""
        self._loop.remove_signal_handler(signal.SIGCHLD)

    def close(self) -> None:
        """Leave all signals alone, and no longer wait: somebody may have waited for it already."""
        self._let_go()
        for number in self._signals:
            self._loop.remove_signal_handler(number)

    def _let_go(self) -> None:
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    def _handle(self, number: signal.Signals, callback: Callable[..., object], *arguments: object) -> None:
        self._loop.add_signal_handler(number, callback, *arguments)
        self._signals.append(number)
