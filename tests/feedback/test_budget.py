"""What an agent is told when its session starts."""

from __future__ import annotations

import pytest

from agentcgroup.feedback.budget import BudgetText, budget_text
from tests.feedback import golden

GIB = 1 << 30

TEXTS: dict[str, BudgetText] = {
    "budget": budget_text(budget_bytes=4 * GIB, call_bytes=GIB, pids_max=512, timeout_s=600.0),
    "budget-memory-only": budget_text(budget_bytes=2 * GIB),
    "budget-none": budget_text(budget_bytes=None),
}


@pytest.mark.parametrize("name", TEXTS)
def test_golden_texts(name: str) -> None:
    text = TEXTS[name]
    golden.compare(name, f"AGENTCGROUP_BUDGET={text.line}\n\n{text.body}")
    assert text.line.isprintable()
    assert len(text.line) < 250
    assert text.body.startswith(text.line.split(" Declare")[0])
    assert text.body.endswith("\n")


def test_the_example_fits_into_a_small_budget() -> None:
    assert "memory:128m" in budget_text(budget_bytes=GIB // 2).line
