"""The summary of a session as plain text. No rich: `agentcgroup run` prints it after every command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from agentcgroup.model import Support
from agentcgroup.trace.summary import HeavyCall, Summary
from agentcgroup.trace.text import printable, shorten
from agentcgroup.units import format_duration, format_size

_LABEL_WIDTH = 12
_MIN_WIDTH = 72  # the columns of the table with a few characters of the command


def render_text(summary: Summary, width: int = 100) -> str:
    """The summary in lines of at most ``width`` characters (not below 72), each ended by a newline."""
    width = max(width, _MIN_WIDTH)
    lines = [shorten(_headline(summary), width)]
    for label, text in _rows(summary):
        if text:
            lines.append(shorten(f"  {label:<{_LABEL_WIDTH}}{text}", width))
    if summary.heaviest:
        lines.append("  heaviest by memory")
        lines.extend(_table(summary.heaviest, width))
    return "".join(f"{line}\n" for line in lines)


def format_cpu(cpu_time_us: int | None) -> str:
    """CPU time in microseconds as a short text; ``-`` for None."""
    return format_duration(None if cpu_time_us is None else cpu_time_us / 1e6)


def format_end(status: int | None, signal: int | None) -> str:
    """How a process ended, in words."""
    if status is None:
        return "cut: the trace does not say how it ended"
    return f"killed by signal {signal}" if signal else f"exit status {status}"


def _headline(summary: Summary) -> str:
    agent = f" ({summary.agent})" if summary.agent else ""
    name = printable(summary.name or summary.session)
    ended = format_end(summary.status, summary.signal)
    return f"session {name}{printable(agent)}: {format_duration(summary.duration_s)}, {ended}"


def _rows(summary: Summary) -> Iterable[tuple[str, str]]:
    yield "calls", _calls(summary)
    yield "CPU", _cpu(summary)
    yield "memory", _memory(summary)
    yield "background", _background(summary)
    yield "not caught", _not_caught(summary)
    yield "shells", f"{_counts(summary.shells)} (not calls)" if summary.shells else ""
    yield "measured", _sources(summary)
    yield "ended", printable(summary.reason)


def _calls(summary: Summary) -> str:
    if not summary.calls:
        return "none"
    busy = format_duration(summary.calls_busy_s)
    overlap = f" (their sum {format_duration(summary.calls_time_s)})" if _overlap(summary) else ""
    return f"{summary.calls}: {_counts(summary.outcomes)}; running for {busy}{overlap}"


def _overlap(summary: Summary) -> bool:
    return summary.calls_time_s > 1.05 * summary.calls_busy_s


def _cpu(summary: Summary) -> str:
    parts = []
    if summary.calls_cpu_time_us is not None:
        parts.append(f"calls {format_cpu(summary.calls_cpu_time_us)}")
    if summary.agent_usage and summary.agent_usage.cpu_time_us is not None:
        parts.append(f"agent itself {format_cpu(summary.agent_usage.cpu_time_us)}")
    return ", ".join(parts)


def _memory(summary: Summary) -> str:
    parts = []
    if summary.usage and summary.usage.memory_peak_bytes is not None:
        budget = f" of {format_size(summary.memory_max_bytes)}" if summary.memory_max_bytes else ""
        parts.append(f"session peak {format_size(summary.usage.memory_peak_bytes)}{budget}")
    if summary.call_memory_peak_bytes is not None:
        parts.append(f"heaviest call {format_size(summary.call_memory_peak_bytes)}")
    if summary.agent_usage and summary.agent_usage.memory_peak_bytes is not None:
        parts.append(f"agent itself {format_size(summary.agent_usage.memory_peak_bytes)}")
    return ", ".join(parts)


def _background(summary: Summary) -> str:
    parts = []
    if summary.background:
        ended = f" (ended: {_counts(summary.background_ended)})" if summary.background_ended else ""
        parts.append(f"{_number(summary.background, 'call')} left processes on purpose{ended}")
    if summary.leftovers_killed:
        parts.append(f"{_number(summary.leftovers_killed, 'forgotten process', 'es')} killed")
    return ", ".join(parts)


def _not_caught(summary: Summary) -> str:
    parts = []
    if summary.unmanaged:
        parts.append(f"{_number(summary.unmanaged, 'call')} without a domain")
    if summary.uncaught:
        parts.append(f"{_number(summary.uncaught, 'command')} in the agent's own domain")
    return ", ".join(parts)


def _sources(summary: Summary) -> str:
    """Where numbers come from, when not all of them are the kernel's own."""
    if summary.support in ("", Support.FULL) and set(summary.usage_sources) <= {"cgroup"}:
        return ""
    exact = {"cgroup": "all by cgroup", "cgroup-cpu": "CPU by cgroup, memory sampled from /proc", "proc": "from /proc"}
    found = " or ".join(exact.get(source, source) for source in summary.usage_sources)
    support = f"support: {printable(summary.support)}" if summary.support not in ("", Support.FULL) else ""
    return "; ".join(part for part in (found, support) if part)


def _table(calls: Sequence[HeavyCall], width: int) -> Iterable[str]:
    rows = [("call", "peak", "CPU", "time", "outcome")]
    rows.extend(
        (
            printable(call.call),
            format_size(call.memory_peak_bytes),
            format_cpu(call.cpu_time_us),
            format_duration(call.duration_s),
            call.outcome,
        )
        for call in calls
    )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    right = {1, 2, 3}
    commands = ["command", *(printable(call.command) for call in calls)]
    for row, command in zip(rows, commands, strict=True):
        cells = [f"{c:>{w}}" if i in right else f"{c:<{w}}" for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        head = "    " + "  ".join(cells) + "  "
        yield shorten(head + command, width).rstrip()


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {printable(key)}" for key, count in counts.items())


def _number(count: int, noun: str, plural: str = "s") -> str:
    return f"{count} {noun}{plural if count != 1 else ''}"
