"""What kind of command a command line is, by the programs that it runs. Pure; bottom layer.

``classify(argv)`` reads the argument vector of the shell as an agent started it, looks through the agent's own wrapping
and through `timeout 60`, `env A=b`, `uv run`, `sh -c` …, and tells the kind of the heaviest program in it.
``unfold(argv)`` gives all simple commands of it, for those who look for something else.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agentcgroup.commands.kinds import Kind, judge
from agentcgroup.commands.unfold import Unfolded, basename, unfold

__all__ = ["Command", "Kind", "Unfolded", "by_programs", "classify", "normalised", "unfold"]

# The heaviest counts; of the same weight the first. By what such commands needed in published runs of agents.
_WEIGHTS = (Kind.BUILD, Kind.TEST, Kind.INSTALL, Kind.SERVER, Kind.INTERPRETER, Kind.VCS, Kind.FILE, Kind.OTHER)
_WEIGHT = {kind: len(_WEIGHTS) - place for place, kind in enumerate(_WEIGHTS)}

_KEY_MAX = 160  # characters; what is longer ends in a digest
_SHOWS = re.compile(
    r"-(v+|q+|y|s)|--(verbose|quiet|silent|no-header|no-color|yes)|--(tb|color|durations|capture)(=.*)?"
)
_TEMPORARY = re.compile(r"(/var)?/tmp/[^\s'\"]*|\$\{?TMPDIR\}?[^\s'\"]*|\btmp\.\w+")
_NUMBER = re.compile(r"(?<![\w.])\d+(\.\d+)?(?!\w)")
_WORKERS = re.compile(
    r"(-n|-j|-p|-P|-T|--jobs|--parallel|--numprocesses|--maxWorkers|--max-workers|--test-threads)(=?\w+)?"
)


@dataclass(frozen=True, slots=True)
class Command:
    """A command line by its heaviest program.

    ``program`` is its canonical name (`pytest` for `python3 -m pytest`), empty when there is none; ``words`` are its
    arguments, for an interpreter that reads a here-document with the text of it at the end.
    """

    kind: Kind
    program: str
    words: tuple[str, ...]


def classify(argv: Sequence[str]) -> Command:
    """What ``argv`` runs; OTHER without a program for what is empty or malformed. Never raises."""
    found = unfold(argv)
    best = Command(Kind.OTHER, "", ())
    if not found.sound:
        return best
    for simple in found.commands:
        if not simple.words:
            continue
        name, *words = simple.argv
        kind, program, rest = judge(basename(name), tuple(words))
        if kind is Kind.INTERPRETER and simple.stdin:
            rest = (*rest, simple.stdin)
        if not best.program or _WEIGHT[kind] > _WEIGHT[best.kind]:
            best = Command(kind, program, rest)
    return best


def by_programs(command: Command, programs: Sequence[str]) -> Command:
    """``command`` with the kind of the heaviest of ``programs``, basenames of what it really ran, if that is heavier.

    What `./ci.sh` or a Makefile starts is not in the command line. Program and words stay: they are what will be
    typed again.
    """
    kinds = [judge(name, ())[0] for name in programs]
    return replace(command, kind=max([command.kind, *kinds], key=_WEIGHT.__getitem__))


def normalised(command: Command) -> str:
    """A key for "the same command again": its program and the words that matter.

    Temporary paths and numbers are one and the same; what only changes the output is left out. Numbers of workers
    stay: an agent that was told to use fewer shall not be judged by what more of them needed.
    """
    words: list[str] = []
    workers = False
    for word in command.words:
        if _SHOWS.fullmatch(word):
            continue
        option = _WORKERS.fullmatch(word)
        words.append(word if workers or option else _NUMBER.sub("N", _TEMPORARY.sub("TMP", word)))
        workers = option is not None and option[2] is None  # the next word is its number
    key = " ".join(" ".join((command.program, *words)).split())
    if len(key) <= _KEY_MAX:
        return key
    digest = hashlib.blake2s(key.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{key[: _KEY_MAX - 17]} {digest}"
