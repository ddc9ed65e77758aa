"""What to do next: one smaller command that fits the one that ran, and the hint to declare. Pure.

Suggested commands are made of our own words and of numbers; of the command itself only plain file names come back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType

from agentcgroup.commands import Command, Kind
from agentcgroup.feedback import containers, packages, snippets, workers
from agentcgroup.feedback.wording import MiB, is_plain, size_to_declare
from agentcgroup.model import Limits

_GROWS_BY = 1.5  # what is declared next, over the peak: it was still growing when it was stopped
_STILL_HELPS = 1.2  # of the peak: a budget that is hardly larger will not do either
_NODE_SHARE = 0.75  # of the limit for the heap of node: the rest of its memory comes on top
_NODE_PROGRAMS = frozenset(
    ("npm", "yarn", "pnpm", "tsc", "webpack", "vite", "next", "rollup", "parcel", "ng", "eslint")
)
_PYTEST_VALUED = frozenset(
    ("-k", "-m", "-p", "-c", "-o", "-W", "-n", "--rootdir", "--deselect", "--ignore", "--maxfail")
)


class Cause(StrEnum):
    """What there was too little of."""

    MEMORY = "memory"
    PROCESSES = "processes"
    TIME = "time"
    QUEUE = "queue"  # room to begin


def advise(cause: Cause, command: Command, limits: Limits, budget_bytes: int | None) -> str:
    """One sentence, or two short ones; never empty."""
    if cause is Cause.QUEUE:
        return "Fewer commands at the same time wait less."
    limit = limits.memory_max_bytes if limits.memory_max_bytes is not None else budget_bytes
    if cause is Cause.TIME:
        smaller = _part_of_pytest(command) if command.program == "pytest" else "Run a smaller part of the work"
        return f"{smaller.rstrip('.')}, or start long work in the background with nohup."
    own = _of_program(command, limit)
    if cause is Cause.PROCESSES:
        return own if own and workers.asked(command.words) else "Start fewer processes at once."
    return own or _of_kind(command)


def hint_to_declare(peak_bytes: int | None, limits: Limits, budget_bytes: int | None, margin: float = _GROWS_BY) -> str:
    """``AGENT_RESOURCE_HINT=memory:3g``; empty when the budget does not allow more, or is not known."""
    used = peak_bytes if peak_bytes is not None else limits.memory_max_bytes
    if used is None or budget_bytes is None:
        return ""
    text, size = size_to_declare(margin * used, budget_bytes)
    if size < min(margin, _STILL_HELPS) * used:
        return ""
    return f"AGENT_RESOURCE_HINT=memory:{text}"


def _of_program(command: Command, limit: int | None) -> str:
    maker = _PROGRAMS.get(command.program)
    if maker is not None:
        return maker(command, limit)
    if command.kind is Kind.INSTALL:
        return packages.advise(command)
    if command.program in _NODE_PROGRAMS and command.kind is Kind.BUILD:
        return _node(limit)
    return ""


def _of_kind(command: Command) -> str:
    if command.kind is Kind.INTERPRETER:
        return snippets.advise(command)
    if command.kind is Kind.FILE:
        return "Work on fewer or smaller files at once, such as one folder at a time."
    if command.kind is Kind.SERVER:
        return "Start it with one worker, and without watching files."
    if command.kind is Kind.TEST:
        return "Run one test file at a time, with fewer workers."
    if command.program == "git" and command.words[:1] == ("clone",):
        return "Fetch less of the history: `git clone --depth 1 URL`."
    return "Run a smaller part of the work, or fewer workers at once."


def _pytest(command: Command, _limit: int | None) -> str:
    part = _part_of_pytest(command)
    if not part.startswith("Run a part") or workers.option(command.words, ("-n", "--numprocesses")) is not None:
        return part
    return f"{part} If the project's settings run tests in parallel, add `-n 2`."


def _part_of_pytest(command: Command) -> str:
    words = command.words
    given = workers.option(words, ("-n", "--numprocesses"))
    fewer = "" if given is None else f" -n {workers.halved(given, automatic=2)}"
    paths = _paths(words, _PYTEST_VALUED)
    if len(paths) == 1 and "::" in paths[0]:
        return "This is one test already: give it less data" + (", and run it without -n." if given else ".")
    if len(paths) == 1 and paths[0].endswith(".py") and is_plain(paths[0]):
        return f"Run some of its tests: `pytest -x{fewer} {paths[0]} -k NAME`."
    file = paths[0] if paths and paths[0].endswith(".py") and is_plain(paths[0]) else _some_file(paths)
    return f"Run a part of the tests{' with fewer workers' if given else ''}: `pytest -x{fewer} {file}`."


def _some_file(paths: list[str]) -> str:
    folder = paths[0].rstrip("/") if paths and is_plain(paths[0]) else "tests"
    return f"{'tests' if folder in ('', '.') else folder}/test_NAME.py"


def _jest(command: Command, _limit: int | None) -> str:
    given = workers.option(command.words, ("--maxWorkers", "-w"))
    number = workers.halved(given or "", automatic=2)
    return f"Run one test file with fewer workers: `{command.program} --maxWorkers={number} PATH`."


def _make(command: Command, limit: int | None) -> str:
    given = workers.option(command.words, ("-j", "--jobs", "--parallel"))
    default = command.program == "ninja"  # takes all cores by itself
    if (given is None and not default) or given == "1":
        return "Build one target at a time."
    number = workers.fitting(given or "", limit)
    build = " --build ." if command.program == "cmake" else ""
    return f"Build with fewer jobs: `{command.program}{build} -j{number}`."


def _cargo(command: Command, limit: int | None) -> str:
    number = min(2, workers.fitting(workers.option(command.words, ("-j", "--jobs")) or "", limit))
    if command.kind is Kind.TEST:
        return f"Use fewer jobs and one crate: `cargo test -j {number} -p CRATE -- --test-threads={number}`."
    if command.kind is Kind.BUILD:
        return f"Use fewer jobs: `cargo build -j {number} -p CRATE`."
    return ""


def _go(command: Command, _limit: int | None) -> str:
    number = workers.halved(workers.option(command.words, ("-p",)) or "", automatic=2)
    if command.kind is Kind.TEST:
        return f"Test one package with fewer jobs: `go test -p {number} ./PACKAGE`."
    return f"Build one package with fewer jobs: `go build -p {number} ./PACKAGE`." if command.kind is Kind.BUILD else ""


def _gradle(command: Command, _limit: int | None) -> str:
    task = "test" if command.kind is Kind.TEST else "assemble"
    return f"Use one worker, one module: `{_typed(command)} --no-parallel --max-workers=1 :MODULE:{task}`."


def _maven(command: Command, _limit: int | None) -> str:
    goal = "test" if command.kind is Kind.TEST else "compile"
    return f"Build one module on one thread: `MAVEN_OPTS=-Xmx512m {_typed(command)} -T 1 -pl MODULE {goal}`."


def _typed(command: Command) -> str:
    """`gradlew` and `mvnw` are files of the project."""
    return f"./{command.program}" if command.program.endswith("w") else command.program


def _node(limit: int | None) -> str:
    heap = 1024 if limit is None else max(128, int(_NODE_SHARE * limit) // MiB // 64 * 64)
    return f"Limit the heap of node: `NODE_OPTIONS=--max-old-space-size={heap}` before the same command."


def _paths(words: tuple[str, ...], valued: frozenset[str]) -> list[str]:
    """The words that are neither options nor their values."""
    return [
        word
        for place, word in enumerate(words)
        if not word.startswith("-") and (place == 0 or words[place - 1] not in valued)
    ]


_PROGRAMS: Mapping[str, Callable[[Command, int | None], str]] = MappingProxyType(
    {
        "pytest": _pytest,
        "jest": _jest,
        "vitest": _jest,
        "make": _make,
        "ninja": _make,
        "cmake": _make,
        "cargo": _cargo,
        "go": _go,
        "gradle": _gradle,
        "gradlew": _gradle,
        "mvn": _maven,
        "mvnw": _maven,
        **dict.fromkeys(("docker", "podman", "nerdctl", "docker-compose", "podman-compose"), containers.advise),
    }
)
