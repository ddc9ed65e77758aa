"""What a command line runs: through the wrapping of agents and models, by the programs and never by the text."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.commands import Command, Kind, by_programs, classify, normalised, unfold
from agentcgroup.commands.shell import MAX_COMMANDS, MAX_TEXT, read


def of(text: str) -> Command:
    return classify(("bash", "-c", text))


def programs(text: str) -> list[tuple[str, ...]]:
    return [simple.argv for simple in read(text).commands]


@pytest.mark.parametrize(
    ("text", "kind", "program"),
    [
        ("pytest -x tests", Kind.TEST, "pytest"),
        ("cd /repo && python3.11 -m pytest -q 2>&1 | tail -5", Kind.TEST, "pytest"),
        ("AGENT_RESOURCE_HINT=memory:2g pytest", Kind.TEST, "pytest"),
        ("timeout -k 5 60 env A=b nice -n 10 uv run --with x pytest tests", Kind.TEST, "pytest"),
        ("sudo -u dev -- nohup ./node_modules/.bin/jest &", Kind.TEST, "jest"),
        ("npx --yes jest@29 --ci", Kind.TEST, "jest"),
        ("for f in tests/*.py; do python -m pytest $f; done", Kind.TEST, "pytest"),
        ("if ! tox -e py311; then echo no; fi", Kind.TEST, "tox"),
        ("coverage run -m pytest", Kind.TEST, "pytest"),
        ("python -m coverage run --source a -m unittest", Kind.TEST, "unittest"),
        ("find . -name 'test_*.py' | xargs -n 1 pytest", Kind.TEST, "pytest"),
        ("cargo test --all", Kind.TEST, "cargo"),
        ("go test ./...", Kind.TEST, "go"),
        ("mvn -q clean test", Kind.TEST, "mvn"),
        ("./gradlew :app:check", Kind.TEST, "gradlew"),
        ("npm test", Kind.TEST, "npm"),
        ("npm run test:unit -- --watch=false", Kind.TEST, "npm"),
        ("yarn jest a", Kind.TEST, "jest"),
        ("make -C lib check", Kind.TEST, "make"),
        ("python manage.py test app", Kind.TEST, "manage.py"),
        ("python tests/runtests.py admin", Kind.TEST, "runtests.py"),
        ("make -j64", Kind.BUILD, "make"),
        ("cmake --build . && ctest", Kind.BUILD, "cmake"),
        ("cargo build --release", Kind.BUILD, "cargo"),
        ("go build ./...", Kind.BUILD, "go"),
        ("npm --prefix web run build:prod", Kind.BUILD, "npm"),
        ("python setup.py build_ext --inplace", Kind.BUILD, "setup.py"),
        ("gcc -O2 a.c", Kind.BUILD, "gcc"),
        ("npm ci", Kind.INSTALL, "npm"),
        ("pip3 install -e '.[dev]' > /tmp/log 2>&1", Kind.INSTALL, "pip"),
        ("python -m pip install pytest", Kind.INSTALL, "pip"),
        ("uv pip install pytest", Kind.INSTALL, "uv"),
        ("apt-get update -y; ls", Kind.INSTALL, "apt-get"),
        ("yarn", Kind.INSTALL, "yarn"),
        ("pip list", Kind.OTHER, "pip"),
        ("npm run dev", Kind.SERVER, "npm"),
        ("python -m http.server 8000", Kind.SERVER, "http.server"),
        ("uvicorn app:app --reload", Kind.SERVER, "uvicorn"),
        ("python manage.py runserver", Kind.SERVER, "manage.py"),
        ("python -c 'print(1)'", Kind.INTERPRETER, "python"),
        ("node -e 'console.log(1)'", Kind.INTERPRETER, "node"),
        ("python3 <<'EOF'\nimport pytest\nEOF", Kind.INTERPRETER, "python"),
        ("./script.sh a", Kind.INTERPRETER, "script.sh"),
        ("git -C x log | head", Kind.VCS, "git"),
        ("grep -rn pytest setup.cfg", Kind.FILE, "grep"),
        ("cat > t.sh <<EOF\npytest\nmake -j64\nEOF", Kind.FILE, "cat"),
        ("echo 'pytest; make' # pip install", Kind.OTHER, "echo"),
        ("echo $(pip install x)", Kind.INSTALL, "pip"),
        ("x=`pytest -x`", Kind.TEST, "pytest"),
        ("bash -lc \"bash -c 'make -j4'\"", Kind.BUILD, "make"),
        ("bash <<EOF\npytest\nEOF", Kind.TEST, "pytest"),
        ("bash run_tests.sh", Kind.TEST, "run_tests.sh"),
        ("which pytest", Kind.OTHER, "which"),
        ("docker build -t a .", Kind.BUILD, "docker"),
        ("sudo docker compose -f a.yml up -d", Kind.SERVER, "docker"),
        ("docker compose build web-dev", Kind.BUILD, "docker"),
        ("podman run --rm img pytest", Kind.INTERPRETER, "podman"),
        ("docker rm -f web-dev", Kind.OTHER, "docker"),
        ("docker logs test", Kind.OTHER, "docker"),
        ("parallel -j 4 pytest ::: a b", Kind.TEST, "pytest"),
        ("git commit -m \"$(cat <<'EOF'\nDon't (do\nEOF\n)\"", Kind.VCS, "git"),
        ('echo $(cat <<E; cat <<"F G"\n)\nE\n\'\nF G\n) && make', Kind.BUILD, "make"),
        ('git commit -m "$(cat <<-EOF\n\tit\'s\n\tEOF)" && pytest', Kind.TEST, "pytest"),
        ("echo $((1 << 3)) $(( x<<y )) && make", Kind.BUILD, "make"),
        ('x=$(cat <<< "it\'s"); make', Kind.BUILD, "make"),
    ],
)
def test_kinds(text: str, kind: Kind, program: str) -> None:
    command = of(text)
    assert (command.kind, command.program) == (kind, program)


INNER = "cd 'a b' && timeout 60 pytest -n 8 tests"


@pytest.mark.parametrize(
    "argv",
    [
        ("/bin/bash", "-lc", INNER),
        ("/bin/bash", "-c", "-l", INNER),
        ("zsh", "-o", "pipefail", "-c", INNER),
        ("/bin/sh", "-c", INNER, "name", "argument"),
        # Claude Code, Gemini CLI, and a shell within a shell
        (
            "/bin/bash",
            "-c",
            "source /x/shell-snapshots/snapshot-bash-1.sh 2>/dev/null || true && "
            f"eval {shlex.quote(INNER)} < /dev/null && pwd -P >| /tmp/claude-1-cwd",
        ),
        ("/usr/bin/bash", "-c", f"shopt -u promptvars; _b=/tmp/x; ( trap 'echo $?' EXIT\n{INNER}\n)"),
        ("bash", "-c", f"env -i A=b bash -lc {shlex.quote(INNER)}"),
        ("pytest", "-n", "8", "tests"),
    ],
)
def test_the_wrapping_of_agents_is_looked_through(argv: tuple[str, ...]) -> None:
    assert classify(argv) == Command(Kind.TEST, "pytest", ("-n", "8", "tests"))


@pytest.mark.parametrize(
    "text", ["pytest 'x", 'pytest "$(', "pytest `a", "echo ${a", 'eval "pytest \'"', "", "#x", "$'"]
)
def test_what_is_malformed_or_empty_has_no_kind(text: str) -> None:
    assert of(text) == Command(Kind.OTHER, "", ())


def test_no_argv_has_no_kind() -> None:
    assert classify(()) == classify(("bash",)) == classify(("bash", "-c")) == Command(Kind.OTHER, "", ())


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("a\\ b 'c d'\"e $f\"g", [("a b", "c de $fg")]),
        ("a # b\nc#d", [("a",), ("c#d",)]),
        ("a>b 2>&1 <c d &>e", [("a", "d")]),
        ("a\\\n  b", [("a", "b")]),
        ("$'a\\'b\\n' c", [("a'b\n", "c")]),
        ("a <<E; b <<'F' | c\n1\nE\n2\nF\nd", [("a",), ("b",), ("c",), ("d",)]),
        ("a <<-E\n\t1\n\tE\nb", [("a",), ("b",)]),
        ("a <<E\nno end", [("a",)]),
        ("diff <(a x) <(b)", [("diff", "(a x)", "(b)")]),
        ('a "$(b "c)")" d', [("a", '$(b "c)")', "d")]),
        ("case $x in a) b;; esac", [("b",), ("esac",)]),
        ("a || b && c; d & e |& f", [("a",), ("b",), ("c",), ("d",), ("e",), ("f",)]),
    ],
)
def test_the_shell_text_is_taken_apart(text: str, commands: list[tuple[str, ...]]) -> None:
    assert programs(text) == commands


def test_assignments_substitutions_and_here_documents_are_kept_apart() -> None:
    script = read("A=1 B='x y' c D=2 \"$(e)\" <<E\nbody\nE\n# alone\nf # not alone")
    first = script.commands[0]
    assert [word.text for word in first.assignments] == ["A=1", "B=x y"]
    assert first.argv == ("c", "D=2", "$(e)")
    assert [word.expands for word in first.words] == [False, False, True]
    assert (first.stdin, script.inner, script.comments, script.sound) == ("body\n", ("e",), (" alone",), True)


def test_wrappers_hand_their_assignments_on() -> None:
    found = unfold(("bash", "-c", "A=1 env B=2 sudo C=3 x; export D=4; E=5"))
    assigned = [[word.text for word in simple.assignments] for simple in found.commands]
    assert assigned == [["A=1", "B=2", "C=3"], ["D=4"], ["E=5"]]


def test_a_snippet_comes_with_its_text() -> None:
    assert of("python - <<'EOF'\nx = open('a').read()\nEOF").words == ("-", "x = open('a').read()\n")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("pytest -q tests", "pytest tests -v"),
        ("pytest tests --tb=short", "cd x && pytest tests 2>&1 | tail -30"),
        ("AGENT_RESOURCE_HINT=memory:2g pytest tests", "pytest tests"),
        ("python /tmp/a1.py", "python /tmp/b2.py"),
        ("sleepy --for 3", "sleepy --for 40"),
        ("python3 -m pytest -k x", "pytest -k x"),
    ],
)
def test_the_same_command_again_has_the_same_key(one: str, other: str) -> None:
    assert normalised(of(one)) == normalised(of(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("pytest tests/a.py", "pytest tests/b.py"),
        ("make -j64", "make -j2"),
        ("pytest -n 8", "pytest -n 2"),
        ("ninja --jobs=8", "ninja --jobs=2"),
        ("go test ./...", "go build ./..."),
        ("python -c '" + "x" * 500 + "'", "python -c '" + "x" * 501 + "'"),
    ],
)
def test_another_command_has_another_key(one: str, other: str) -> None:
    assert normalised(of(one)) != normalised(of(other))


SHELLISH = st.lists(st.sampled_from([*"ab=-'\"\\$`(){}<>|&;# \n\t", "<<E", "E\n", "eval ", "sh -c ", "env A=1 "])).map(
    "".join
)


@given(st.one_of(st.text(), SHELLISH))
def test_no_text_raises(text: str) -> None:
    command = of(text)
    assert isinstance(command.kind, Kind)
    assert len(normalised(command)) <= 160
    read(text)


@given(st.lists(st.binary(max_size=200), max_size=4), st.booleans())
def test_no_bytes_raise(words: list[bytes], shell: bool) -> None:
    """An argument vector comes as bytes, which the wire reads with surrogateescape."""
    argv = [word.decode("utf-8", "surrogateescape") for word in words]
    command = classify(["bash", "-c", " ".join(argv)] if shell else argv)
    normalised(command).encode("utf-8", "surrogateescape")


@given(st.lists(st.text()))
def test_no_argument_vector_raises(argv: list[str]) -> None:
    normalised(classify(argv))


@given(st.lists(st.text(st.characters(exclude_characters="\0"), min_size=1), min_size=1, max_size=6))
def test_quoted_words_come_back_as_they_were(words: list[str]) -> None:
    # The first word in a place where it can be no reserved word, and no assignment (quoted, it is none).
    assert programs("x " + shlex.join(words)) == [("x", *words)]


@pytest.mark.parametrize(
    "text",
    [
        "$(" * 20_000,
        '"$(' * 20_000,
        "((" * 20_000,
        "{ " * 20_000,
        "a <<E|b\nE\n" * 20_000,
        "`\\`" * 20_000,
        "timeout 1 " * 20_000,
        "eval " * 20_000,
        "sh -c '" * 20_000,
        "a;" * 200_000,
        "${" * 20_000,
        "do " * 20_000,
        "echo $(" * 5_000 + ")" * 5_000,
        "$(<<a\n" * 20_000,
        '"$(<<E\n' * 5_000 + "E\n" * 5_000,
        "$(a <<E; b <<F\n'\nE\n`\nF\n)" * 5_000,
        "sh -c \"eval '" * 20_000,
        "bash <<E\n" * 20_000,
        "\\\n" * 20_000,
    ],
)
def test_hostile_texts_are_bounded(text: str) -> None:
    found = unfold(("bash", "-c", text))
    assert len(found.commands) <= MAX_COMMANDS
    assert isinstance(classify(("bash", "-c", text)).kind, Kind)


def test_a_cut_is_no_syntax_error() -> None:
    assert of("pytest -x; cat > f '" + "x" * MAX_TEXT + "'").program == "pytest"


@pytest.mark.parametrize(
    ("text", "ran", "kind"),
    [
        ("./ci.sh", ("bash", "ci.sh", "pytest"), Kind.TEST),
        ("./ci.sh", ("bash", "ci.sh", "pytest", "gcc", "ld"), Kind.BUILD),
        ("git commit -m x", ("bash", "git", "cat"), Kind.VCS),
        ("python3 tool.py", ("bash", "python3.11", "pip-sync"), Kind.INSTALL),
        ("make", ("bash", "make", "ls"), Kind.BUILD),
        ("true", (), Kind.OTHER),
        ("true", ("", "\udcff", "x" * 300), Kind.OTHER),
    ],
)
def test_what_really_ran_makes_a_command_heavier_and_keeps_its_name(
    text: str, ran: tuple[str, ...], kind: Kind
) -> None:
    command = by_programs(of(text), ran)
    assert command.kind is kind
    assert (command.program, command.words) == (of(text).program, of(text).words)
    assert normalised(command) == normalised(of(text))
