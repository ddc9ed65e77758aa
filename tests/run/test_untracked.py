"""Where the exec tracker cannot be had: the session goes on as without, and says so only when it was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentcgroup.kernel.libbpf import OVERRIDE
from agentcgroup.model import Outcome
from tests.run.running import agent, run


@pytest.mark.parametrize(("track", "lines"), [("on", 1), ("auto", 0), ("off", 0)])
def test_without_libbpf(tmp_path: Path, track: str, lines: int) -> None:
    nowhere = {OVERRIDE: str(tmp_path / "no-such-library.so")}
    source = """
        time.sleep(1)
        sh("true")
    """
    ran = run(tmp_path, agent(tmp_path, source), "--track", track, environment=nowhere)
    assert ran.status == 0
    assert [(call.outcome, call.end.programs) for call in ran.calls if call.end] == [(Outcome.OK, ())]
    assert ran.stderr.count("what runs past our stand-ins for the shells is only counted") == lines
    assert ran.stderr.count("no-such-library") == lines
    assert "Traceback" not in ran.stderr
    assert [event for event in ran.events("action") if event["action"] == "track"] == []
