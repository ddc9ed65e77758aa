"""Runs a session for `agentcgroup run`: options to settings, settings to a session, its result to a summary."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from agentcgroup.agents import registry
from agentcgroup.cli.deciding import Deciding
from agentcgroup.cli.defaults import with_configured
from agentcgroup.controller.host import occupy
from agentcgroup.controller.kills import Kills
from agentcgroup.controller.launch import command_error
from agentcgroup.controller.session import Result, Session
from agentcgroup.controller.settings import Settings
from agentcgroup.domain import budget
from agentcgroup.domain.budget import Budget
from agentcgroup.errors import AgentcgroupError, UsageError
from agentcgroup.model import CPU_WEIGHTS, Priority
from agentcgroup.trace.frames import finish_samples
from agentcgroup.trace.records import Record
from agentcgroup.trace.render import render_text
from agentcgroup.trace.samples import SPOOL
from agentcgroup.trace.summary import Summary, SummaryBuilder, write_summary
from agentcgroup.trace.writer import TraceWriter
from agentcgroup.units import parse_size

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)  # no dot: it could clash with an interface file
_SHARE_OF_HOST = 0.8
_MOST_HZ = 1000.0


def run_session(options: Mapping[str, Any], given: Collection[str]) -> int:
    """Run one session from the options of `agentcgroup run`; its exit status. AgentcgroupError before it starts.

    Options that were not ``given`` are as configured. A failure leaves the trace as far as it got; a session that
    never began leaves none.
    """
    options = {**with_configured(options, given), "own_policy": not {"policy", "policy_settings"}.isdisjoint(given)}
    settings = settings_of(options)
    summary = SummaryBuilder()
    kills = Kills(settings.session, options.get("kill_log"), _say, options.get("kill_log_bytes"))
    deciding = Deciding(settings, options, kills, _say)

    def observe(record: Record) -> None:
        summary.add(record)
        deciding.see(record)

    trace = TraceWriter(settings.trace, session=settings.session, observer=observe)
    try:
        result = asyncio.run(_run(settings, trace, deciding))
    except BaseException:
        if trace.records:
            trace.close()
        else:
            trace.discard()
        raise
    trace.close()
    _finish(settings, trace, summary.build(), options)
    return result.status


def settings_of(options: Mapping[str, Any]) -> Settings:
    """The checked settings. Raises UsageError with the line that mends it."""
    argv: Sequence[str] = options["command"]
    _check_command(argv[0])
    session = _session_name(options["name"])
    profile = registry.recognise(argv) if options["agent"] == "auto" else registry.profile(options["agent"])
    baseline = (profile.baseline_bytes or 0) if profile is not None else 0
    priority = Priority[options["priority"].upper()]
    limits = Budget(
        memory_bytes=options["memory"] or _default_memory(),
        call_memory_bytes=options["call_memory"],
        call_swap_bytes=options["call_swap"] or 0,
        pids=options["pids"],
        call_pids=options["call_pids"],
        cpu_weight=_cpu_weight(options["cpu_weight"], priority),
    )
    budget.check(limits, profile.title if profile is not None else "the agent", baseline)
    hz = options["sample_hz"]
    if not 0 <= hz <= _MOST_HZ:
        raise UsageError(f"--sample-hz {hz:g} is out of range", f"give 0 (off) to {_MOST_HZ:g}")
    return Settings(
        argv=tuple(argv),
        session=session,
        trace=options["trace"] or _default_trace(session),
        budget=limits,
        agent=profile.id if profile is not None else "generic",
        baseline_bytes=baseline,
        rules=registry.rule_table(None if options["agent"] == "auto" else options["agent"]),
        environment=registry.environment(profile),
        call_timeout_s=options["call_timeout"],
        keep_background_s=options["keep_background"],
        sample_hz=hz,
        placement=options["placement"],
        strict=options["strict"],
        client_deadline_ms=max(1, round(options["client_deadline"] * 1000)),
        policy=options["policy"],
        policy_settings={**options["configured_settings"], **_policy_settings(options["policy_settings"])},
        priority=priority,
    )


def _cpu_weight(given: int | None, priority: Priority) -> int | None:
    """What was given, else by priority; None leaves the kernel's 100."""
    return given if given is not None or priority is Priority.NORMAL else CPU_WEIGHTS[priority]


async def _run(settings: Settings, trace: TraceWriter, deciding: Deciding) -> Result:
    ground = await occupy(settings, _say)
    try:
        decider = await deciding.join(ground)
        try:
            return await Session(settings, ground, trace, decider, shown=deciding.joins).run()
        finally:
            decider.close()
    finally:
        ground.give_back()


def _finish(settings: Settings, trace: TraceWriter, summary: Summary, options: Mapping[str, Any]) -> None:
    """Complete the trace and tell the user. The session is over: what fails here is said, and changes no status."""
    problems = [trace.problem()] if trace.problem() else []
    try:
        if (settings.trace / SPOOL).exists():  # polars takes its time to import
            finish_samples(settings.trace)
        write_summary(settings.trace, summary)
    except AgentcgroupError as error:
        problems.append(str(error))
    if options["as_json"]:
        document = {**summary.to_json(), "trace": str(settings.trace), "problems": problems}
        print(json.dumps(document), file=sys.stderr)
    else:
        if not options["quiet"]:
            width = shutil.get_terminal_size((100, 24)).columns
            sys.stderr.write(render_text(summary, width) + f"  trace       {settings.trace}\n")
        for problem in problems:
            _say(problem)


def _say(line: str) -> None:
    print(f"agentcgroup: {line}", file=sys.stderr, flush=True)


def _check_command(name: str) -> None:
    """Refuse before anything is made what could not be executed. The execve itself decides in the end."""
    if not name or shutil.which(name):
        if not name:
            raise command_error(name, errno.ENOENT)
        return
    found = shutil.which(name, mode=os.F_OK)
    raise command_error(name, errno.EACCES if found or Path(name).exists() else errno.ENOENT)


def _session_name(name: str | None) -> str:
    if name is None:
        return f"s{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"--name {name!r} cannot name a session", "use 1 to 64 letters, digits, - and _, beginning with one"
        )
    return name


def _policy_settings(words: Sequence[str]) -> dict[str, int | float | bool]:
    settings: dict[str, int | float | bool] = {}
    for word in words:
        key, separator, value = word.partition("=")
        if not separator or not key:
            raise UsageError(f"--set {word!r} is not a setting", "write --set KEY=VALUE, such as --set freeze_s=20")
        settings[key] = _number(word, value)
    return settings


def _number(word: str, value: str) -> int | float | bool:
    """A setting's value: true or false, a number, or a size such as 64m."""
    if value in ("true", "false"):
        return value == "true"
    for parse in (int, float, parse_size):
        try:
            return parse(value)
        except (ValueError, UsageError):
            continue
    raise UsageError(f"--set {word!r}: {value!r} is no value", "give true, false, a number or a size such as 64m")


def _default_memory() -> int:
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * _SHARE_OF_HOST)


def _default_trace(session: str) -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state, "agentcgroup", "traces", session)
