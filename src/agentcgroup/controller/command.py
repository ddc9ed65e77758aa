"""COMMAND while it runs: waiting for its end, and the signals that go on to it."""

from __future__ import annotations

import asyncio
import os
import signal

from agentcgroup.controller.launch import Child

_TERM_TO_KILL_S = 10.0  # after SIGTERM to `run`, before COMMAND is killed


class Command:
    """The process of ``child``; ``ended`` becomes its wait status (waitpid(2)). Owns the loop's signal handlers."""

    def __init__(self, child: Child, loop: asyncio.AbstractEventLoop) -> None:
        self.pid = child.pid
        self.ended: asyncio.Future[int] = loop.create_future()
        self._loop = loop
        loop.add_signal_handler(signal.SIGCHLD, self.reap)

    def forward_signals(self) -> None:
        """SIGTERM and SIGHUP go on to COMMAND; those of the terminal reach it by themselves."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._loop.add_signal_handler(number, self.end, number)
        for number in (signal.SIGINT, signal.SIGQUIT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._loop.add_signal_handler(number, lambda: None)

    def end(self, number: int = signal.SIGTERM) -> None:
        """Tell it to end, and kill it when it does not."""
        if not self.ended.done():
            os.kill(self.pid, number)
            self._loop.call_later(_TERM_TO_KILL_S, self._kill)

    def reap(self) -> None:
        """SIGCHLD: COMMAND has ended, or (as a subreaper) an orphan has."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.pid and not self.ended.done():
                self.ended.set_result(status)

    def ignore_children(self) -> None:
        """From now on somebody else waits for them."""
        self._loop.remove_signal_handler(signal.SIGCHLD)

    def close(self) -> None:
        """Leave all signals alone."""
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD):
            self._loop.remove_signal_handler(number)

    def _kill(self) -> None:
        if not self.ended.done():
            os.kill(self.pid, signal.SIGKILL)
