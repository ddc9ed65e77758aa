"""The texts of cgroup v2 and PSI files as numbers, and all of them together as a ``Usage``.

Formats: Documentation/admin-guide/cgroup-v2.rst ("Flat keyed", "Nested keyed") and
Documentation/accounting/psi.rst. Text that does not parse counts as not there: a newer kernel
may add keys and words, and an odd one must not stop a call from ending.
"""

from __future__ import annotations

from collections.abc import Mapping

from agentcgroup.model import Usage, UsageSource

#: The files a usage is made of, by the controller or feature that provides them.
USAGE_FILES = (
    "memory.peak",  # 5.19
    "memory.swap.peak",  # 6.5
    "memory.events",
    "cpu.stat",  # usage_usec, user_usec, system_usec also without the cpu controller
    "pids.peak",  # 6.1
    "pids.events",
    "memory.pressure",  # without the memory controller too; absent where PSI is off
    "cpu.pressure",
    "io.pressure",
)


def parse_int(text: str | None) -> int | None:
    """The number in a single-value file; None for ``max``, for no text and for anything else."""
    stripped = (text or "").strip()
    return int(stripped) if stripped.isascii() and stripped.isdigit() else None


def parse_keyed(text: str | None) -> dict[str, int]:
    """A flat keyed file (``memory.events``, ``cpu.stat``, ``cgroup.events``) as numbers by key."""
    values: dict[str, int] = {}
    for line in (text or "").splitlines():
        key, _, value = line.partition(" ")
        number = parse_int(value)
        if key and number is not None:
            values[key] = number
    return values


def parse_pressure_totals(text: str | None) -> dict[str, int]:
    """``{"some": µs, "full": µs}`` of a PSI file: the ``total=`` fields of its lines."""
    totals: dict[str, int] = {}
    for line in (text or "").splitlines():
        kind, _, rest = line.partition(" ")
        for word in rest.split():
            name, _, value = word.partition("=")
            number = parse_int(value)
            if name == "total" and number is not None:
                totals[kind] = number
    return totals


def usage_from_text(counters: Mapping[str, str]) -> Usage:
    """A usage from the texts of a cgroup's files by file name, as read here or by the client.

    Files that are missing leave their fields None. The source says what was there: the memory
    controller (``CGROUP``), only CPU time (``CGROUP_CPU``), or nothing (``PROC``).
    """
    memory = parse_keyed(counters.get("memory.events"))
    cpu = parse_keyed(counters.get("cpu.stat"))
    memory_pressure = parse_pressure_totals(counters.get("memory.pressure"))
    return Usage(
        source=_source(counters),
        memory_peak_bytes=parse_int(counters.get("memory.peak")),
        swap_peak_bytes=parse_int(counters.get("memory.swap.peak")),
        cpu_time_us=cpu.get("usage_usec"),
        cpu_user_us=cpu.get("user_usec"),
        cpu_system_us=cpu.get("system_usec"),
        pids_peak=parse_int(counters.get("pids.peak")),
        pids_max_events=parse_keyed(counters.get("pids.events")).get("max"),
        memory_high_events=memory.get("high"),
        memory_max_events=memory.get("max"),
        oom_events=memory.get("oom"),
        oom_kill_events=memory.get("oom_kill"),
        memory_some_us=memory_pressure.get("some"),
        memory_full_us=memory_pressure.get("full"),
        cpu_some_us=parse_pressure_totals(counters.get("cpu.pressure")).get("some"),
        io_some_us=parse_pressure_totals(counters.get("io.pressure")).get("some"),
    )


def _source(counters: Mapping[str, str]) -> UsageSource:
    if "memory.peak" in counters or "memory.events" in counters:
        return UsageSource.CGROUP
    return UsageSource.CGROUP_CPU if "cpu.stat" in counters else UsageSource.PROC
