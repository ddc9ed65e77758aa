"""Advice that fits the command: a smaller one, by its kind and its arguments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.commands import Kind, classify
from agentcgroup.feedback.advice import Cause, advise, hint_to_declare
from agentcgroup.feedback.wording import PROSE_MAX, clean, fit
from agentcgroup.model import Limits

GIB = 1 << 30
MIB = 1 << 20


def memory(command: str, limit: int | None = 2 * GIB) -> str:
    return advise(Cause.MEMORY, classify(("bash", "-c", command)), Limits(memory_max_bytes=limit), None)


@pytest.mark.parametrize(
    ("command", "suggests"),
    [
        ("pytest", "`pytest -x tests/test_NAME.py`"),
        ("pytest .", "`pytest -x tests/test_NAME.py`"),
        ("pytest -n 8 pkg/tests/", "`pytest -x -n 4 pkg/tests/test_NAME.py`"),
        ("pytest -n8", "-n 4"),
        ("pytest -n auto", "-n 2"),
        ("pytest --numprocesses=6", "-n 3"),
        ("pytest tests", "add `-n 2`"),
        ("pytest -k name -x tests/a.py tests/b.py", "`pytest -x tests/a.py`"),
        ("pytest tests/a.py", "`pytest -x tests/a.py -k NAME`"),
        ("pytest tests/a.py::test_x", "one test already"),
        ("pytest 'a b'", "tests/test_NAME.py"),
        ("uv run pytest -n 4", "-n 2"),
        ("make -j64", "`make -j4`"),  # 2 GiB at half a GiB each
        ("make -j6", "`make -j3`"),
        ("make -j 2 all", "`make -j1`"),
        ("make -j", "`make -j4`"),
        ("make -j1", "one target at a time"),
        ("make", "one target at a time"),
        ("cmake --build . --parallel 16", "`cmake --build . -j4`"),
        ("ninja", "`ninja -j4`"),
        ("cargo test", "`cargo test -j 2 -p CRATE -- --test-threads=2`"),
        ("cargo build --release", "`cargo build -j 2 -p CRATE`"),
        ("go test ./...", "`go test -p 2 ./PACKAGE`"),
        ("go test -p 8 ./...", "-p 4"),
        ("npm ci", "--no-audit"),
        ("pnpm install", "--network-concurrency=2"),
        ("pip install a b c", "one package at a time"),
        ("apt-get install -y a", "one package at a time"),
        ("npm run build", "NODE_OPTIONS=--max-old-space-size=1536"),
        ("npx tsc -p .", "NODE_OPTIONS=--max-old-space-size=1536"),
        ("npx jest -w 8", "`jest --maxWorkers=4 PATH`"),
        ("vitest run", "`vitest --maxWorkers=2 PATH`"),
        ("mvn test", "-T 1"),
        ("gradle build", "--max-workers=1"),
        ("python -c \"open('a').read()\"", "`for line in open(FILE):`"),
        ("python - <<E\nimport pandas as p\np.read_csv('a')\nE", "chunksize"),
        ("python -c 'import json; json.load(open(1))'", "one JSON object a line"),
        ("python -c 'import numpy as np; np.load(1)'", "mmap_mode"),
        ("node -e \"require('fs').readFileSync('a')\"", "createReadStream"),
        ("python x.py", "a part of the data at a time"),
        ("git clone x", "--depth 1"),
        ("rspec", "one test file"),
        ("docker build -t a .", "`docker build --target STAGE .`"),
        ("docker buildx build .", "--target STAGE"),
        ("podman run --rm -it img make", "`podman run --memory=1536m --cpus=2 IMAGE`"),
        ("docker compose up -d", "`docker compose up -d --no-deps SERVICE`"),
        ("docker-compose build", "`docker build --target STAGE .`"),
        ("docker pull a b", "`docker pull IMAGE`"),
        ("docker exec c pytest", "a smaller part of the work"),
        ("docker ps", "Run a smaller part of the work"),
        ("grep -r a .", "one folder at a time"),
        ("whatever", "Run a smaller part of the work"),
        ("bad ' quote", "Run a smaller part of the work"),
    ],
)
def test_memory(command: str, suggests: str) -> None:
    assert suggests in memory(command)


def test_how_many_jobs_fit_depends_on_the_limit() -> None:
    assert "-j16`" in memory("make -j64", 8 * GIB)
    assert "-j1`" in memory("make -j64", 256 * MIB)
    assert "-j4`" in memory("make -j64", None)


def test_other_causes() -> None:
    command = classify(("bash", "-c", "make -j64"))
    assert "-j4" in advise(Cause.PROCESSES, command, Limits(memory_max_bytes=2 * GIB), None)
    assert advise(Cause.PROCESSES, classify(("x",)), Limits(), None) == "Start fewer processes at once."
    assert "nohup" in advise(Cause.TIME, command, Limits(), None)


@pytest.mark.parametrize(
    ("peak", "own", "budget", "hint"),
    [
        (GIB, GIB, 8 * GIB, "AGENT_RESOURCE_HINT=memory:1536m"),
        (2 * GIB, None, 8 * GIB, "AGENT_RESOURCE_HINT=memory:3g"),
        (100 * MIB, None, 8 * GIB, "AGENT_RESOURCE_HINT=memory:192m"),
        (3 * GIB, None, 4 * GIB, "AGENT_RESOURCE_HINT=memory:4g"),
        (3 * GIB, None, 4 * GIB - 100 * MIB, ""),  # 3.5 GiB would be hardly more
        (GIB, None, 1500 * MIB, ""),
        (4 * GIB, None, 4 * GIB, ""),
        (None, GIB, 8 * GIB, "AGENT_RESOURCE_HINT=memory:1536m"),
        (None, None, 8 * GIB, ""),
        (GIB, GIB, None, ""),
        (MIB, None, 32 * MIB, ""),
    ],
)
def test_the_hint_to_declare_fits_into_the_budget(
    peak: int | None, own: int | None, budget: int | None, hint: str
) -> None:
    assert hint_to_declare(peak, Limits(memory_max_bytes=own), budget) == hint


@given(st.text(), st.sampled_from(Cause), st.one_of(st.none(), st.integers(1, 1 << 45)))
def test_advice_is_there_for_every_command(text: str, cause: Cause, limit: int | None) -> None:
    for words in (text, f"pytest {text}", f"make -j{text}", f"cargo {text}", f"npm {text}", f"python -c {text}"):
        sentence = advise(cause, classify(("sh", "-c", words)), Limits(memory_max_bytes=limit), limit)
        assert sentence.isprintable()
        assert sentence.endswith(".")
        assert 10 < len(sentence) < 220


def test_every_kind_has_advice() -> None:
    assert {classify(("sh", "-c", text)).kind for text in ("ls", "git log", "make", "pytest", "npm ci", "x")} <= set(
        Kind
    )


@given(st.lists(st.tuples(st.integers(0, 9), st.text(max_size=300))), st.integers(1, PROSE_MAX))
def test_what_is_fitted_fits(sentences: list[tuple[int, str]], limit: int) -> None:
    assert len(fit(sentences, limit)) <= limit


@given(st.text(), st.integers(1, 100))
def test_clean_text_is_short_and_printable(text: str, limit: int) -> None:
    assert len(clean(text, limit)) <= limit
    assert clean(text, limit).isprintable()
