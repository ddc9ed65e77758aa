"""One session of high priority and two of low on a host too small for all three: what the ladder promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.three_sessions import run_once


@pytest.mark.kernel
def test_under_the_ladder_no_agent_dies_and_every_call_that_fails_is_told_why(tmp_path: Path) -> None:
    """The benchmark's scene once: its table, with the other policies beside it, is in docs/reference/policies.md."""
    found = run_once("ladder", tmp_path / "run", roomy=False, patience_s=220)
    assert [session.session for session in found.sessions if not session.finished] == []
    for session in found.sessions:
        assert session.told >= session.calls - session.calls_ok, session
    high = next(session for session in found.sessions if session.session == "high")
    assert high.killed == 0, high
