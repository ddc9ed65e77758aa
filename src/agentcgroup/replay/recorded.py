"""Scripts from traces: what recorded sessions did, as far as a trace says.

Calls that overlapped are one turn; the agent thinks from the end of a turn to the beginning of the next. The memory of
a call is that of its samples, raised to its exact peak; a call too short for samples takes its peak in the first tenth
of its time and keeps it. What each call is expected to need is worked out as live: from its hint, its kind, and what
the same command needed before. Calls without a start or an end are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

from agentcgroup import commands
from agentcgroup.errors import UsageError
from agentcgroup.model import Priority
from agentcgroup.policy import hints
from agentcgroup.policy.expect import History
from agentcgroup.replay.script import Script, Task, Turn, curve
from agentcgroup.trace.frames import read_samples
from agentcgroup.trace.reader import read_traces
from agentcgroup.trace.views import Call, Session, Trace

_SPREAD_S = 30.0  # over which the sessions of a fleet arrive

Samples = Mapping[str, list[tuple[int, int]]]  # by domain: (CLOCK_MONOTONIC ns, bytes)


def scripts(folder: Path, host_bytes: int, budget_bytes: int | None = None) -> list[Script]:
    """The sessions of the trace in ``folder``, or of those in its subfolders; TraceError when there is none.

    ``host_bytes`` and ``budget_bytes`` are those of the simulation: expectations depend on them. Sessions that made no
    call are left out.
    """
    found: list[Script] = []
    for trace in read_traces(folder):
        samples = _samples(trace)
        found += [_script(session, samples, host_bytes, budget_bytes) for session in trace.sessions]
    return [script for script in found if script.calls]


def fleet(found: Sequence[Script], count: int, seed: int, priorities: Sequence[Priority] = ()) -> list[Script]:
    """``count`` sessions, from ``found`` in turn, with ``priorities`` in turn; they arrive over half a minute.

    UsageError when there is nothing to choose from.
    """
    if not found:
        raise UsageError(
            "no session to simulate", "give a trace with calls that have ended, or none for made-up sessions"
        )
    dice = Random(seed)  # noqa: S311
    made = []
    for index in range(count):
        script = found[index % len(found)]
        priority = priorities[index % len(priorities)] if priorities else script.priority
        arrives_s = dice.uniform(0.0, _SPREAD_S) if count > 1 else 0.0
        made.append(replace(script, name=f"s{index:04d}", priority=priority, arrives_s=arrives_s))
    return made


def _samples(trace: Trace) -> Samples:
    frame, _ = read_samples(trace.folder)
    rows: dict[str, list[tuple[int, int]]] = {}
    for t_ns, domain, size in frame.select("t_ns", "domain", "memory_bytes").iter_rows():
        if size is not None:
            rows.setdefault(domain, []).append((t_ns, size))
    return rows


def _script(session: Session, samples: Samples, host_bytes: int, budget_bytes: int | None) -> Script:
    calls = sorted((call for call in session.calls if call.duration_s is not None), key=_started_ns)
    history, tasks = History(), {}
    for call in calls:
        key, kind, hint = _command(call)
        expected = history.expected(key, kind, hint, budget_bytes, host_bytes)
        task = Task(
            call.id,
            _curve(call, samples.get(call.id, ())),
            priority=Priority.NORMAL if hint.priority is None else hint.priority,
            expected_bytes=expected.memory_bytes,
            expected_high_bytes=expected.high_bytes,
            expected_by=expected.source,
        )
        tasks[call.id] = task
        history = history.observe(key, kind, task.peak_bytes, task.work_s)
    agent = max((size for _, size in samples.get("agent", ())), default=0)
    if not agent and session.end is not None:
        agent = session.end.agent_usage.memory_peak_bytes or 0
    return Script(session.name, tuple(_turns(session, calls, tasks)), agent_bytes=agent, budget_bytes=budget_bytes)


def _command(call: Call) -> tuple[str, commands.Kind, hints.Hint]:
    command = commands.classify(call.argv)
    return commands.normalised(command), command.kind, hints.of_call(call.argv, "")


def _turns(session: Session, calls: Iterable[Call], tasks: Mapping[str, Task]) -> Iterable[Turn]:
    """Calls that overlap are one turn."""
    turn: list[Task] = []
    began_ns = ended_ns = before_ns = session.first_ns
    for call in calls:
        started_ns = _started_ns(call)
        if turn and started_ns >= ended_ns:
            yield Turn(max(0, began_ns - before_ns) / 1e9, tuple(turn))
            before_ns, turn = ended_ns, []
        if not turn:
            began_ns = started_ns
        turn.append(replace(tasks[call.id], offset_s=(started_ns - began_ns) / 1e9))
        ended_ns = max(ended_ns, call.ended_ns or 0)
    if turn:
        yield Turn(max(0, began_ns - before_ns) / 1e9, tuple(turn))


def _curve(call: Call, samples: Sequence[tuple[int, int]]) -> tuple[tuple[float, int], ...]:
    duration_s, started_ns = call.duration_s or 0.0, _started_ns(call)
    points = [((t_ns - started_ns) / 1e9, size) for t_ns, size in samples]
    points = [(at_s, size) for at_s, size in points if 0 < at_s < duration_s]
    peak = call.usage.memory_peak_bytes or max((size for _, size in points), default=0)
    if not points:
        return curve([(0.0, 0), (duration_s / 10, peak), (duration_s, peak)])
    highest = max(range(len(points)), key=lambda index: points[index][1])
    points[highest] = (points[highest][0], max(peak, points[highest][1]))
    return curve([(0.0, 0), *points, (duration_s, points[-1][1])])


def _started_ns(call: Call) -> int:
    return call.started_ns or 0
