"""The configuration: /etc/agentcgroup/config.toml, then the user's file, then ``--set key=value``; the last one wins.

Nothing is guessed and nothing is evaluated: an unknown key or a wrong type is an error that names the file, the line
and the way to mend it. A file that names another policy than those before it begins with none of their settings.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentcgroup.daemon import config_files, config_keys
from agentcgroup.daemon.config_files import SYSTEM_FILE, files_of_a_daemon, user_file
from agentcgroup.daemon.config_keys import KEYS, LOG_LEVELS, TABLES, checked, settings_of
from agentcgroup.errors import UsageError
from agentcgroup.policy import registry
from agentcgroup.policy.world import Policy
from agentcgroup.trace.kill_log import MOST_BYTES

__all__ = ["LOG_LEVELS", "SYSTEM_FILE", "Config", "examine", "load", "user_file"]

_POLICY = "ladder"  # unless another is chosen
_PATH_OF_A_POLICY = re.compile(r"[A-Za-z_]\w*([.:][A-Za-z_]\w*)+", re.ASCII)
_OF_THE_HOST = ("socket", "kill_log")  # in the system's file: those of root's daemon, not of a user's


@dataclass(frozen=True, slots=True)
class Config:
    """What was configured. ``sources``: key -> where it was set; a key that is not in it has its default."""

    policy: str = _POLICY
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the policy
    reserve_bytes: int = 0  # of the host's memory that sessions never get, beyond what the policy leaves
    socket: Path | None = None  # None: daemon/places.py
    enforcer: str = "auto"  # of the daemon itself: enforce/choice.py
    scheduler: str = "default"  # that the daemon holds for all sessions: daemon/scheduling.py
    log_level: str = "info"
    kill_log: Path | None = None  # None: trace/kill_log.py
    kill_log_bytes: int = MOST_BYTES
    run: Mapping[str, Any] = field(default_factory=dict)  # defaults of the options of `run`, by their names
    sources: Mapping[str, str] = field(default_factory=dict)

    def make_policy(self) -> Policy:
        """The policy; UsageError when there is none such or its settings are wrong. Imports one of somebody's own."""
        try:
            return registry.policy(self.policy, **self.settings)
        except UsageError as error:
            keys = [key for key in self.sources if key == "policy" or key.startswith("settings.")]
            where = ", ".join(dict.fromkeys(self.sources[key] for key in keys))
            raise UsageError(f"{where}: {error.message}" if where else error.message, error.fix) from error

    def value(self, key: str) -> Any:
        """What ``key`` (such as ``settings.freeze_s``) is: as configured, else its default; None: decided later."""
        if key in self.sources:
            table, dot, name = key.partition(".")
            return getattr(self, table)[name] if dot else getattr(self, _FIELDS.get(key, key))
        known = {**KEYS, **{f"settings.{name}": one for name, one in (settings_of(self.policy) or {}).items()}}
        return known[key].default if key in known else None


_FIELDS = {"reserve": "reserve_bytes", "kill_log_size": "kill_log_bytes"}


def load(file: Path | None = None, sets: Sequence[str] = (), *, files: Sequence[Path] | None = None) -> Config:
    """The configuration: ``file`` alone, or ``files`` (a daemon's, unless given), then ``sets`` (``key=value``).

    UsageError with the first thing that is wrong and its place.
    """
    config, problems = examine(file, sets, files=files)
    if problems:
        raise problems[0]
    return config


def examine(
    file: Path | None = None, sets: Sequence[str] = (), *, files: Sequence[Path] | None = None
) -> tuple[Config, list[UsageError]]:
    """The configuration as far as it is sound, and all that is wrong with it. Imports no policy of somebody's own."""
    reader = _Reader(of_a_daemon=files is None)
    for path in (file,) if file is not None else (files_of_a_daemon() if files is None else files):
        reader.read(path, must_exist=file is not None)
    for word in sets:
        reader.set(word)
    return reader.config(), reader.problems


class _Reader:
    """Gathers keys from one place after the other, and what is wrong with them."""

    def __init__(self, *, of_a_daemon: bool) -> None:
        self.problems: list[UsageError] = []
        self._found: dict[str, Any] = {}  # key, of a table with its name, -> value
        self._sources: dict[str, str] = {}
        self._foreign = _OF_THE_HOST if of_a_daemon else ("kill_log",)

    def read(self, path: Path, *, must_exist: bool) -> None:
        """Take a file."""
        try:
            text = config_files.read(path, must_exist=must_exist)
            if text is None:
                return
            found = tomllib.loads(text)
        except UsageError as error:
            self.problems.append(error)
            return
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            self.problems.append(UsageError(f"{path} is not TOML: {error}", "mend that line"))
            return
        skip = self._foreign if path == SYSTEM_FILE and os.geteuid() != 0 else ()
        flat = [(key, value) for key, value in _flat(found) if key not in skip]
        self._take(flat, {key: _place(path, text, key) for key, _ in flat})

    def set(self, word: str) -> None:
        """Take a ``--set``."""
        key, equals, value = (part.strip() for part in word.partition("="))
        where = f"--set {word}"
        if not equals or not key:
            self.problems.append(UsageError(f"{where} is no setting", "write key=value, such as policy=ladder"))
            return
        self._take([(key, _value(value))], {key: where})

    def config(self) -> Config:
        """What was gathered; the settings are checked against their policy now."""
        self._check_settings()
        values: dict[str, Any] = {"settings": {}, "run": {}}
        for key, value in self._found.items():
            table, dot, name = key.partition(".")
            if dot:
                values[table][name] = value
            else:
                values[_FIELDS.get(key, key)] = value
        config = Config(**values, sources=dict(self._sources))
        if settings_of(config.policy) is not None:
            try:
                config.make_policy()  # how the numbers fit together
            except UsageError as error:
                self.problems.append(error)
        return config

    def _take(self, flat: Iterable[tuple[str, Any]], places: Mapping[str, str]) -> None:
        sound: dict[str, Any] = {}
        for key, value in flat:
            try:
                sound[key] = self._checked(key, value)
            except UsageError as error:
                self.problems.append(UsageError(f"{places[key]}: {error.message}", error.fix))
        if "policy" in sound and sound["policy"] != self._found.get("policy", _POLICY):
            self._drop([key for key in self._found if key.startswith("settings.")])
        self._found.update(sound)
        self._sources.update({key: places[key] for key in sound})

    def _checked(self, key: str, value: Any) -> Any:
        if key.startswith("settings."):
            return value  # when the policy is known
        if key in TABLES:
            raise UsageError(f"{key} is a table", f"write a line [{key}] and its keys below it")
        if key not in KEYS:
            raise _unknown(key, KEYS)
        value = checked(key, KEYS[key], value)
        if key == "policy" and value not in registry.names() and not _PATH_OF_A_POLICY.fullmatch(value):
            raise _unknown_policy(value)
        return value

    def _check_settings(self) -> None:
        """Each setting against the policy that is chosen; what is wrong is left out."""
        policy = self._found.get("policy", _POLICY)
        known = settings_of(policy)
        for key in [key for key in self._found if key.startswith("settings.")]:
            name = key.partition(".")[2]
            try:
                if known is not None and name not in known:
                    raise _unknown_setting(policy, name, known)
                one = config_keys.any_setting() if known is None else known[name]
                self._found[key] = checked(key, one, self._found[key])
            except UsageError as error:
                self.problems.append(UsageError(f"{self._sources[key]}: {error.message}", error.fix))
                self._drop([key])

    def _drop(self, keys: Iterable[str]) -> None:
        for key in keys:
            del self._found[key], self._sources[key]


def _unknown(key: str, known: Iterable[str]) -> UsageError:
    every = [*known, *(f"settings.{name}" for name in settings_of("ladder") or ())]
    same_name = [name for name in every if name.rpartition(".")[2] == key.rpartition(".")[2].replace("-", "_")]
    close = same_name or difflib.get_close_matches(key, every, 1)
    table, dot, _ = key.rpartition(".")
    here = [name for name in KEYS if name.startswith(f"{table}.")] if dot and table in TABLES else []
    fix = f"did you mean {close[0]}?" if close else f"there are {', '.join(here or KEYS)} and a table [settings]"
    return UsageError(f"there is no key {key!r}", fix)


def _unknown_policy(name: str) -> UsageError:
    close = difflib.get_close_matches(name, registry.names(), 1)
    hint = f"did you mean {close[0]}? " if close else ""
    every = ", ".join(registry.names())
    return UsageError(f"there is no policy {name!r}", f"{hint}give {every}, or a path such as package.module:attribute")


def _unknown_setting(policy: str, name: str, known: Mapping[str, object]) -> UsageError:
    close = difflib.get_close_matches(name, known, 1)
    every = f"there are {', '.join(known)}" if known else "it has none; remove it, or choose another policy"
    return UsageError(f"the policy {policy} has no setting {name!r}", f"did you mean {close[0]}?" if close else every)


def _flat(found: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The keys of a document, those in a table with its name before them."""
    for key, value in found.items():
        if isinstance(value, dict) and key not in KEYS and (value or key in TABLES):
            for name, inner in value.items():
                yield f"{key}.{name}", inner
        else:
            yield key, value


def _value(text: str) -> Any:
    """A value on the command line: TOML, else the text itself."""
    try:
        found = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
    return found["value"] if set(found) == {"value"} else text


def _place(path: Path, text: str, key: str) -> str:
    """``file:line`` of a key, or the file alone where the line is written in some other way."""
    inside = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([^\]\s]+)\s*\]", line):
            if header[1] == key:
                return f"{path}:{number}"
            inside = f"{header[1]}."
        elif word := re.match(r"\s*([\"']?)([\w.:-]+)\1\s*=", line):
            inside_word = inside + word[2]
            if inside_word in (key, key.partition(".")[0]):  # or its table, written in one line
                return f"{path}:{number}"
    return str(path)
