"""Sessions for a plan from traces: our own, and those in the published format, set by set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from agentcgroup.errors import UsageError
from agentcgroup.plan import published
from agentcgroup.plan.session import Session, session
from agentcgroup.replay import recorded
from agentcgroup.replay.script import Script
from agentcgroup.study.find import Wanted, find_runs
from agentcgroup.study.load import Study, load_runs
from agentcgroup.study.oddities import Oddities


@dataclass(frozen=True, slots=True)
class Sessions:
    """The sessions of one set. ``left_out`` names those that cannot be planned with; ``sampled``: of one curve."""

    set: str
    all: tuple[Session, ...]
    left_out: tuple[str, ...] = ()
    sampled: int = 0


def load(paths: Sequence[Path], wanted: Sequence[Wanted], host_bytes: int) -> list[Sessions]:
    """The sessions that count (`study.load.load_runs`) below ``paths``, by set.

    UsageError when there is no trace, or a set has no session with memory; TraceError when none can be read.
    """
    oddities = Oddities()
    study = load_runs(find_runs(paths, wanted, oddities), oddities).selected()
    if study.sessions.is_empty():
        raise UsageError(
            "no session that counts in these traces", "published runs need 10 samples in 60 s; see agentcgroup study"
        )
    return [_one_set(study.only(pl.col("set") == name), name, host_bytes) for name in study.sets]


def _one_set(study: Study, name: str, host_bytes: int) -> Sessions:
    found: list[Session] = []
    left: list[str] = []
    sampled = _published(study.only(pl.col("source") == "published"), host_bytes, left)
    found += sampled
    found += _recorded(study.sessions.filter(pl.col("source") == "recorded"), host_bytes, left)
    if not found:
        raise UsageError(f"no session of {name} has memory in its trace", f"the first is {left[0]}" if left else "")
    return Sessions(name, tuple(found), tuple(left), len(sampled))


def _published(study: Study, host_bytes: int, left: list[str]) -> list[Session]:
    memory = study.samples.filter((pl.col("domain") == "session") & pl.col("memory_bytes").is_not_null())
    curves = _by_session(memory.select("session", "t_s", "memory_bytes").collect().sort("session", "t_s"))
    shell = study.calls.filter(pl.col("shell") & pl.col("leaf") & pl.col("end_s").is_not_null())
    calls = _by_session(shell.select("session", "start_s", "end_s", pl.col("command").fill_null("")))
    found: list[Session] = []
    for key, task, cpu_s in study.sessions.select("session", "task", "cpu_time_s").iter_rows():
        samples = [(float(t_s), int(size)) for t_s, size in curves.get(key, [])]
        if len(samples) < 2:
            left.append(task)
            continue
        length_s = samples[-1][0] - samples[0][0]
        ran = [published.ShellCall(*call) for call in calls.get(key, [])]
        moved = [(t_s - samples[0][0], size) for t_s, size in samples]
        script = published.script(task, moved, ran, host_bytes)
        _append(found, left, script, length_s, None if cpu_s is None else cpu_s / length_s)
    return found


def _recorded(sessions: pl.DataFrame, host_bytes: int, left: list[str]) -> list[Session]:
    """A folder may hold several sessions; its CPU time is shared out among them by their lengths."""
    found: list[Session] = []
    sums = sessions.group_by("folder", maintain_order=True).agg(
        pl.col("task").first(),
        pl.len(),
        wall_s=pl.col("wall_s").sum(),
        cpu_s=pl.col("cpu_time_s").sum(),
        known=pl.col("cpu_time_s").is_not_null().all(),
    )
    for folder, task, count, wall_s, cpu_s, known in sums.iter_rows():
        scripts = recorded.scripts(Path(folder), host_bytes)
        if not scripts:
            left.append(task)
        for script in scripts:
            # The agent goes on after its last call; with one session in the folder it is known for how long.
            length_s = wall_s if count == 1 else script.alone_s
            _append(found, left, script, length_s, cpu_s / wall_s if known and wall_s else None)
    return found


def _append(found: list[Session], left: list[str], script: Script, length_s: float, cores: float | None) -> None:
    try:
        found.append(session(script, length_s, cores))
    except UsageError as error:
        left.append(f"{script.name} ({error.message})")


def _by_session(frame: pl.DataFrame) -> dict[int, list[tuple[Any, ...]]]:
    rows: dict[int, list[tuple[Any, ...]]] = {}
    for key, *values in frame.iter_rows():
        rows.setdefault(key, []).append(tuple(values))
    return rows
