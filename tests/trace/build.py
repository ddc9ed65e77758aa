"""Realistic traces for tests, written by the writer itself."""

from __future__ import annotations

import time
from pathlib import Path

from agentcgroup.model import CallEnd, CallStart, Leftovers, Limits, Outcome, Support, Usage, UsageSource
from agentcgroup.trace.records import BackgroundEnd, Host, SessionEnd, SessionStart, Shell, Uncaught
from agentcgroup.trace.samples import Sample, SampleSpool
from agentcgroup.trace.writer import Observer, TraceWriter

MS = 1_000_000
GIB = 1 << 30
MIB = 1 << 20

# script, start and duration in ms, memory peak, CPU time in us, status, signal, outcome
Script = tuple[str, int, int, int, int, int, int, Outcome]
CALLS: tuple[Script, ...] = (
    ("git log --oneline | head", 100, 40, 12 * MIB, 21_000, 0, 0, Outcome.OK),
    ("pytest -q tests", 300, 900, 700 * MIB, 1_800_000, 1, 0, Outcome.FAILED),
    ("sed -i 's/a/b/' f\u00fcr.py && printf '\udcff\x1b[31m'", 400, 10, 3 * MIB, 9_000, 0, 0, Outcome.OK),
    ("python -c 'x = bytearray(1 << 40)'", 1500, 400, 2 * GIB, 390_000, 137, 9, Outcome.OOM),
    ("nohup ./server &", 2000, 30, 40 * MIB, 15_000, 0, 0, Outcome.OK),
    ("sleep 600", 2100, 500, 1 * MIB, 1_000, 0, 15, Outcome.TIMED_OUT),
    ("make -j8", 2700, 200, 300 * MIB, 1_400_000, 0, 0, Outcome.OK),
)


def session_start() -> SessionStart:
    """The start of a session with every field in use."""
    return SessionStart(
        name="fix-tests",
        argv=("claude", "-p", "run the tests"),
        cwd="/srv/repo",
        agent="claude",
        support=Support.FULL,
        placement="mount",
        host=Host("box", "6.18.44", 8, 16 * GIB),
        limits=Limits(memory_max_bytes=4 * GIB, pids_max=4096, cpu_weight=100),
        call_limits=Limits(memory_max_bytes=2 * GIB, memory_oom_group=True, pids_max=512),
        call_timeout_s=600.0,
        keep_background_s=3600.0,
        sample_hz=10.0,
        cgroup="/agentcgroup/fix-tests",
        agentcgroup_version="0.1.0",
        pid=4242,
    )


def call_start(number: int, base_ns: int) -> CallStart:
    """The start of call ``number`` of CALLS."""
    script, start_ms, *_ = CALLS[number]
    argv = ("/bin/bash", "-lc", script)
    began = base_ns + start_ms * MS
    return CallStart(
        call=f"c{number + 1:06d}",
        argv=argv,
        argv_bytes=len("\0".join(argv).encode("utf-8", "surrogateescape")),
        cwd="/srv/repo",
        requested_ns=began,
        started_ns=began + MS // 2,
        agent="claude",
        tool_call_id=f"toolu_{number}",
        pid=5000 + number,
        client_pid=6000 + number,
        limits=Limits(memory_max_bytes=2 * GIB, memory_oom_group=True, pids_max=512),
    )


def call_end(number: int, base_ns: int) -> CallEnd:
    """The end of call ``number`` of CALLS."""
    script, start_ms, duration_ms, peak, cpu_us, status, signal, outcome = CALLS[number]
    ended = base_ns + (start_ms + duration_ms) * MS
    kept = script.startswith("nohup")
    usage = Usage(
        UsageSource.CGROUP,
        memory_peak_bytes=peak,
        cpu_time_us=cpu_us,
        pids_peak=3,
        oom_kill_events=int(outcome is Outcome.OOM),
    )
    return CallEnd(
        call=f"c{number + 1:06d}",
        ended_ns=ended,
        returned_ns=ended + MS // 4,
        status=status,
        signal=signal,
        outcome=outcome,
        usage=usage,
        leftovers=Leftovers(kept=1, kept_pids=(7001,)) if kept else Leftovers(killed=number % 2),
        reason="its memory.max was reached" if outcome is Outcome.OOM else "",
    )


def write_trace(
    folder: Path, *, session: str = "s1", end: bool = True, samples: bool = True, observer: Observer | None = None
) -> None:
    """A trace of a session with the seven calls of CALLS, a hook, an uncaught command, an action and a signal."""
    base_ns = time.monotonic_ns()
    writer = TraceWriter(folder, session=session, observer=observer)
    writer.session_start(session_start())
    writer.shell(Shell("hook", ("bash", "-c", "notify"), 4300))
    for number, (_, _, _, _, _, _, _, outcome) in enumerate(CALLS):
        writer.call_start(call_start(number, base_ns))
        if outcome is Outcome.OOM:
            writer.signal(f"c{number + 1:06d}", "oom_kill", 1)
        if outcome is Outcome.TIMED_OUT:
            writer.action(f"c{number + 1:06d}", "kill", "call timeout")
        writer.call_end(call_end(number, base_ns))
    writer.uncaught(Uncaught(4400, "/bin/busybox", ("busybox", "sh"), "aider"))
    if samples:
        write_samples(folder, base_ns)
    if end:
        writer.background_end(BackgroundEnd("c000005", "session-ended", Usage(cpu_time_us=20_000)))
        usage = Usage(memory_peak_bytes=3 * GIB, cpu_time_us=5_000_000)
        agent_usage = Usage(memory_peak_bytes=310 * MIB, cpu_time_us=900_000)
        writer.session_end(SessionEnd(0, 0, "", len(CALLS), usage, agent_usage, uncaught=1, unmanaged=0))
    writer.close()
    assert writer.problem() == ""


def write_samples(folder: Path, base_ns: int) -> None:
    """Samples of the session at 10 Hz over 3 s, and of the call that runs out of memory."""
    spool = SampleSpool(folder)
    for tick in range(30):
        t_ns = base_ns + tick * 100 * MS
        rows = [Sample(t_ns, "session", (100 + tick) * MIB, tick * 50_000, 5 + tick, 0, 0, tick)]
        if 16 <= tick < 20:
            rows.append(Sample(t_ns, "c000004", (tick - 15) * 500 * MIB, (tick - 15) * 90_000, 2, None, None, None))
        spool.append(rows)
    spool.close()
    assert not spool.failed
