"""What a shell is, by the rule table: the client's own judgement (rules.c, names.c, conditions.c) in Python. Pure.

For shells that no client stood in for. The language of the table is in docs/reference/client-protocol.md; a test holds
this reading of it against the client's, with tables and processes of every kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agentcgroup.model import Label

_NAME_MAX = 63  # bytes; longer names match nothing
_LABELS = frozenset((Label.CALL, Label.PROBE, Label.HOOK, Label.HELPER))
_NO_SCRIPT = frozenset((b"-c", b"-e", b"-p", b"--eval", b"--print", b"-"))
_WITH_VALUE = frozenset((b"-X", b"-W", b"-r", b"-I", b"--require", b"--import", b"--loader"))
_SUBCOMMANDS = frozenset((b"deno", b"bun"))
_PLAIN = frozenset((b"node", b"ruby", b"perl"))
_ARGUMENT = re.compile(r"arg(\d{1,10})(!~|[=^$~])(.*)", re.ASCII | re.DOTALL)
_COUNT = re.compile(r"argc=(\d{1,10})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Names:
    """What a process is called; empty texts match nothing."""

    name: str  # basename of the first word of its command line
    script: str = ""  # for an interpreter, the script or module that it runs


@dataclass(frozen=True, slots=True)
class Shell:
    """What the rules look at. The three functions are asked only when a rule needs them."""

    argv: tuple[str, ...]
    session_leader: Callable[[], bool]
    terminal: Callable[[], bool]  # is its stdin one?
    has_variable: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a shell is, and of which agent (an id of the table, or ``generic``)."""

    label: Label
    agent: str


def names_of(cmdline: bytes) -> Names:
    """The names of a process, from the bytes of its /proc/PID/cmdline."""
    end = min((at for at in (cmdline.find(b"\0"), cmdline.find(b" ")) if at >= 0), default=len(cmdline))
    name = cmdline[:end].rpartition(b"/")[2]
    name = name[1:] if name.startswith(b"-") else name  # a login shell
    words: list[bytes] = []
    if end < len(cmdline):
        separator, rest = cmdline[end : end + 1], cmdline[end + 1 :]
        if separator == b" ":  # a title: one text with spaces
            rest = rest.partition(b"\0")[0]
        words = rest.split(separator)
    return Names(_kept(name), _kept(_script(name, words)))


def _kept(name: bytes) -> str:
    return name.decode(errors="surrogateescape") if len(name) <= _NAME_MAX else ""


def _script(name: bytes, words: list[bytes]) -> bytes:
    """The basename of the script, or the module, that an interpreter called ``name`` runs; empty for none."""
    python = name.startswith(b"python")
    if not python and name not in _PLAIN | _SUBCOMMANDS:
        return b""
    rest = iter(words)
    for word in rest:
        if word in _NO_SCRIPT:
            return b""
        if word in _WITH_VALUE:
            next(rest, None)
        elif word and not word.startswith(b"-"):
            if name not in _SUBCOMMANDS or word != b"run":
                return word.rpartition(b"/")[2]
        elif python and word[1:2] != b"-" and b"m" in word[1:]:  # -m agent, -magent, -um agent
            module = word[1:].partition(b"m")[2]
            return module or next(rest, b"")
    return b""


@dataclass(frozen=True, slots=True)
class _Agent:
    id: str
    names: frozenset[str]


class RuleTable:
    """The table of one session, read once."""

    def __init__(self, text: str) -> None:
        self._launchers: set[str] = set()
        self._agents: list[_Agent] = []
        self._rules: list[tuple[str, Label, tuple[str, ...]]] = []  # agent's id, label, conditions
        forced: list[str] = []
        section = ""
        for line in text.partition("\0")[0].split("\n"):
            first, *fields = line.split("\t")
            if first == "launchers":
                self._launchers.update(fields)
            elif first == "agent":
                section = fields[0] if fields else ""
                self._agents.append(_Agent(section, frozenset(fields[1:]) - {""}))
            elif first == "rule" and section and fields and fields[0] in _LABELS:
                self._rules.append((section, Label(fields[0]), tuple(fields[1:])))
            elif first == "force" and fields:
                forced.append(fields[0])
        self._forced = forced[0] if forced else ""
        self._launchers.discard("")

    def decide(self, lineage: Sequence[Names], complete: bool, shell: Shell) -> Verdict:
        """What ``shell`` is. ``lineage``: its parent first, COMMAND last, if it is ``complete``."""
        agent, place = self._agent(lineage) if complete and lineage else (self._forced or "generic", None)
        if place is None and complete:
            return Verdict(Label.LAUNCHER, agent)
        for section, label, conditions in self._rules:
            if section == agent and all(_holds(condition, shell, place == 0) for condition in conditions):
                return Verdict(label, agent)
        return Verdict(Label.CALL if agent in ("generic", "command") else Label.HELPER, agent)

    def _agent(self, lineage: Sequence[Names]) -> tuple[str, int | None]:
        """The id of the agent, and where in ``lineage`` it is; None when there are only launchers."""
        if self._forced == "command":
            return "command", len(lineage) - 1
        for place, who in enumerate(lineage):
            for agent in self._agents:
                if agent.id and self._forced in ("", agent.id) and _is_called(who, agent.names):
                    return agent.id, place
        for place in reversed(range(len(lineage))):
            if not _is_called(lineage[place], self._launchers):
                return self._forced or "generic", place
        return self._forced or "generic", None


def _is_called(who: Names, names: frozenset[str] | set[str]) -> bool:
    return who.name in names or who.script in names


def _holds(condition: str, shell: Shell, child: bool) -> bool:
    match condition:
        case "sid":
            return shell.session_leader()
        case "nosid":
            return not shell.session_leader()
        case "tty":
            return shell.terminal()
        case "notty":
            return not shell.terminal()
        case "child":
            return child
        case "nochild":
            return not child
    if found := _COUNT.fullmatch(condition):
        return int(found[1]) == len(shell.argv)
    if condition.startswith("env="):
        return len(condition) > 4 and shell.has_variable(condition[4:])
    if condition.startswith("noenv="):
        return len(condition) > 6 and not shell.has_variable(condition[6:])
    found = _ARGUMENT.fullmatch(condition)
    return found is not None and _argument_holds(int(found[1]), found[2], found[3], shell.argv)


def _argument_holds(index: int, how: str, text: str, argv: tuple[str, ...]) -> bool:
    if index >= 1 << 32:  # a number that the client cannot read
        return False
    if index >= len(argv):
        return how == "!~"
    word = argv[index]
    match how:
        case "=":
            return word == text
        case "^":
            return word.startswith(text)
        case "$":
            return word.endswith(text)
        case "!~":
            return text not in word
    return text in word
