from __future__ import annotations

from pathlib import Path

from agentcgroup.study import schema
from agentcgroup.study.metrics import METRICS

REFERENCE = Path(__file__).parents[2] / "docs/reference"


def test_the_reference_describes_every_column_as_the_schema_does() -> None:
    text = (REFERENCE / "study-data.md").read_text()
    _, *parts = text.split("\n## ")
    assert [part.split("\n")[0] for part in parts] == list(schema.FRAMES)
    for part, columns in zip(parts, schema.FRAMES.values(), strict=True):
        rows = [line.split(" | ") for line in part.splitlines() if line.startswith("| `")]
        told = [(row[0].strip("| `"), row[2].strip(), row[3], row[4], row[5].removesuffix(" |")) for row in rows]
        assert told == [(c.name, c.unit, c.meaning, c.recorded, c.published) for c in columns]


def test_the_reference_lists_every_metric() -> None:
    text = (REFERENCE / "study.md").read_text()
    assert [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")] == [m.name for m in METRICS]


def test_fit_fills_with_null_and_orders() -> None:
    fitted = schema.fit(schema.empty(schema.CALLS).select("tool", "call"), schema.CALLS)
    assert fitted.schema == schema.empty(schema.CALLS).schema
