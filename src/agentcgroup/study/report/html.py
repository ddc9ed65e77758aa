"""The report as one HTML file: its figures are in it, and it asks the network for nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape

from agentcgroup.study.report.content import Content, Plate
from agentcgroup.study.report.tables import Grid

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1b1b1b;background:#fff;max-width:72rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem}h2{font-size:1.25rem;margin-top:2.2rem;border-bottom:1px solid #ccc}
h3{font-size:1rem;margin:1rem 0 .2rem}
ul{margin:.2rem 0}.plates{display:grid;grid-template-columns:repeat(auto-fill,minmax(21rem,1fr));gap:1.5rem}
figure{margin:0}figure svg{width:100%;height:auto}figcaption{font-size:.85rem;color:#333}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.8rem}
th,td{text-align:left;vertical-align:top;padding:.2rem .6rem .2rem 0;border-bottom:1px solid #ddd}
td{min-width:4rem}details{margin:.4rem 0}summary{cursor:pointer}.note{color:#444;font-size:.9rem}
"""
_PROLOGUE = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_IDS = re.compile(r'(\bid="|\bhref="#|url\(#)')
_NAMESPACES = re.compile(r'\s+xmlns:xlink="[^"]*"|\s+xmlns="[^"]*"')


def render(content: Content, drawings: Mapping[str, str]) -> str:
    """The page. ``drawings`` are the figures as SVG, by name."""
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(content.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
        f"<h1>{escape(content.title)}</h1>\n<p>{escape(content.summary)}</p>",
        "<h2>Findings</h2>",
    ]
    for finding in content.findings:
        sentences = "".join(f"<li><b>{escape(of)}</b>: {escape(text)}</li>" for of, text in finding.sentences)
        parts.append(f"<h3>{escape(finding.title)}</h3>\n<ul>{sentences}</ul>")
    parts += [_table(grid) for grid in content.tables]
    if content.plates:
        figures = "\n".join(
            _figure(plate, number, drawings[plate.name]) for number, plate in enumerate(content.plates, 1)
        )
        parts.append(f'<h2>Figures</h2>\n<div class="plates">\n{figures}\n</div>')
    if content.oddities.rows:
        parts.append(_table(content.oddities))
    parts.append("<h2>All numbers</h2>")
    for one in content.appendix:
        parts.append(
            f"<details><summary>{escape(one.title)}</summary>"
            f'<p class="note">{escape(one.definition)}</p>{_rows(one.numbers)}</details>'
        )
    return "\n".join([*parts, "</body>\n</html>\n"])


def _table(grid: Grid) -> str:
    note = f'<p class="note">{escape(grid.note)}</p>' if grid.note else ""
    return f"<h2>{escape(grid.title)}</h2>\n{note}{_rows(grid)}"


def _rows(grid: Grid) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in grid.columns)
    body = "\n".join("<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>" for row in grid.rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def _cell(text: str) -> str:
    return escape(text).replace("\n", "<br>")


def _figure(plate: Plate, number: int, drawing: str) -> str:
    caption = f"<b>Figure {number}. {escape(plate.title)}.</b> {escape(plate.caption)}"
    return f'<figure id="{plate.name}">\n{inline(drawing, plate)}\n<figcaption>{caption}</figcaption>\n</figure>'


def inline(drawing: str, plate: Plate) -> str:
    """An SVG file as a part of a page: no prologue, no metadata, and ids that no other figure of the page has."""
    text = _METADATA.sub("", _PROLOGUE.sub("", drawing, count=1))
    # A page knows the namespaces of its own accord; href without one is SVG 2, which all browsers read.
    text = _NAMESPACES.sub("", text).replace("xlink:href=", "href=")
    text = _IDS.sub(lambda found: f"{found[1]}{plate.name}-", text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{escape(plate.title)}" ', 1).strip()
