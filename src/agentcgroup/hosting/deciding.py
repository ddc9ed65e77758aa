"""Who decides over a session of `agentcgroup run`: the daemon of the host (`--daemon`), or a policy in this process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from agentcgroup.controller.decider import Decider, Undecided
from agentcgroup.controller.host import Ground
from agentcgroup.controller.kills import Kills, Noting
from agentcgroup.controller.settings import DEFAULT_POLICY, Settings
from agentcgroup.errors import HostError
from agentcgroup.model import CallEnd, CallStart
from agentcgroup.trace.records import Record

if TYPE_CHECKING:
    from agentcgroup.daemon.member import JoinedDecider
    from agentcgroup.daemon.messages import Hello
    from agentcgroup.policy.world import Policy

_MOST_ARGV = 2000  # characters of a command line, for display


class Deciding:
    """Who decides, for one session. ``see`` every record of its trace; ``join`` before it starts."""

    def __init__(
        self, settings: Settings, options: Mapping[str, Any], kills: Kills, say: Callable[[str], None]
    ) -> None:
        self._policy: Policy | None = None  # a value: as good as new whenever this session has to decide for itself
        if settings.policy_settings or settings.policy != DEFAULT_POLICY:
            self._policy = _policy(settings)  # what is wrong with it is said now
        self.joins = False  # the daemon wants to know of the session
        self._settings = settings
        self._options = options
        self._kills = kills
        self._say = say
        self._joined: JoinedDecider | None = None
        self._tell: Decider | None = None  # who hears of the calls where nothing controls them

    async def join(self, ground: Ground) -> Decider:
        """The decider. HostError with `--daemon require` when there is no daemon."""
        mode, where = self._options["daemon"], self._options["sockets"]
        if mode == "off" or (mode == "auto" and not any(os.path.exists(path) for path in where)):  # noqa: PTH110
            if not ground.counts_memory:  # os.path: a folder that may not be entered holds no daemon for us
                return Undecided()
            return Noting(self._alone(), self._kills)
        from agentcgroup.daemon.member import join_daemon

        self.joins = True
        hello = _hello(self._settings, ground)
        alone = self._alone if ground.counts_memory else Undecided
        try:
            joined = await join_daemon(hello, alone, self._say, require=mode == "require", sockets=where)
        except HostError as error:
            raise HostError(f"--daemon require: {error.message}", error.fix) from None
        self._kills.tell = joined.killed
        self._joined = joined
        if joined.joined and self._options["own_policy"]:
            self._say("the daemon decides by its own policy; --policy and --set count only while it is gone")
        if not ground.counts_memory:
            self._tell = joined
        return Noting(joined, self._kills)

    def elsewhere(self) -> bool:
        """Whether the daemon decides now."""
        return self._joined is not None and self._joined.joined

    def scheduler(self) -> str:
        """The CPU scheduler that the daemon holds for the session; empty: none."""
        return "" if self._joined is None else self._joined.scheduler

    def see(self, record: Record) -> None:
        """A record of the trace: kills go to the kill log, and without control the daemon hears of calls from here."""
        self._kills.see(record)
        if self._tell is not None:
            match record.body:
                case CallStart(call=call):
                    from agentcgroup.policy.world import Began, CallId

                    self._tell.submit(Began(CallId(self._settings.session, call)))
                case CallEnd(call=call):
                    from agentcgroup.policy.world import CallId, Ended

                    self._tell.submit(Ended(CallId(self._settings.session, call)))

    def _alone(self) -> Decider:
        from agentcgroup.controller.local import LocalDecider

        self._policy = self._policy or _policy(self._settings)
        return LocalDecider(self._policy)


def _policy(settings: Settings) -> Policy:
    from agentcgroup.policy.registry import policy  # nothing of it is needed where no memory is counted

    return policy(settings.policy, **settings.policy_settings)


def _hello(settings: Settings, ground: Ground) -> Hello:
    from agentcgroup.daemon.messages import Hello

    return Hello(
        name=settings.session,
        now_s=time.monotonic(),
        priority=settings.priority,
        argv=_cut(settings.argv),
        agent=settings.agent,
        trace=str(settings.trace.absolute())[:_MOST_ARGV],
        budget_bytes=settings.budget.memory_bytes if ground.counts_memory else None,
        support=str(ground.support),
        cgroup="" if ground.tree is None else ground.cgroup_path,
    )


def _cut(argv: tuple[str, ...]) -> tuple[str, ...]:
    """The beginning of a command line, within what a message may hold."""
    kept: list[str] = []
    left = _MOST_ARGV
    for word in argv:
        if left <= 0:
            break
        kept.append(word[:left])
        left -= len(word) + 1
    return tuple(kept)
