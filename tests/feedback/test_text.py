"""Golden texts: what an agent reads. Changing one is changing the product."""

from __future__ import annotations

import json

import pytest

from agentcgroup.feedback.text import explain
from agentcgroup.model import CallEnd, Leftovers, Limits, Outcome, Usage

LIMITS = Limits(memory_max_bytes=256 << 20, pids_max=160)


def ended(outcome: Outcome, reason: str = "", killed: int = 0) -> CallEnd:
    usage = Usage(memory_peak_bytes=256 << 20)
    return CallEnd("c000007", 0, 0, 1, 0, outcome, usage, Leftovers(killed=killed), reason)


OOM = (
    "agentcgroup: this command was stopped because it ran out of memory: it used 256 MiB of 256 MiB allowed. Nothing "
    "else was stopped. Run a smaller part of the work, or fewer workers at once.\n"
    'agentcgroup-feedback: {"call": "c000007", "outcome": "oom", "memory_peak_bytes": 268435456, '
    '"memory_max_bytes": 268435456, "pids_max": 160}\n'
)


def test_out_of_memory() -> None:
    assert explain(ended(Outcome.OOM, "out of memory: peak 256 MiB (limit 256 MiB)"), LIMITS) == OOM


@pytest.mark.parametrize(
    ("outcome", "reason", "begins"),
    [
        (
            Outcome.PIDS,
            "9 forks refused",
            "agentcgroup: this command was refused new processes: it had reached its limit of 160. Nothing else was "
            "stopped. Start fewer processes at once.\n",
        ),
        (
            Outcome.TIMED_OUT,
            "ran longer than --call-timeout (600 s)",
            "agentcgroup: this command was stopped because it ran longer than --call-timeout (600 s). Nothing else was "
            "stopped. Run a smaller part of the work, or start long work in the background with nohup.\n",
        ),
    ],
)
def test_other_incidents(outcome: Outcome, reason: str, begins: str) -> None:
    text = explain(ended(outcome, reason), LIMITS)
    assert text.startswith(begins)
    prose, _, machine = text.partition("agentcgroup-feedback: ")
    assert len(prose) <= 600
    assert json.loads(machine)["outcome"] == outcome
    assert text.count("\n") == 2


def test_leftovers() -> None:
    assert explain(ended(Outcome.OK, killed=1), LIMITS) == (
        "agentcgroup: stopped 1 process that was still running when this command ended. "
        "Start with nohup or setsid what is meant to stay.\n"
    )
    assert "stopped 12 processes that were still running" in explain(ended(Outcome.FAILED, killed=12), LIMITS)


@pytest.mark.parametrize(
    "outcome", [Outcome.OK, Outcome.FAILED, Outcome.CLIENT_KILLED, Outcome.SESSION_ENDED, Outcome.CUT]
)
def test_nothing_is_said_when_there_is_nothing_to_tell(outcome: Outcome) -> None:
    assert explain(ended(outcome, "some reason"), LIMITS) == ""
