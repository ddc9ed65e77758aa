"""Sessions in the process of a program: one for `agentcgroup run`, hundreds for a program that hosts agents.

    import asyncio
    from agentcgroup.hosting import host

    async def main():
        async with asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(host(["my-agent", task], name=task, memory="2g", trace=f"traces/{task}"))

    asyncio.run(main())

All of them share one event loop, so a program that blocks it delays the control of all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentcgroup.hosting.session import Hosted

_DEADLINE_S = 2.0  # what a client waits for an answer: of many sessions in one process more than of one


async def host(
    argv: Sequence[str],
    *,
    name: str | None = None,
    trace: str | Path | None = None,
    memory: str | int | None = None,
    call_memory: str | int | None = None,
    pids: int = 4096,
    priority: str = "normal",
    agent: str = "auto",
    call_timeout_s: float | None = None,
    keep_background_s: float = 3600.0,
    sample_hz: float = 0.0,
    policy: str = "ladder",
    policy_settings: Mapping[str, int | float | bool] | None = None,
    daemon: str = "auto",
    stdio: tuple[int | None, int | None, int | None] = (None, None, None),
    say: Callable[[str], None] | None = None,
) -> Hosted:
    """Run the agent ``argv`` as a session of its own in this process, and wait for its end.

    Sizes are bytes or text such as ``2g``; the rest is as the options of `agentcgroup run`, save that nothing is
    sampled unless asked for (calls are metered exactly all the same). ``stdio`` are descriptors for the standard
    streams of the agent, None leaves those of this process. Cancelling ends the agent and all its calls.

    Raises UsageError for what is wrong with the arguments, HostError where there are no cgroups to write (without them
    sessions cannot be told apart; `agentcgroup doctor` says what to do) and where ``daemon`` is ``require`` and none is
    there.
    """
    from agentcgroup.controller.session import Surroundings
    from agentcgroup.daemon.places import candidates
    from agentcgroup.hosting.session import run
    from agentcgroup.hosting.settings import settings_of

    options: dict[str, Any] = {
        "command": tuple(argv),
        "name": name,
        "trace": None if trace is None else Path(trace),
        "memory": _size(memory),
        "call_memory": _size(call_memory),
        "call_swap": None,
        "cpu_weight": None,
        "pids": pids,
        "call_pids": None,
        "priority": priority,
        "agent": agent,
        "call_timeout": call_timeout_s,
        "keep_background": keep_background_s,
        "sample_hz": sample_hz,
        "placement": "auto",
        "scheduler": "default",  # of the host there can be one, and of sessions here many
        "track": "off",  # one for each of hundreds of sessions would cost every fork of the host hundreds of looks
        "enforcer": "cgroup",  # many sessions in one process: that of the daemon looks for all of them
        "strict": False,
        "client_deadline": _DEADLINE_S,
        "policy": policy,
        "policy_settings": (),
        "configured_settings": dict(policy_settings or {}),
        "daemon": daemon,
        "sockets": candidates(None),
        "own_policy": False,
    }
    return await run(settings_of(options), options, say or _say, Surroundings(shared=True, stdio=stdio))


def _size(given: str | int | None) -> int | None:
    from agentcgroup.units import parse_size

    return parse_size(given) if isinstance(given, str) else given


def _say(line: str) -> None:
    print(f"agentcgroup: {line}", file=sys.stderr, flush=True)
