"""The table of the three sessions: counts over runs, medians with intervals, slow-down against a session alone."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from bench.three_sessions_table import ALONE, Run, Told, comparisons, read, table


def told(session: str, seconds: float, ok: int, calls: int, killed: int = 0, frozen_s: float = 0.0) -> Told:
    return Told(session, seconds < 100, seconds, ok, calls, ("ok",) * ok, killed, frozen_s, 2.0, 0.0, 0)


def run(arm: str, low_s: float, low_ok: int, steps: tuple[float, ...]) -> Run:
    high = told("high", 30.0, 3, 3)
    low = [told(name, low_s, low_ok, 2, killed=2 - low_ok, frozen_s=4.0) for name in ("low1", "low2")]
    return Run(arm, (high, *low), steps)


def cells(text: str) -> dict[str, list[str]]:
    """The rows by their arm, without the head."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    return {row[0]: row[1:] for row in rows[2:]}


def test_each_arm_has_a_row_with_what_became_of_whom() -> None:
    runs = [run("ladder", 40.0, 2, tuple(range(1, 102))) for _ in range(4)]
    runs += [run("memory.high", 100.0, 0, (5.0, 5.0)) for _ in range(4)]
    runs += [Run(ALONE, (told("low1", 20.0, 2, 2),), ())]
    found = cells(table(runs))
    assert found["ladder"] == [
        "4",
        "12 of 12",
        "12 of 12",
        "16 of 16",
        "0",
        "96 [96, 96]",
        "100 [100, 100]",
        "30 [30, 30]",
        "40 [40, 40]",
        "2 [2, 2]",
        "8, 6",
    ]
    survivors, low, killed, slowed = (found["memory.high"][place] for place in (1, 3, 4, 9))
    assert (survivors, low, killed) == ("4 of 12", "0 of 16", "16")
    assert slowed == "none [none, none]"  # no call of theirs ended well
    assert found[ALONE][5:8] == ["-", "-", "-"]
    assert comparisons(runs) == [
        "ladder over memory.high, allocation latency of high: p95 19 [19, 19], p99 20 [20, 20]"
    ]
    assert comparisons(runs[:4]) == []


def test_runs_are_read_as_they_were_kept(tmp_path: Path) -> None:
    runs = [run("ladder", 40.0, 1, (1.0, 2.0))]
    (tmp_path / "runs.jsonl").write_text("".join(json.dumps(asdict(each)) + "\n" for each in runs))
    assert read(tmp_path / "runs.jsonl") == runs
