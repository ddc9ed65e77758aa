"""The report as Markdown, with links to the figures beside it."""

from __future__ import annotations

import re

from agentcgroup.study.report.content import Content
from agentcgroup.study.report.tables import Grid

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#])")


def render(content: Content) -> str:
    """The file; all numbers are in numbers.csv and not here."""
    parts = [f"# {_text(content.title)}", _text(content.summary), "## Findings"]
    for finding in content.findings:
        parts.append(f"### {_text(finding.title)}")
        parts.append("\n".join(f"- **{_text(of)}**: {_text(sentence)}" for of, sentence in finding.sentences))
    for grid in content.tables:
        parts += _table(grid)
    if content.plates:
        parts.append("## Figures")
    for number, plate in enumerate(content.plates, 1):
        parts.append(f"![{_text(plate.title)}](figures/{plate.name}.svg)")
        parts.append(f"**Figure {number}. {_text(plate.title)}.** {_text(plate.caption)}")
    if content.oddities.rows:
        parts += _table(content.oddities)
    parts.append("All numbers, with their intervals, are in `numbers.csv` and `numbers.json`.")
    return "\n\n".join(parts) + "\n"


def _table(grid: Grid) -> list[str]:
    lines = [
        _row(grid.columns),
        _row(tuple("---" for _ in grid.columns)),
        *(_row(tuple(map(_cell, row))) for row in grid.rows),
    ]
    return [f"## {_text(grid.title)}", *([_text(grid.note)] if grid.note else []), "\n".join(lines)]


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return "<br>".join(_text(line) for line in text.split("\n"))


def _text(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
