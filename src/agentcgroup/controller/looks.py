"""What a session looks for again and again while COMMAND runs, because nobody tells it.

The processes of calls where there are no cgroups; calls whose client is silent, and those that are only in the journal;
samples, and with them commands that ran past the clients.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agentcgroup.controller.calls import Calls
from agentcgroup.controller.clients import Clients
from agentcgroup.controller.host import Ground
from agentcgroup.controller.sampler import Sampler, UncaughtWatch
from agentcgroup.domain.leaf import ProcessLeaf, process_table
from agentcgroup.trace.writer import TraceWriter

_CALLS_EVERY_S = 0.1
_SILENT_CALLS_EVERY_S = 0.5


class Looks:
    """``start`` once; nothing is looked for when ``over``. ``last`` at the end, for what came just then.

    ``sample_hz`` 0: no samples.
    """

    def __init__(
        self,
        ground: Ground,
        calls: Calls,
        clients: Clients,
        sampler: Sampler,
        watch: UncaughtWatch,
        trace: TraceWriter,
        *,
        sample_hz: float,
        over: Callable[[], bool],
    ) -> None:
        self._ground = ground
        self._calls = calls
        self._clients = clients
        self._sampler = sampler
        self._watch = watch
        self._trace = trace
        self._sample_hz = sample_hz
        self._over = over
        self._loop = asyncio.get_running_loop()
        self._journal_read = 0

    def start(self) -> None:
        """Look for all of it from now on."""
        self._at_calls()
        self._for_silent_calls()
        if self._sample_hz:
            self._loop.call_later(1 / self._sample_hz, self._sample)

    def last(self) -> None:
        """Once more, for commands past the clients and for the journal."""
        self._for_uncaught()
        self._read_journal()

    def _at_calls(self) -> None:
        """Without cgroups a call is what was seen below its client: look often, whether or not samples are wanted."""
        if self._over():
            return
        leaves = [call.leaf for call in self._calls.running.values() if isinstance(call.leaf, ProcessLeaf)]
        if leaves:
            table = process_table()
            for leaf in leaves:
                leaf.look(table)
        self._loop.call_later(_CALLS_EVERY_S * (1 if self._ground.tree is None else 10), self._at_calls)

    def _for_silent_calls(self) -> None:
        if not self._over():
            self._read_journal()
            self._clients.look_for_silent_calls()
            self._loop.call_later(_SILENT_CALLS_EVERY_S, self._for_silent_calls)

    def _sample(self) -> None:
        """One sample of everything, then again after the period."""
        if not self._over():
            self._sampler.tick()
            self._for_uncaught()
            self._loop.call_later(1 / self._sample_hz, self._sample)

    def _for_uncaught(self) -> None:
        for command in self._watch.look(sorted(self._sampler.agent_pids())):
            self._trace.uncaught(command)

    def _read_journal(self) -> None:
        """Calls that clients could not tell us of in time, from the journal; read whole again when it has grown."""
        try:
            size = self._ground.run.journal.stat().st_size
        except FileNotFoundError:
            return
        if size > self._journal_read:
            self._journal_read = size
            self._clients.read_journal(self._ground.run.journal.read_bytes())
