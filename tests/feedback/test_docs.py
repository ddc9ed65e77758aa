"""What the reference shows as texts and advice is what an agent gets."""

from __future__ import annotations

import re
from pathlib import Path

from agentcgroup.commands import classify
from agentcgroup.feedback.advice import Cause, advise
from agentcgroup.model import Limits
from tests.feedback import golden
from tests.feedback.cases import GIB

REFERENCE = Path(__file__).parents[2] / "docs/reference/feedback.md"


def test_every_text_in_the_reference_is_a_golden_one() -> None:
    lines = {line for name in golden.names() for line in (golden.FOLDER / f"{name}.txt").read_text().splitlines()}
    shown = re.findall(
        r"^    ((?:agentcgroup: |agentcgroup-feedback: |AGENTCGROUP_BUDGET=).*)$", REFERENCE.read_text(), re.M
    )
    assert len(shown) > 20
    assert set(shown) <= lines


def test_the_advice_in_the_reference_is_what_is_given() -> None:
    advice = re.findall(
        r"^\| `(.+?)` \| ([A-Z].*\.) \|$", REFERENCE.read_text().partition("## Advice")[2], re.MULTILINE
    )
    limits = Limits(memory_max_bytes=GIB)
    given = [(command, advise(Cause.MEMORY, classify(("bash", "-c", command)), limits, None)) for command, _ in advice]
    assert len(advice) > 20
    assert given == advice
