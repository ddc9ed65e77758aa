"""What an agent reads after a call: the golden texts, and the contract that every text keeps."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.feedback.text import explain, refusal
from agentcgroup.feedback.told import Told
from agentcgroup.model import CallEnd, Leftovers, Limits, Outcome, Usage
from tests.feedback import golden
from tests.feedback.cases import CASES, GIB, MIB, Case

MARK = "agentcgroup-feedback: "


def facts(text: str) -> dict[str, object]:
    """The machine-readable line of a text that keeps the contract."""
    prose, machine, rest = text.split("\n")
    assert rest == ""
    assert prose.startswith("agentcgroup: ")
    assert len(prose) <= 600
    assert prose.isprintable()
    assert machine.startswith(MARK)
    assert machine.isascii()
    assert len(machine) < 8192
    said = json.loads(machine.removeprefix(MARK))
    assert isinstance(said, dict)
    return said


@pytest.mark.parametrize("name", CASES)
def test_golden_texts(name: str) -> None:
    text = CASES[name].text()
    golden.compare(name, text)
    facts(text)
    assert not text.partition("\n")[0].endswith("…")  # nothing had to be cut


def test_no_golden_text_is_left_over() -> None:
    assert {name for name in golden.names() if not name.startswith("budget")} == set(CASES)


def ended(outcome: Outcome, usage: Usage, reason: str = "", killed: int = 0, status: int = 1) -> CallEnd:
    return CallEnd("c000007", 0, 0, status, 0, outcome, usage, Leftovers(killed=killed), reason)


def test_without_more_than_the_record_it_says_what_it_always_said() -> None:
    limits = Limits(memory_max_bytes=256 * MIB, pids_max=160)
    text = explain(ended(Outcome.OOM, Usage(memory_peak_bytes=256 * MIB, oom_kill_events=1)), limits)
    assert text == (
        "agentcgroup: this command was stopped because it ran out of memory: it used 256 MiB of 256 MiB allowed. "
        "Nothing else was stopped. Run a smaller part of the work, or fewer workers at once.\n"
        'agentcgroup-feedback: {"v": 1, "call": "c000007", "outcome": "oom", "incidents": ["oom"], '
        '"memory_peak_bytes": 268435456, "memory_max_bytes": 268435456, "oom_kill": 1}\n'
    )


@pytest.mark.parametrize("status", [137, 0])
@pytest.mark.parametrize("outcome", Outcome)
def test_it_is_no_oom_unless_the_counter_moved(outcome: Outcome, status: int) -> None:
    for count in (0, None):
        end = ended(outcome, Usage(memory_peak_bytes=GIB, oom_kill_events=count), killed=1, status=status)
        text = explain(end, Limits(memory_max_bytes=GIB, pids_max=160), told=Told(throttled_s=3.0), budget_bytes=GIB)
        assert "ran out of memory" not in text
        assert '"oom"' not in text
        assert "oom_kill" not in text


@pytest.mark.parametrize(
    "outcome", [Outcome.OK, Outcome.FAILED, Outcome.CLIENT_KILLED, Outcome.SESSION_ENDED, Outcome.CUT]
)
def test_nothing_is_said_when_there_is_nothing_to_tell(outcome: Outcome) -> None:
    told = Told(throttled_s=1.0, frozen_s=0.9, queued_s=1.0, neighbours=(("c1", 1),))
    assert explain(ended(outcome, Usage(), "some reason", status=137), Limits(), told=told) == ""


@pytest.mark.parametrize("outcome", [Outcome.CLIENT_KILLED, Outcome.SESSION_ENDED, Outcome.CUT])
def test_nothing_is_said_when_nobody_listens(outcome: Outcome) -> None:
    assert explain(ended(outcome, Usage(oom_kill_events=1)), Limits(), told=Told(frozen_s=9.0)) == ""


def test_the_machine_readable_line_has_every_fact() -> None:
    told = Told(
        12.34567, 3.0, 41.0, "deadline", "no room", "", ("The hint 'x' was ignored.",), "Too much.", (("c1", GIB),)
    )
    limits = Limits(memory_max_bytes=GIB, memory_high_bytes=GIB // 2, pids_max=160)
    end = ended(Outcome.FAILED, Usage(memory_peak_bytes=MIB), killed=2, status=137)
    assert facts(explain(end, limits, argv=("bash", "-c", "make"), told=told, budget_bytes=2 * GIB)) == {
        "v": 1,
        "call": "c000007",
        "outcome": "failed",
        "incidents": ["killed", "throttled", "frozen", "queued", "leftovers", "hint"],
        "memory_peak_bytes": MIB,
        "memory_high_bytes": GIB // 2,
        "memory_max_bytes": GIB,
        "budget_bytes": 2 * GIB,
        "throttled_s": 12.346,
        "frozen_s": 3.0,
        "queued_s": 41.0,
        "rule": "deadline",
        "reason": "no room",
        "leftovers_killed": 2,
        "neighbours": [{"name": "c1", "memory_bytes": GIB}],
        "hint_problems": ["The hint 'x' was ignored."],
        "hint_verdict": "Too much.",
        "declare": "AGENT_RESOURCE_HINT=memory:64m",
    }


def test_a_refusal_is_told_like_everything_else() -> None:
    case = CASES["refused"]
    argv = ("bash", "-c", case.command)
    text = refusal(
        "c000007", case.told.refused_reason, case.limits, argv=argv, told=case.told, budget_bytes=case.budget
    )
    assert text == case.text()
    assert facts(refusal("c1", "", Limits()))["reason"] == "there was no room for it"


def test_a_call_that_a_policy_killed_is_told_so_without_a_rule() -> None:
    text = explain(ended(Outcome.KILLED, Usage(), "no room left for 3 s", status=137), Limits())
    assert "was stopped by the rule of last resort: no room left for 3 s." in text
    assert facts(text)["reason"] == "no room left for 3 s"


def test_what_matters_most_stays_when_there_is_too_much_to_say() -> None:
    told = Told(9.0, 9.0, 9.0, hint_problems=("The hint " + "x" * 150 + ".",) * 4, neighbours=(("n" * 90, 1),) * 5)
    case = Case("pytest -n 8 tests", Outcome.OOM, GIB, told=told, status=137)
    prose = case.text().partition("\n")[0]
    assert "ran out of memory" in prose
    assert "`pytest -x -n 4 tests/test_NAME.py`" in prose
    assert "AGENT_RESOURCE_HINT=memory:1536m" in prose


def test_nothing_of_a_command_acts_on_the_terminal_or_comes_back_as_a_command() -> None:
    case = Case("pytest 'a\x1b[31m;rm -rf x/' $'b\\n'", Outcome.OOM, GIB, status=137)
    assert "rm -rf" not in case.text()
    assert "\x1b" not in case.text()


COMMANDS = st.one_of(
    st.text(max_size=200),
    st.lists(
        st.one_of(
            st.text(max_size=8),
            st.sampled_from(("pytest", "make", "cargo", "go", "npm", "jest", "python", "ninja", "cmake", "git")),
            st.sampled_from(("test", "build", "ci", "-c", "-j64", "-n", "auto", "8", "-p", "-j", "--maxWorkers=3")),
            st.sampled_from(("tests", "a.py", "open('x').read()", "read_csv(", "&&", "|", "'", '"', ";", "clone")),
        ),
        max_size=8,
    ).map(" ".join),
)
SECONDS = st.floats(0, 1e7)
SIZES = st.one_of(st.none(), st.integers(1, 1 << 45))
TOLD = st.builds(
    Told,
    SECONDS,
    SECONDS,
    SECONDS,
    st.text(max_size=300),
    st.text(max_size=300),
    st.text(max_size=300),
    st.lists(st.text(max_size=300), max_size=6).map(tuple),
    st.text(max_size=300),
    st.lists(st.tuples(st.text(max_size=60), st.integers(0, 1 << 45)), max_size=6).map(tuple),
)


@given(
    COMMANDS,
    st.sampled_from(Outcome),
    TOLD,
    st.builds(Limits, memory_max_bytes=SIZES, memory_high_bytes=SIZES, pids_max=SIZES),
    SIZES,
    SIZES,
    st.one_of(st.none(), st.integers(0, 3)),
    st.text(max_size=300),
    st.integers(0, 3),
)
def test_every_text_keeps_the_contract(
    command: str,
    outcome: Outcome,
    told: Told,
    limits: Limits,
    budget: int | None,
    peak: int | None,
    oom_kill: int | None,
    reason: str,
    killed: int,
) -> None:
    end = ended(outcome, Usage(memory_peak_bytes=peak, oom_kill_events=oom_kill), reason, killed, status=137)
    text = explain(end, limits, argv=("bash", "-c", command), told=told, budget_bytes=budget)
    if not text:
        return
    said = facts(text)
    text.encode()  # no half of a surrogate pair
    assert ("oom" in str(said["incidents"])) <= bool(oom_kill)
    declared = re.search(r"memory:(\d+)([mg])", str(said.get("declare", "")))
    if declared:
        assert budget is not None
        assert int(declared[1]) << (20 if declared[2] == "m" else 30) <= budget
