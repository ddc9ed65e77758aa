"""What a shell's argument vector would run: every simple command, out of scripts, `eval`, `sh -c` and wrappers.

Agents wrap what the model wrote (`source … && eval '…' && pwd -P`), and models wrap what they mean (`cd x && timeout 60
env A=b uv run pytest`). Reading only, as in `shell`; bounded in depth and number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from agentcgroup.commands import shell
from agentcgroup.commands.shell import Simple, Word

_MAX_DEPTH = 8  # scripts within scripts
_MAX_WRAPPERS = 12  # wrappers around one command
_SHELLS = frozenset(("sh", "bash", "dash", "zsh", "ash", "ksh", "mksh"))
_EXPORTS = frozenset(("export", "declare", "typeset", "readonly", "local"))
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_SHELL_VALUED = frozenset(("-o", "+o", "-O", "+O", "--rcfile", "--init-file"))


@dataclass(frozen=True, slots=True)
class Unfolded:
    """``commands`` without their wrappers, in the order of the text, and the comments that stand on their own lines.

    ``sound``: False when a part of it is malformed; what was found before is there all the same.
    """

    commands: tuple[Simple, ...]
    comments: tuple[str, ...]
    sound: bool


@dataclass(frozen=True, slots=True)
class _Wrapper:
    """A program that runs the rest of its command line: options, ``positionals`` words of its own, the command."""

    valued: frozenset[str] = frozenset()  # options whose value is the next word
    positionals: int = 0
    subcommands: tuple[str, ...] = ()  # one of them must follow the name
    assigns: bool = False  # NAME=VALUE words may stand before the command


def _wrapper(valued: str = "", positionals: int = 0, subcommands: str = "", assigns: bool = False) -> _Wrapper:
    return _Wrapper(frozenset(valued.split()), positionals, tuple(subcommands.split()), assigns)


_UV = "--from --with --with-editable --with-requirements -w -p --python --extra --group --directory --project"
_PLAIN = _wrapper()
_CONDA = _wrapper("-n --name -p --prefix --cwd", subcommands="run")
_RUN = _wrapper("-e --env -p --project -C -P --directory", subcommands="run")

_WRAPPERS = {
    "env": _wrapper("-u --unset -C --chdir", assigns=True),
    "sudo": _wrapper("-u --user -g --group -h --host -p --prompt -C -D -R -T -r -t", assigns=True),
    "doas": _wrapper("-u -C"),
    "nice": _wrapper("-n --adjustment"),
    "ionice": _wrapper("-c -n --class --classdata"),
    "chrt": _wrapper("-T -P -D", 1),
    "taskset": _wrapper("", 1),
    "stdbuf": _wrapper("-i -o -e --input --output --error"),
    "timeout": _wrapper("-k --kill-after -s --signal", 1),
    "gtimeout": _wrapper("-k --kill-after -s --signal", 1),
    "time": _wrapper("-f --format -o --output"),
    "exec": _wrapper("-a"),
    "flock": _wrapper("-w --wait -E --conflict-exit-code", 1),
    "strace": _wrapper("-o -e -p -s -u -E -a -O -S -P -I -b -X"),
    "systemd-run": _wrapper("-p -u -E -M -H --property --unit --slice --setenv --uid --gid --description"),
    "xvfb-run": _wrapper("-n -s -w -e -f -p --server-num --server-args"),
    "xargs": _wrapper("-n -P -I -L -d -a -E -s --max-args --max-procs --delimiter --arg-file"),
    "parallel": _wrapper("-j --jobs -a --arg-file -d --delimiter --joblog --timeout --retries --delay"),
    "watch": _wrapper("-n --interval"),
    "cross-env": _wrapper(assigns=True),
    **dict.fromkeys(("nohup", "setsid", "command", "builtin", "prlimit", "fakeroot", "unbuffer"), _PLAIN),
    "npx": _wrapper("-p --package -w --workspace -c"),
    "bunx": _wrapper("-p --package"),
    "npm": _wrapper("-p --package --prefix -w --workspace -C", subcommands="exec x"),
    "pnpm": _wrapper("-C --dir --filter -F", subcommands="exec dlx"),
    "yarn": _wrapper("--cwd", subcommands="exec dlx"),
    "uvx": _wrapper(_UV),
    "uv": _wrapper(_UV, subcommands="run"),
    "pipx": _wrapper("--spec --python", subcommands="run"),
    "conda": _CONDA,
    "mamba": _CONDA,
    "micromamba": _CONDA,
    **dict.fromkeys(("poetry", "hatch", "pdm", "pipenv", "rye", "pixi"), _RUN),
    "bundle": _wrapper(subcommands="exec"),
}


def unfold(argv: Sequence[str]) -> Unfolded:
    """Everything that ``argv`` would run, as far as it can be read without running it. Never raises."""
    walk = _Walk()
    walk.command(Simple(tuple(Word(text) for text in argv)), _MAX_DEPTH)
    return Unfolded(tuple(walk.commands), tuple(walk.comments), walk.sound)


def basename(word: str) -> str:
    """The name of a program: no folders, no version (``tool@1.2``); a scoped package keeps its scope."""
    if word.startswith("@"):
        return "@" + word[1:].split("@")[0]
    return word.rsplit("/", 1)[-1].split("@")[0]


@dataclass(slots=True)
class _Walk:
    commands: list[Simple] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    sound: bool = True
    left: int = 2 * shell.MAX_TEXT  # characters that may still be read: scripts within scripts are read again

    def script(self, text: str, depth: int) -> None:
        """Everything in a shell text, its substitutions last."""
        self.left -= min(len(text), shell.MAX_TEXT)
        if not depth or self.left < 0 or len(self.commands) >= shell.MAX_COMMANDS:
            return
        script = shell.read(text)
        self.comments += script.comments
        self.sound &= script.sound
        for simple in script.commands:
            self.command(simple, depth)
        for inner in script.inner:
            self.script(inner, depth - 1)

    def command(self, simple: Simple, depth: int) -> None:
        """One simple command: what is in it when it runs others, else itself."""
        for _ in range(_MAX_WRAPPERS):
            peeled = _peel(simple)
            if peeled is None:
                break
            simple = peeled
        name = basename(simple.words[0].text) if simple.words else ""
        if name.lstrip("-") in _SHELLS:
            self._shell(simple, depth)
        elif name == "eval":
            self._add(Simple((), simple.assignments))
            self.script(" ".join(simple.argv[1:]), depth - 1)
        elif name in _EXPORTS:
            given = tuple(word for word in simple.words[1:] if _ASSIGNMENT.match(word.text))
            self._add(Simple(simple.words, simple.assignments + given))
        else:
            self._add(simple)

    def _shell(self, simple: Simple, depth: int) -> None:
        """`sh -c TEXT`, `sh FILE`, or a shell that reads a here-document."""
        has_text, index = False, 1
        argv = simple.argv
        while index < len(argv) and argv[index][:1] in ("-", "+") and len(argv[index]) > 1:
            has_text |= argv[index][0] == "-" and argv[index][1] != "-" and "c" in argv[index]
            index += 2 if argv[index] in _SHELL_VALUED else 1
        if index < len(argv) and has_text:
            self._add(Simple((), simple.assignments))
            self.script(argv[index], depth - 1)
        elif index < len(argv):
            self._add(Simple(simple.words[index:], simple.assignments, simple.stdin))
        else:
            self._add(Simple((), simple.assignments))
            self.script(simple.stdin, depth - 1)

    def _add(self, simple: Simple) -> None:
        if (simple.words or simple.assignments) and len(self.commands) < shell.MAX_COMMANDS:
            self.commands.append(simple)


def _peel(simple: Simple) -> Simple | None:
    """``simple`` without its outermost wrapper; None when there is none, or nothing behind it."""
    if not simple.words:
        return None
    wrapper = _WRAPPERS.get(basename(simple.words[0].text))
    if wrapper is None:
        return None
    words = simple.words[1:]
    index = _after_options(words, 0, wrapper)
    if wrapper.subcommands:
        if index >= len(words) or words[index].text not in wrapper.subcommands:
            return None
        index = _after_options(words, index + 1, wrapper)
    given = index
    while wrapper.assigns and index < len(words) and _ASSIGNMENT.match(words[index].text):
        index += 1
    rest = words[index + wrapper.positionals :]
    if not rest:
        return None
    return Simple(rest, simple.assignments + words[given:index], simple.stdin)


def _after_options(words: tuple[Word, ...], index: int, wrapper: _Wrapper) -> int:
    while index < len(words) and words[index].text.startswith("-") and len(words[index].text) > 1:
        if words[index].text == "--":
            return index + 1
        index += 2 if words[index].text in wrapper.valued else 1
    return index
