"""One session from its settings to its finished trace: ground, decider, session, records, summary."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentcgroup.controller.host import occupy
from agentcgroup.controller.kills import Kills
from agentcgroup.controller.session import Result, Session, Surroundings
from agentcgroup.controller.settings import Settings
from agentcgroup.errors import AgentcgroupError
from agentcgroup.hosting.deciding import Deciding
from agentcgroup.trace.frames import finish_samples
from agentcgroup.trace.records import Record
from agentcgroup.trace.samples import SPOOL
from agentcgroup.trace.summary import Summary, SummaryBuilder, write_summary
from agentcgroup.trace.writer import TraceWriter


@dataclass(frozen=True, slots=True)
class Hosted:
    """A session that is over. ``problems`` are sentences about what could not be kept of its trace."""

    result: Result
    summary: Summary
    problems: tuple[str, ...]


async def run(
    settings: Settings, options: Mapping[str, Any], say: Callable[[str], None], surroundings: Surroundings
) -> Hosted:
    """Run a session. AgentcgroupError when it cannot begin; then there is no trace of it.

    A failure later leaves the trace as far as it got. ``say`` is told in a line what this host lacks.
    """
    building = SummaryBuilder()
    kills = Kills(settings.session, options.get("kill_log"), say, options.get("kill_log_bytes"))
    deciding = Deciding(settings, options, kills, say)

    def observe(record: Record) -> None:
        building.add(record)
        deciding.see(record)

    trace = TraceWriter(settings.trace, session=settings.session, observer=observe)
    try:
        result = await _controlled(settings, trace, deciding, say, surroundings)
    except BaseException:
        if trace.records:
            trace.close()
        else:
            trace.discard()
        raise
    trace.close()
    summary = building.build()
    problems = [problem] if (problem := trace.problem()) else []
    try:
        if (settings.trace / SPOOL).exists():  # polars takes its time to import, and to write
            await asyncio.to_thread(finish_samples, settings.trace)
        write_summary(settings.trace, summary)
    except AgentcgroupError as error:  # the session is over: it changes no status
        problems.append(str(error))
    return Hosted(result, summary, tuple(problems))


async def _controlled(
    settings: Settings, trace: TraceWriter, deciding: Deciding, say: Callable[[str], None], surroundings: Surroundings
) -> Result:
    ground = await occupy(settings, say)
    try:
        decider = await deciding.join(ground)
        try:
            session = Session(
                settings,
                ground,
                trace,
                decider,
                shown=deciding.joins,
                elsewhere=deciding.elsewhere,
                scheduler=deciding.scheduler,
                surroundings=surroundings,
                say=say,
            )
            return await session.run()
        finally:
            decider.close()
    finally:
        ground.give_back()
