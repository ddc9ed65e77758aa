"""What only a kernel with the memory and pids controllers can show: limits that bite one call and nobody else."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from agentcgroup.model import Outcome, UsageSource
from tests.run.running import agent, run, shown

pytestmark = pytest.mark.kernel

ALLOCATE = "/usr/bin/python3 -S -c 'x = b\"x\" * ({mib} << 20)'"
HOLD = "/usr/bin/python3 -S -c 'import time; x = b\"x\" * ({mib} << 20); time.sleep(5)'"


def test_a_call_that_exceeds_its_memory_dies_alone_and_whole(tmp_path: Path) -> None:
    source = f"""
        sh("sleep 60 & " + {ALLOCATE.format(mib=300)!r} + "; echo not reached")
        sh("echo the agent lives")
    """
    ran = run(tmp_path, agent(tmp_path, source), "--memory", "512m", "--call-memory", "64m", "--strict")
    assert ran.status == 0
    assert ran.outcomes == [Outcome.OOM, Outcome.OK]
    first, second = shown(ran)
    assert first[1] == -signal.SIGKILL
    assert first[2] == ""
    assert "ran out of memory" in str(first[3])
    assert second[2] == "the agent lives\n"
    call = ran.calls[0]
    assert call.usage.oom_kill_events
    assert call.usage.memory_peak_bytes is not None
    assert 60 << 20 < call.usage.memory_peak_bytes <= 64 << 20
    assert call.limits.memory_max_bytes == 64 << 20


def test_an_oom_inside_a_pipeline_is_seen_by_the_counter(tmp_path: Path) -> None:
    source = f"""
        sh("(" + {ALLOCATE.format(mib=300)!r} + ") | tail -1")
    """
    ran = run(tmp_path, agent(tmp_path, source), "--memory", "512m", "--call-memory", "64m")
    assert ran.outcomes == [Outcome.OOM]


def test_exit_status_137_alone_is_no_oom(tmp_path: Path) -> None:
    ran = run(tmp_path, agent(tmp_path, 'sh("exit 137"); sh("kill -KILL $$")'), "--memory", "512m")
    assert ran.outcomes == [Outcome.FAILED, Outcome.FAILED]


def test_calls_that_exceed_the_session_together_spare_the_agent(tmp_path: Path) -> None:
    source = f"""
        hungry = {HOLD.format(mib=90)!r}
        many = [subprocess.Popen(["bash", "-c", hungry], start_new_session=True) for _ in range(6)]
        print(sorted({{process.wait() for process in many}}))
        sh("echo the agent lives")
    """
    ran = run(tmp_path, agent(tmp_path, source), "--memory", "320m", "--call-memory", "200m", "--policy", "none")
    assert ran.status == 0
    assert shown(ran)[-1][2] == "the agent lives\n"
    assert Outcome.OOM in ran.outcomes
    assert ran.outcomes[-1] is Outcome.OK


def test_a_fork_bomb_meets_its_own_limit(tmp_path: Path) -> None:
    source = """
        sh("bomb() { bomb | bomb & }; bomb; sleep 1; exit 1")
        sh("echo the agent lives")
    """
    ran = run(tmp_path, agent(tmp_path, source), "--pids", "300", "--call-pids", "60")
    assert ran.outcomes == [Outcome.PIDS, Outcome.OK]
    assert ran.calls[0].usage.pids_peak == 60
    assert ran.calls[0].usage.pids_max_events
    assert shown(ran)[1][2] == "the agent lives\n"


def test_numbers_are_the_kernels(tmp_path: Path) -> None:
    source = f"""
        sh({ALLOCATE.format(mib=48)!r})
        sh("true")
    """
    ran = run(tmp_path, agent(tmp_path, source), "--memory", "1g")
    hungry, idle = ran.calls
    assert hungry.usage.source is UsageSource.CGROUP
    assert hungry.usage.memory_peak_bytes is not None
    assert idle.usage.memory_peak_bytes is not None
    assert 48 << 20 < hungry.usage.memory_peak_bytes < 80 << 20
    assert 0 < idle.usage.memory_peak_bytes < 16 << 20
    assert hungry.usage.memory_some_us is not None
    assert hungry.usage.pids_peak is not None
    start = ran.trace.sessions[0].start
    assert start is not None
    assert start.support == "full"


def test_samples_draw_the_curve(tmp_path: Path) -> None:
    import polars as pl

    source = f"""
        sh({ALLOCATE.format(mib=48)!r} + "; sleep 3")
    """
    ran = run(tmp_path, agent(tmp_path, source), "--sample-hz", "20")
    frame = pl.read_parquet(tmp_path / "trace" / "samples.parquet")
    assert set(frame["domain"]) >= {"session", "agent", ran.calls[0].id}
    of_call = frame.filter(pl.col("domain") == ran.calls[0].id).sort("t_ns")
    assert of_call.height >= 5
    cpu = of_call["cpu_time_us"].to_list()
    assert cpu == sorted(cpu)
    assert not (tmp_path / "trace" / "samples.spool").exists()
