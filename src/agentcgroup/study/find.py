"""Finds the runs below some paths, and says to which set each belongs."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agentcgroup.errors import UsageError
from agentcgroup.study.oddities import Oddities
from agentcgroup.trace.text import utf8
from agentcgroup.trace.writer import RECORDS

_RECORDED = frozenset((RECORDS, f"{RECORDS}.gz"))
_PUBLISHED = frozenset(
    f"{name}{end}"
    for name in ("results.json", "resources.json", "trace_slim.json", "trace.jsonl")
    for end in ("", ".gz")
)
_ATTEMPT = re.compile(r"attempt_(\d{1,9})")


@dataclass(frozen=True, slots=True)
class Run:
    """One run: where it is, its format, and its key (set, task, attempt)."""

    folder: Path
    recorded: bool  # our own format; else the published one
    set: str
    task: str
    attempt: int = 1

    @property
    def label(self) -> str:
        """Its key as people read it."""
        return f"{self.set}/{self.task}#{self.attempt}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One ``--set NAME=GLOB``: runs whose path below the searched one, or a part of it from there, matches."""

    name: str
    glob: str

    def takes(self, path: str) -> bool:
        """Whether ``path`` (relative, with /) or one of the folders above the run matches."""
        parts = path.split("/")
        return any(fnmatch.fnmatchcase("/".join(parts[: n + 1]), self.glob) for n in range(len(parts)))


def parse_set(text: str) -> Wanted:
    """A `Wanted` from ``NAME=GLOB``; UsageError for anything else."""
    name, equals, glob = text.partition("=")
    glob = glob.strip("/").removeprefix("./")
    if not (name.strip() and equals and glob):
        raise UsageError(f"{text!r} is not a set", "write NAME=GLOB, such as glm='glm/*'")
    return Wanted(name.strip(), glob)


def find_runs(paths: Sequence[Path], wanted: Sequence[Wanted], oddities: Oddities) -> list[Run]:
    """The runs below ``paths``, by set, task and attempt, each folder once.

    Without ``wanted`` a set is the folder that holds the tasks, and has its name. UsageError when a path does not
    exist or holds no run, when one path holds several sets that nobody has named, and when a glob matches nothing.
    """
    found: dict[Path, Run] = {}
    for path in paths:
        below = _below(path, oddities)
        if not below:
            raise UsageError(
                f"no traces in {path}",
                f"give a folder that holds {RECORDS} (agentcgroup run --trace) or results.json and resources.json",
            )
        runs = _label(path, below, wanted, oddities) if wanted else _own_names(path, below)
        for run in runs:
            found.setdefault(run.folder, run)
    _check_names(found.values(), wanted)
    return _unique(sorted(found.values(), key=lambda run: (run.set, run.task, run.attempt, str(run.folder))), oddities)


def _below(path: Path, oddities: Oddities) -> list[Run]:
    """The runs at or below ``path``; set and task by their folders."""
    root = Path(os.path.abspath(path))  # noqa: PTH100 - a link given by the user keeps its name
    if not root.is_dir():
        reason = "is not a folder" if root.exists() else "does not exist"
        raise UsageError(f"{path} {reason}", "give the folder of a trace, or one that holds traces")
    runs: list[Run] = []

    def refused(error: OSError) -> None:
        oddities.add("folder not readable", str(error.filename), 1, error.strerror or "")

    for folder, folders, files in os.walk(root, onerror=refused):
        here = Path(folder)
        folders.sort()
        for name in folders:
            if (here / name).is_symlink():
                oddities.add("link not followed", str(here / name))
        names = set(files)
        recorded = bool(names & _RECORDED)
        if recorded or names & _PUBLISHED:
            runs.append(_run(here, recorded))
            folders.clear()  # nothing of a run is another run
    return runs


def _run(folder: Path, recorded: bool) -> Run:
    match = _ATTEMPT.fullmatch(folder.name)
    task = folder.parent if match else folder
    return Run(folder, recorded, utf8(task.parent.name), utf8(task.name), int(match[1]) if match else 1)


def _holder(run: Run) -> Path:
    """The folder that holds the tasks of its set."""
    return run.folder.parent.parent if _ATTEMPT.fullmatch(run.folder.name) else run.folder.parent


def _own_names(path: Path, runs: list[Run]) -> list[Run]:
    kinds = {(_holder(run), run.recorded) for run in runs}
    if len(kinds) > 1:
        holders = sorted({holder for holder, _ in kinds})
        root = Path(os.path.abspath(path))  # noqa: PTH100
        if len(holders) > 1:
            sets = " ".join(f"--set {holder.name}='{_relative(holder, root)}'" for holder in holders[:6])
            raise UsageError(f"{path} holds {len(holders)} sets, which are not to be mixed", f"label them: {sets}")
        raise UsageError(f"{path} mixes recorded and published traces", "label them: --set NAME=GLOB, one for each")
    return runs


def _label(path: Path, runs: list[Run], wanted: Sequence[Wanted], oddities: Oddities) -> list[Run]:
    root = Path(os.path.abspath(path))  # noqa: PTH100
    labelled: list[Run] = []
    for run in runs:
        name = next((one.name for one in wanted if one.takes(_relative(run.folder, root))), None)
        if name is None:
            oddities.add("in no set", str(run.folder))
        else:
            labelled.append(replace(run, set=name))
    return labelled


def _relative(folder: Path, root: Path) -> str:
    """``folder`` as seen from ``root``; a run that is itself the root goes by its name."""
    return folder.relative_to(root).as_posix() if folder != root else folder.name


def _check_names(runs: Iterable[Run], wanted: Sequence[Wanted]) -> None:
    sets: dict[str, set[tuple[Path, bool]]] = {}
    for run in runs:
        sets.setdefault(run.set, set()).add((_holder(run), run.recorded))
    for one in wanted:
        if one.name not in sets:
            raise UsageError(f"no trace matches --set {one.name}={one.glob}", "the glob is relative to the path given")
    twice = [name for name, holders in sets.items() if len(holders) > 1]
    if twice and not wanted:
        raise UsageError(f"two sets would be called {twice[0]!r}", "label them: --set NAME=GLOB, one for each")


def _unique(runs: list[Run], oddities: Oddities) -> list[Run]:
    """The same runs, no key twice: the second of a (set, task, attempt) goes by the folder above it as well."""
    taken: set[tuple[str, str, int]] = set()
    unique: list[Run] = []
    for run in runs:
        key = (run.set, run.task, run.attempt)
        if key in taken:
            oddities.add("same key twice", run.label, 1, str(run.folder))
            task = f"{_holder(run).name}/{run.task}"
            names = (task, *(f"{task} ({number})" for number in range(2, len(runs) + 2)))
            key = next(free for name in names if (free := (run.set, name, run.attempt)) not in taken)
        taken.add(key)
        unique.append(replace(run, task=key[1]))
    _in_several_sets(unique, oddities)
    return unique


def _in_several_sets(runs: Iterable[Run], oddities: Oddities) -> None:
    sets: dict[str, set[str]] = {}
    for run in runs:
        sets.setdefault(run.task, set()).add(run.set)
    for task, names in sets.items():
        if len(names) > 1:
            oddities.add("task in several sets", task, 1, ", ".join(sorted(names)))
