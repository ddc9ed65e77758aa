"""What a command line starts, seen through launchers: `npx`, `env X=1`, `nice -n 5`, `sh -c '…'`.

Reading only: a command in shell syntax is split into words, never expanded or run.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from agentcgroup.agents.launchers import LAUNCHERS, SHELLS, Launcher

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=", re.ASCII)
_INTERPRETER = re.compile(r"(python|pypy)[\d.]*|node|nodejs|bun|deno|ruby|perl", re.ASCII)
# Options of interpreters whose value is the next word; -c, -e … take a program text: no file name then.
_INTERPRETER_VALUED = frozenset({"-W", "-X", "-r", "--require", "--import", "--loader", "-I"})
_INTERPRETER_TEXT = frozenset({"-c", "-e", "--eval", "-p", "--print", "-"})
_MAX_DEPTH = 12  # launchers within launchers; more is no command line of a person


def programs(argv: Sequence[str]) -> Iterator[str]:
    """The names of the programs that ``argv`` starts, outermost first: no launchers, and no arguments.

    A name is a basename, or a package as a package runner is given it (``@scope/name@1.2``). For an interpreter
    the script or module follows it.
    """
    yield from _programs(list(argv), _MAX_DEPTH)


def _programs(argv: list[str], depth: int) -> Iterator[str]:
    while argv and _ASSIGNMENT.match(argv[0]):
        argv = argv[1:]
    if not argv or not depth:
        return
    name = _basename(argv[0])
    if name.lstrip("-") in SHELLS:
        text = _shell_text(argv)
        if text is not None:
            yield from _programs_of_text(text, depth - 1)
        return
    launcher = LAUNCHERS.get(name)
    rest = _after_subcommand(launcher, argv[1:]) if launcher is not None else None
    if launcher is not None and rest is not None:
        yield from _launched(launcher, rest, depth - 1)
        return
    if name:
        yield name
    if _INTERPRETER.fullmatch(name):
        yield from _script(argv[1:])


def _basename(word: str) -> str:
    # A package name with a scope has a slash and is no path.
    return word if word.startswith("@") else word.rsplit("/", 1)[-1]


def _after_subcommand(launcher: Launcher, words: list[str]) -> list[str] | None:
    """The words after the launcher's subcommand; None when it was given another one."""
    if not launcher.subcommands:
        return words
    index = _end_of_options(launcher, words)
    for subcommand in launcher.subcommands:
        wanted = subcommand.split()
        if words[index : index + len(wanted)] == wanted:
            return words[:index] + words[index + len(wanted) :]
    return None


def _end_of_options(launcher: Launcher, words: list[str]) -> int:
    """The index of the first word that is neither an option nor an option's value."""
    index = 0
    while index < len(words):
        word = words[index]
        if word == "--" or not word.startswith("-") or word == "-":
            break
        index += 2 if word in launcher.valued or word in launcher.command_options else 1
    return index


def _launched(launcher: Launcher, words: list[str], depth: int) -> Iterator[str]:
    text = _option_value(launcher, words)
    if text is not None:
        yield from _programs_of_text(text, depth)
        return
    if launcher.name in ("bwrap", "agentcgroup"):
        words = words[words.index("--") :] if "--" in words else []
    index = _end_of_options(launcher, words)
    index += index < len(words) and words[index] == "--"
    rest = words[index:]
    while launcher.assignments and rest and _ASSIGNMENT.match(rest[0]):
        rest = rest[1:]
    rest = rest[launcher.positionals :]
    if len(rest) == 1 and " " in rest[0]:  # tmux new-session 'claude -c', flock FILE 'claude'
        yield from _programs_of_text(rest[0], depth)
    else:
        yield from _programs(rest, depth)


def _option_value(launcher: Launcher, words: list[str]) -> str | None:
    """The command in shell syntax that an option holds: ``-c TEXT``, ``-qc TEXT``, ``--command=TEXT``."""
    short = {option[1] for option in launcher.command_options if len(option) == 2}
    for index, word in enumerate(words):
        if word == "--":
            return None
        name, equals, value = word.partition("=")
        if equals and name in launcher.command_options:
            return value
        bundled = len(word) > 1 and word[0] == "-" and word[1] != "-" and word[-1] in short
        if (word in launcher.command_options or bundled) and index + 1 < len(words):
            return words[index + 1]
        # su takes its options after the user's name as well, the others end them at the first word
        if not word.startswith("-") and launcher.name != "su" and words[index - 1] not in launcher.valued:
            return None
    return None


def _shell_text(argv: list[str]) -> str | None:
    """The command of `sh … -c TEXT`, None for a script, stdin or a terminal."""
    has_command = False
    words = iter(argv[1:])
    for word in words:
        if word in ("-o", "+o", "-O", "+O", "--rcfile", "--init-file"):
            next(words, None)
        elif word[:1] in ("-", "+") and len(word) > 1:
            has_command |= word[0] == "-" and word[1] != "-" and "c" in word
        else:
            return word if has_command else None
    return None


def _programs_of_text(text: str, depth: int) -> Iterator[str]:
    """The programs of each simple command in ``text``; nothing when it is not sound shell syntax."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:
        return
    command: list[str] = []
    for word in (*words, ";"):
        if word and all(character in "();<>|&" for character in word):
            yield from _programs(command, depth)
            command = []
        else:
            command.append(word)


def _script(words: list[str]) -> Iterator[str]:
    """The script or module of an interpreter's command line."""
    rest = iter(words)
    for word in rest:
        if word in _INTERPRETER_TEXT:
            return
        if word == "-m":
            yield from (module for module in (next(rest, None),) if module)
            return
        if word in _INTERPRETER_VALUED:
            next(rest, None)
        elif not word.startswith("-"):
            yield from filter(None, [_basename(word)])
            return
