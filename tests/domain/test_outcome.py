"""How a call ended follows from counters and statuses, never from the look of a status."""

import signal

import pytest

from agentcgroup.domain.outcome import judge, split_wait_status
from agentcgroup.model import Limits, Outcome, Usage

LIMITS = Limits(memory_max_bytes=64 << 20, pids_max=100)
CALM = Usage(oom_kill_events=0, pids_max_events=0)
KILLED = int(signal.SIGKILL)  # a waitpid(2) status: no core, signal 9


def exited(status: int) -> int:
    return status << 8


@pytest.mark.parametrize(
    ("wait_status", "usage", "ended_by", "expected"),
    [
        (exited(0), CALM, None, Outcome.OK),
        (exited(1), CALM, None, Outcome.FAILED),
        (exited(137), CALM, None, Outcome.FAILED),  # 137 alone proves nothing
        (KILLED, CALM, None, Outcome.FAILED),
        (KILLED, Usage(oom_kill_events=1), None, Outcome.OOM),
        (exited(0), Usage(oom_kill_events=1), None, Outcome.OOM),  # inside `pytest | tail`
        (KILLED, CALM, Outcome.TIMED_OUT, Outcome.TIMED_OUT),
        (KILLED, Usage(oom_kill_events=2), Outcome.TIMED_OUT, Outcome.OOM),
        (KILLED, CALM, Outcome.CLIENT_KILLED, Outcome.CLIENT_KILLED),
        (exited(254), Usage(pids_max_events=9), None, Outcome.PIDS),
        (exited(0), Usage(pids_max_events=9), None, Outcome.OK),  # it coped
        (exited(0), Usage(), None, Outcome.OK),  # a host that counts nothing
    ],
)
def test_outcome(wait_status: int, usage: Usage, ended_by: Outcome | None, expected: Outcome) -> None:
    outcome, reason = judge(wait_status, usage, LIMITS, ended_by, "because")
    assert outcome is expected
    assert bool(reason) == (outcome is not Outcome.OK and not (outcome is Outcome.FAILED and wait_status != KILLED))


def test_reasons_name_the_facts() -> None:
    assert judge(KILLED, Usage(oom_kill_events=1, memory_peak_bytes=64 << 20), LIMITS, None, "")[1] == (
        "out of memory: peak 64.0 MiB (limit 64.0 MiB)"
    )
    assert "9 forks refused at the limit of 100" in judge(exited(1), Usage(pids_max_events=9), LIMITS, None, "")[1]
    assert judge(int(signal.SIGTERM), CALM, LIMITS, None, "")[1] == "killed by SIGTERM"
    assert judge(40, CALM, LIMITS, None, "")[1] == "killed by signal 40"


def test_split_wait_status() -> None:
    assert split_wait_status(exited(255)) == (255, 0)
    assert split_wait_status(KILLED) == (137, 9)
    assert split_wait_status(KILLED | 0x80) == (137, 9)  # with a core dump
