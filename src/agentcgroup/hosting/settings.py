"""The settings of a session from the options of `agentcgroup run`, checked."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agentcgroup.agents import registry
from agentcgroup.controller.launch import command_error
from agentcgroup.controller.settings import Settings
from agentcgroup.domain import budget
from agentcgroup.domain.budget import Budget
from agentcgroup.errors import UsageError
from agentcgroup.model import CPU_WEIGHTS, Priority
from agentcgroup.units import parse_size

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)  # no dot: it could clash with an interface file
_SHARE_OF_HOST = 0.8
_MOST_HZ = 1000.0


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
        scheduler="sched_ext" if options["enforcer"] == "scx" else options["scheduler"],  # whose brake it is
        enforcer=options["enforcer"],
        track=options["track"],
        policy_settings={**options["configured_settings"], **_policy_settings(options["policy_settings"])},
        priority=priority,
    )


def _cpu_weight(given: int | None, priority: Priority) -> int | None:
    """What was given, else by priority; None leaves the kernel's 100."""
    return given if given is not None or priority is Priority.NORMAL else CPU_WEIGHTS[priority]


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
