"""Many calls at once that fit one by one and not together: they wait for each other instead of killing each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentcgroup.trace.reader import read_trace
from bench.stampede import Scene, run_once

MIB = 1 << 20


@pytest.mark.kernel
@pytest.mark.parametrize("arm", ["ladder, declared", "ladder"])  # what is not declared is learnt from the first ones
def test_all_complete(arm: str, tmp_path: Path) -> None:
    """The benchmark's scene, smaller, with the default bounds: of 24 calls of 48 MiB five fit into 320."""
    scene = Scene(calls=24, need_mib=48, budget_mib=320, seconds=0.5, patience_s=None)
    run = run_once(arm, scene, tmp_path / "trace")
    assert (run.ok, run.killed, run.refused) == (24, 0, 0), run
    assert run.queued_most_s > 0.5, run  # the last ones had to wait for the first ones
    session = read_trace(tmp_path / "trace").sessions[0]
    assert session.end is not None
    assert session.end.usage.memory_peak_bytes is not None
    assert 2 * 48 * MIB < session.end.usage.memory_peak_bytes <= 320 * MIB  # several at a time, never too many
    assert session.end.unmanaged == 0
