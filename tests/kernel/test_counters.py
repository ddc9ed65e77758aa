"""Texts of cgroup files as numbers, and as a usage."""

from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.kernel.counters import USAGE_FILES, parse_int, parse_keyed, parse_pressure_totals, usage_from_text
from agentcgroup.model import Usage, UsageSource

PRESSURE = "some avg10=0.00 avg60=1.20 avg300=0.15 total=1234\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=99\n"
EVENTS = "low 0\nhigh 12\nmax 3\noom 2\noom_kill 1\noom_group_kill 1\n"
CPU = "usage_usec 300\nuser_usec 100\nsystem_usec 200\nnr_periods 0\n"


def test_a_full_usage() -> None:
    texts = {
        "memory.peak": "4096\n",
        "memory.swap.peak": "0\n",
        "memory.events": EVENTS,
        "cpu.stat": CPU,
        "pids.peak": "7\n",
        "pids.events": "max 5\n",
        "memory.pressure": PRESSURE,
        "cpu.pressure": PRESSURE,
        "io.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n",
    }
    assert set(texts) == set(USAGE_FILES)
    assert usage_from_text(texts) == Usage(
        source=UsageSource.CGROUP,
        memory_peak_bytes=4096,
        swap_peak_bytes=0,
        cpu_time_us=300,
        cpu_user_us=100,
        cpu_system_us=200,
        pids_peak=7,
        pids_max_events=5,
        memory_high_events=12,
        memory_max_events=3,
        oom_events=2,
        oom_kill_events=1,
        memory_some_us=1234,
        memory_full_us=99,
        cpu_some_us=1234,
        io_some_us=5,
    )


def test_the_source_says_what_was_there() -> None:
    assert usage_from_text({}) == Usage(source=UsageSource.PROC)
    assert usage_from_text({"cpu.stat": CPU}).source is UsageSource.CGROUP_CPU
    before_5_19 = usage_from_text({"cpu.stat": CPU, "memory.events": EVENTS})
    assert before_5_19.source is UsageSource.CGROUP
    assert before_5_19.memory_peak_bytes is None


def test_max_and_odd_numbers_are_none() -> None:
    assert parse_int("max\n") is None
    assert parse_int(None) is None
    assert parse_int("-5") is None
    assert parse_int("٣") is None
    assert parse_int(" 42\n") == 42
    assert parse_keyed("a 1\nb x\n\n c\nd 2 3\ne 4") == {"a": 1, "e": 4}
    assert parse_pressure_totals("some total=x\nfull total=3\n") == {"full": 3}


@given(st.dictionaries(st.sampled_from(USAGE_FILES), st.text(max_size=80)))
def test_odd_text_never_raises(texts: dict[str, str]) -> None:
    assert isinstance(usage_from_text(texts), Usage)
