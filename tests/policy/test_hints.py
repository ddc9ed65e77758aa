"""The grammar of hints: what is read, what is answered, and that nothing of it is ever run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.model import Priority
from agentcgroup.policy.hints import EMPTY, MAX_HINT, Hint, Level, merge, of_call, of_command, parse, render

GIB = 1 << 30
MIB = 1 << 20


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", EMPTY),
        (" , ,", EMPTY),
        ("memory:2g", Hint(memory=2 * GIB)),
        ("memory:1.5GiB", Hint(memory=3 * GIB // 2)),
        ("memory:512m,", Hint(memory=512 * MIB)),
        ("Memory : HIGH", Hint(memory=Level.HIGH)),
        ("memory:medium,cpu:low", Hint(memory=Level.MEDIUM, cpu=Level.LOW)),
        ("cpu:2", Hint(cpu=2.0)),
        ("cpu:0.5", Hint(cpu=0.5)),
        ("time:1h30m", Hint(time_s=5400.0)),
        ("time:250ms", Hint(time_s=0.25)),
        ("priority:high", Hint(priority=Priority.HIGH)),
        (
            "memory:2g, cpu:2, time:10m, priority:low",
            Hint(memory=2 * GIB, cpu=2.0, time_s=600.0, priority=Priority.LOW),
        ),
    ],
)
def test_what_is_read(text: str, hint: Hint) -> None:
    assert parse(text) == hint


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("memory:lots", "write low, medium, high or a size with its unit, such as memory:2g"),
        ("memory:2", "a size with its unit"),  # two bytes
        ("memory:0", "a size with its unit"),
        ("memory:-1g", "a size with its unit"),
        ("memory:2g cpu:2", "parts are separated by commas"),
        ("memory:" + "9" * 400, "a size with its unit"),
        ("memory=2g", "write a colon, such as memory:2g"),
        ("memory 2g", "write a colon, such as memory:2g"),
        ("memory", "write a colon, such as memory:2g"),
        ("cpu:medium", "write low, high or a number of cores, such as cpu:2"),
        ("cpu:0", "a number of cores"),
        ("cpu:1e9", "a number of cores"),
        ("cpu:99999", "a number of cores"),
        ("cpu:٣", "a number of cores"),
        ("time:soon", "write a duration with its unit up to 30d, such as time:10m"),
        ("time:0", "a duration"),
        ("time:31d", "a duration"),
        ("priority:urgent", "write priority:low, priority:normal or priority:high"),
        ("disk:3g", "known are memory:2g, cpu:2, time:10m, priority:low"),
        ("memory:$(touch x)", "a size with its unit"),
        ("a[$(id)]", "known are"),
        ("memory:" + "x" * 3000, "a size with its unit"),
    ],
)
def test_what_cannot_be_read_is_answered_and_left_out(text: str, says: str) -> None:
    hint = parse(text)
    assert (hint.memory, hint.cpu, hint.time_s, hint.priority) == (None, None, None, None)
    (problem,) = hint.problems
    assert says in problem
    assert len(problem) < 200


def test_one_bad_part_does_not_spoil_the_others() -> None:
    hint = parse("memory:2g,disk:1,time:10m")
    assert (hint.memory, hint.time_s, len(hint.problems)) == (2 * GIB, 600.0, 1)


def test_of_two_of_a_kind_the_last_counts_and_that_is_said() -> None:
    assert parse("memory:1g,memory:2g") == Hint(
        memory=2 * GIB, problems=("The hint gives memory twice: the last one counts.",)
    )


def test_a_hint_is_bounded() -> None:
    assert "4097 characters was ignored" in parse("x" * (MAX_HINT + 1)).problems[0]
    many = parse(",".join(f"k{n}:1" for n in range(500)))
    assert len(many.problems) <= 4
    assert parse("," * MAX_HINT) == EMPTY


def test_later_hints_win_field_by_field() -> None:
    first = parse("memory:1g,cpu:2,bad")
    assert merge(first, parse("memory:low,time:3s"), EMPTY) == Hint(Level.LOW, 2.0, 3.0, None, first.problems)
    assert merge() == EMPTY
    assert merge(first, first).problems == first.problems


CALLS = [
    "AGENT_RESOURCE_HINT=memory:2g pytest",
    "AGENT_RESOURCE_HINT='memory:2g' pytest -x tests | tail -5",
    'cd x && AGENT_RESOURCE_HINT="memory:2g" make',
    "export AGENT_RESOURCE_HINT=memory:2g; pytest",
    "export A=b AGENT_RESOURCE_HINT='memory:2g' && pytest",
    "AGENT_RESOURCE_HINT=memory:2g\npytest",
    "env A=b AGENT_RESOURCE_HINT=memory:2g pytest",
    "timeout 60 env AGENT_RESOURCE_HINT=memory:2g pytest",
    "if true; then AGENT_RESOURCE_HINT=memory:2g pytest; fi",
    "(AGENT_RESOURCE_HINT=memory:2g pytest)",
    "bash -c 'AGENT_RESOURCE_HINT=memory:2g pytest'",
    "# resource: memory:2g\npytest",
    "\n  #resource:memory:2g\npytest -x",
    "# Resource: memory:2g\n",
    "# resource: memory:1g\nAGENT_RESOURCE_HINT=memory:2g pytest",
    "AGENT_RESOURCE_HINT=memory:1g a; AGENT_RESOURCE_HINT=memory:2g b",
    "AGENT_RESOURCE_HINT+=,memory:2g pytest",
    "f() { AGENT_RESOURCE_HINT=memory:2g pytest; }; f",
    "for f in a b; do AGENT_RESOURCE_HINT=memory:2g pytest $f; done",
    "bash -lc 'cd x && AGENT_RESOURCE_HINT=memory:2g pytest'",
    "git commit -m \"$(cat <<'EOF'\nDon't (\nEOF\n)\" && AGENT_RESOURCE_HINT=memory:2g pytest",
]


@pytest.mark.parametrize("command", CALLS)
@pytest.mark.parametrize("agent", ["plain", "claude", "gemini"])
def test_where_a_command_carries_its_hint(command: str, agent: str) -> None:
    text = {
        "plain": command,
        "claude": f"source /s/snapshot-bash-1.sh 2>/dev/null || true && eval {shlex.quote(command)} < /dev/null "
        "&& pwd -P >| /tmp/claude-1-cwd",
        "gemini": f"shopt -u promptvars; ( trap 'echo $?' EXIT\n{command}\n)",
    }[agent]
    assert of_call(("/bin/bash", "-c", text)) == Hint(memory=2 * GIB)


@pytest.mark.parametrize(
    "argv",
    [
        ("bash", "-lc", "cd x && AGENT_RESOURCE_HINT=memory:2g pytest"),
        ("/bin/sh", "-e", "-c", "AGENT_RESOURCE_HINT=memory:2g pytest", "name"),
        ("zsh", "-o", "pipefail", "-c", "# resource: memory:2g\npytest"),
        ("env", "AGENT_RESOURCE_HINT=memory:2g", "pytest"),
    ],
)
def test_whatever_the_shell_is_started_like(argv: tuple[str, ...]) -> None:
    assert of_call(argv) == of_command(argv) == Hint(memory=2 * GIB)


@pytest.mark.parametrize(
    "command",
    [
        "echo AGENT_RESOURCE_HINT=memory:2g",
        "grep -r AGENT_RESOURCE_HINT=memory:2g .",
        "cat > f <<'EOF'\n# resource: memory:2g\nAGENT_RESOURCE_HINT=memory:2g pytest\nEOF",
        "echo '# resource: memory:2g'",
        "pytest # resource: memory:2g",
        "# resources: memory:2g\npytest",
        "MY_AGENT_RESOURCE_HINT=memory:2g pytest",
        "'AGENT_RESOURCE_HINT=memory:2g' pytest",
    ],
)
def test_where_it_does_not(command: str) -> None:
    assert of_call(("bash", "-c", command)) == EMPTY


def test_the_command_wins_over_the_environment() -> None:
    argv = ("bash", "-c", "AGENT_RESOURCE_HINT=memory:2g pytest")
    assert of_call(argv, "memory:1g,time:5m") == Hint(memory=2 * GIB, time_s=300.0)
    assert of_call(("bash", "-c", "pytest"), "memory:1g") == Hint(memory=GIB)
    assert of_command(argv) == Hint(memory=2 * GIB)


def test_an_empty_assignment_says_nothing() -> None:
    assert of_call(("bash", "-c", "AGENT_RESOURCE_HINT= pytest"), "memory:1g") == Hint(memory=GIB)


@pytest.mark.parametrize("value", ["$(id)", "`id`", "${X}", "memory:$N", '"memory:$(cat x)"', "$((1+1))g"])
def test_nothing_of_a_hint_is_run(value: str) -> None:
    hint = of_call(("bash", "-c", f"AGENT_RESOURCE_HINT={value} pytest"))
    assert hint.memory is None
    (problem,) = hint.problems
    assert "it is read, not run" in problem


def test_a_quoted_dollar_is_a_bad_value_like_any() -> None:
    (problem,) = of_call(("bash", "-c", "AGENT_RESOURCE_HINT='memory:$(id)' pytest")).problems
    assert problem.startswith("The hint 'memory:$(id)' was ignored: write low, medium")


HINTS = st.builds(
    Hint,
    memory=st.one_of(st.none(), st.sampled_from(Level), st.integers(1 << 20, 1 << 50)),
    cpu=st.one_of(
        st.none(), st.sampled_from([Level.LOW, Level.HIGH]), st.integers(1, 4_096_000).map(lambda n: n / 1000)
    ),
    time_s=st.one_of(st.none(), st.integers(1, 30 * 86_400_000).map(lambda n: n / 1000)),
    priority=st.one_of(st.none(), st.sampled_from(Priority)),
)


@given(HINTS)
def test_a_rendered_hint_is_read_back(hint: Hint) -> None:
    assert parse(render(hint)) == hint


@given(HINTS, HINTS, HINTS)
def test_merging_is_associative_and_empty_is_neutral(a: Hint, b: Hint, c: Hint) -> None:
    assert merge(merge(a, b), c) == merge(a, merge(b, c)) == merge(a, b, c)
    assert merge(EMPTY, a) == merge(a, EMPTY) == a


PARTS = st.lists(
    st.one_of(
        st.text(max_size=12),
        st.sampled_from(["memory:", "cpu:", "time:", "priority:", "2g", "low", "high", "1e5", "∞", ",", ":", "$(id)"]),
    )
).map("".join)


@given(st.one_of(st.text(), PARTS))
def test_no_text_raises_and_all_answers_are_printable_sentences(text: str) -> None:
    hint = parse(text)
    assert all(problem.isprintable() and problem.endswith(".") and len(problem) < 250 for problem in hint.problems)
    assert len(hint.problems) <= 4
    assert parse(render(hint)) == Hint(hint.memory, hint.cpu, hint.time_s, hint.priority)


@given(st.lists(st.one_of(st.text(), PARTS, st.just("AGENT_RESOURCE_HINT="), st.just("-c")), max_size=5), st.text())
def test_no_command_raises(argv: list[str], environment: str) -> None:
    of_call(argv, environment)


@given(st.lists(st.binary(max_size=200), max_size=4), st.binary(max_size=200))
def test_no_bytes_raise_and_all_answers_can_be_written(words: list[bytes], environment: bytes) -> None:
    """Words and environment come as bytes, which the wire reads with surrogateescape."""
    text = [word.decode("utf-8", "surrogateescape") for word in words]
    for argv in (text, ["bash", "-c", "AGENT_RESOURCE_HINT=" + " ".join(text)]):
        hint = of_call(argv, environment.decode("utf-8", "surrogateescape"))
        assert all(problem.encode() for problem in hint.problems)


@pytest.mark.parametrize(
    "piece",
    ["$(", '"$(', "AGENT_RESOURCE_HINT=$(", "sh -c '", "eval ", "# resource: ,", "<<E\n", "AGENT_RESOURCE_HINT=a:1;"],
)
def test_hostile_commands_are_bounded(piece: str) -> None:
    assert len(of_call(("bash", "-c", piece * 20_000), piece * 1000).problems) <= 4


@given(PARTS)
def test_a_quoted_hint_is_read_like_a_plain_one(text: str) -> None:
    argv = ("bash", "-c", f"AGENT_RESOURCE_HINT={shlex.quote(text)} pytest")
    assert of_call(argv) == parse(text.replace("\0", ""))


REFERENCE = Path(__file__).parents[2] / "docs/reference/hints.md"


def test_the_answers_in_the_reference_are_what_is_answered() -> None:
    answers = re.findall(r"^\| `(.+?)` \| (The hint .*\.) \|$", REFERENCE.read_text(), re.MULTILINE)
    assert len(answers) > 8
    assert [(text, parse(text).problems) for text, _ in answers] == [(text, (answer,)) for text, answer in answers]


def test_the_examples_in_the_reference_are_read() -> None:
    examples = REFERENCE.read_text().partition("## Examples")[2]
    commands = re.findall(r"^    (AGENT_RESOURCE_HINT=.*|# resource: .*\n    .*)$", examples, re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        hint = of_command(("bash", "-c", command))
        assert hint != EMPTY
        assert not hint.problems
