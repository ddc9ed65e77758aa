"""The keys of the configuration: what each may be, how it is written, and what it is without being written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import Any

from agentcgroup.enforce.choice import ENFORCERS
from agentcgroup.errors import UsageError
from agentcgroup.policy.none import Nothing
from agentcgroup.policy.settings import LadderSettings
from agentcgroup.policy.static import Static
from agentcgroup.policy.user_space import UserSpace
from agentcgroup.trace.kill_log import MOST_BYTES
from agentcgroup.units import parse_duration, parse_size

LOG_LEVELS = ("debug", "info", "warning", "error")
TABLES = ("run", "settings")
_MOST_TEXT = 4096


@dataclass(frozen=True, slots=True)
class Key:
    """One key. ``check`` gives the value to use, or raises UsageError, TypeError or ValueError."""

    check: Callable[[Any], Any]
    allowed: str  # in words, with an example
    default: Any = None  # None: decided when it is needed
    about: str = ""


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MOST_TEXT or not value.isprintable():
        raise TypeError
    return value


def _size(value: Any) -> int:
    if type(value) is int:
        if not 0 <= value < 1 << 62:
            raise ValueError
        return value
    return 0 if value == "0" else parse_size(_text(value))


def _duration(value: Any) -> float:
    if type(value) in (int, float):
        return _number(value, 0)
    return parse_duration(_text(value))


def _number(value: Any, least: float = -math.inf, most: float = math.inf) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or not least <= value <= most:
        raise ValueError
    return float(value)


def _integer(least: int, most: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise ValueError
        return value

    return check


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _path(value: Any) -> Path:
    path = Path(_text(value)).expanduser()
    if not path.is_absolute():
        raise ValueError
    return path


def _one_of(*words: str) -> Key:
    def check(value: Any) -> str:
        if value not in words:
            raise ValueError
        return str(value)

    return Key(check, 'one of "' + '", "'.join(words) + '"')


def _with(key: Key, default: Any, about: str) -> Key:
    return Key(key.check, key.allowed, default, about)


_A_SIZE = Key(_size, 'a size, such as "512m" or "2g"')
_A_DURATION = Key(_duration, 'a duration, such as "30s" or "10m"')
_A_PATH = Key(_path, 'an absolute path, such as "/srv/agentcgroup/file"')
_A_FLAG = Key(_boolean, "true or false")
_A_COUNT = Key(_integer(1, 1 << 22), "a whole number above 0")
_A_WEIGHT = Key(_integer(1, 10_000), "a whole number from 1 to 10000")
_A_RATE = Key(lambda value: _number(value, 0, 1000), "a number from 0 (none) to 1000")
_A_SCALAR = Key(lambda value: _scalar(value), "true, false, a number or a text")

KEYS: Mapping[str, Key] = {
    "policy": Key(_text, 'a name, such as "ladder"', "ladder", "who decides when memory gets short"),
    "reserve": _with(
        _A_SIZE, 0, "memory of the host that the daemon's sessions never get, beyond the policy's reserve"
    ),
    "socket": _with(_A_PATH, None, "where the daemon listens and sessions look for it"),
    "enforcer": _with(
        _one_of("auto", *ENFORCERS), "auto", "how the kernel helps the daemon: the best there is, or one of these"
    ),
    "scheduler": _with(
        _one_of("default", "sched_ext"), "default", "the CPU scheduler that the daemon holds for its sessions"
    ),
    "log_level": _with(_one_of(*LOG_LEVELS), "info", "what the daemon says of itself"),
    "kill_log": _with(_A_PATH, None, "where kills are recorded"),
    "kill_log_size": _with(_A_SIZE, MOST_BYTES, "size at which the kill log is rotated; one older file is kept"),
    "run.daemon": _with(_one_of("auto", "require", "off"), "auto", "`run --daemon`"),
    "run.memory": _with(_A_SIZE, None, "`run --memory`: budget of a session"),
    "run.call_memory": _with(_A_SIZE, None, "`run --call-memory`"),
    "run.call_swap": _with(_A_SIZE, None, "`run --call-swap`"),
    "run.cpu_weight": _with(_A_WEIGHT, None, "`run --cpu-weight`"),
    "run.pids": _with(_A_COUNT, 4096, "`run --pids`"),
    "run.call_pids": _with(_A_COUNT, None, "`run --call-pids`"),
    "run.call_timeout": _with(_A_DURATION, None, "`run --call-timeout`"),
    "run.keep_background": _with(_A_DURATION, 3600.0, "`run --keep-background`"),
    "run.sample_hz": _with(_A_RATE, 10.0, "`run --sample-hz`"),
    "run.placement": _with(_one_of("auto", "mount", "path"), "auto", "`run --placement`"),
    "run.track": _with(_one_of("auto", "on", "off"), "auto", "`run --track`"),
    "run.scheduler": _with(_one_of("default", "sched_ext"), "default", "`run --scheduler`"),
    "run.enforcer": _with(_one_of("auto", *ENFORCERS), "auto", "`run --enforcer`"),
    "run.priority": _with(_one_of("low", "normal", "high"), "normal", "`run --priority`"),
    "run.strict": _with(_A_FLAG, False, "`run --strict`"),
    "run.quiet": _with(_A_FLAG, False, "`run --quiet`"),
}

_BUILT_IN: Mapping[str, Any] = {"none": Nothing, "static": Static, "user-space": UserSpace, "ladder": LadderSettings}


def settings_of(policy: str) -> Mapping[str, Key] | None:
    """The settings of a policy that comes with agentcgroup; None for one of somebody's own, which knows them itself."""
    made = _BUILT_IN.get(policy)
    if made is None:
        return None
    return {field.name: _setting(field) for field in fields(made) if field.init and not field.kw_only}


def any_setting() -> Key:
    """A setting of a policy that is not known here."""
    return _A_SCALAR


def _setting(field: Field[Any]) -> Key:
    default = None if field.default is MISSING else field.default
    if field.type == "bool":
        key = _A_FLAG
    elif field.name.endswith("_bytes") or "_bytes_" in field.name:
        key = _A_SIZE
    elif field.name.endswith("_s"):
        key = _A_DURATION
    elif field.type == "int":
        key = Key(_integer(-(1 << 62), 1 << 62), "a whole number")
    else:
        key = Key(_number, "a number, such as 0.5")
    return _with(key, default, "")


def _scalar(value: Any) -> int | float | bool | str:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        _number(value)
        return value
    return _text(value)


def checked(name: str, key: Key, value: Any) -> Any:
    """``value`` as it is to be used; UsageError that says what ``name`` may be."""
    try:
        return key.check(value)
    except (UsageError, TypeError, ValueError, RuntimeError):
        raise UsageError(f"{name} cannot be {_shown(value)}", f"write {key.allowed}") from None


def _shown(value: Any) -> str:
    """A value of a file in an error: short, and nothing that a terminal would obey."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    text = "true" if value is True else "false" if value is False else ascii(value)
    return text if len(text) <= 60 else text[:60] + "..."
