from __future__ import annotations

from pathlib import Path

import pytest

from agentcgroup.study.load import load
from agentcgroup.study.metrics.missed import missed_calls_frame
from tests.study.build import write_run
from tests.study.metrics.made import numbers, values
from tests.trace import build


def test_one_look_a_second_at_a_recorded_session(tmp_path: Path) -> None:
    # The builder samples from the start on at 10 Hz for 3 s: the sampler looks at about 0, 1 and 2 s.
    build.write_trace(tmp_path / "own/one")
    study = load([tmp_path / "own"])
    found = values(study, "missed_by_sampling")
    seen = dict(missed_calls_frame(study).select("call", "seen").rows())
    # pytest from 0.3 to 1.2 s; the server from 2.0 s, just after a look or just at one.
    assert seen["c000002"]
    assert not any(seen[name] for name in ("c000001", "c000003", "c000004", "c000007"))
    unseen = found["calls", "unseen, count"]
    assert unseen == len(seen) - sum(seen.values())
    peak = found["peak of the session, missed", "median"]
    assert peak == pytest.approx(1 - 120 * build.MIB / (3 * build.GIB), abs=0.004)
    assert found["CPU of the session, missed", "median"] == pytest.approx(1 - 20 * 0.05 / 5, abs=0.02)
    assert found["peak of a call", "missed, mean"] is not None


def test_it_is_of_recorded_sessions_only(tmp_path: Path) -> None:
    write_run(tmp_path / "s/a")
    assert numbers(load([tmp_path / "s"]), "missed_by_sampling") == {}
