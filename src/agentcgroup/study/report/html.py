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
ul{margin:.2rem 0}.plates{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(21rem,100%),1fr));gap:1.5rem}
figure{margin:0;break-inside:avoid}figure svg{width:100%;height:auto}figcaption{font-size:.85rem;color:#333}
.wide{overflow-x:auto;background:linear-gradient(90deg,#fff 1.5rem,#fff0) 0 0/3rem 100% no-repeat local,
linear-gradient(270deg,#fff 1.5rem,#fff0) 100% 0/3rem 100% no-repeat local,
linear-gradient(90deg,#0003,#0000) 0 0/.7rem 100% no-repeat,
linear-gradient(270deg,#0003,#0000) 100% 0/.7rem 100% no-repeat}
table{border-collapse:collapse;font-size:.8rem}
th,td{text-align:left;vertical-align:top;padding:.2rem .9rem .2rem 0;border-bottom:1px solid #ddd}
td{min-width:4rem}td p{margin:0}td p+p{margin-top:.35rem}.q{white-space:nowrap}
details{margin:.4rem 0}summary{cursor:pointer}.note{color:#444;font-size:.9rem}
@media(max-width:44rem){ul{padding-left:1.2rem}
.prose thead{display:none}.prose tr{display:block;padding:.5rem 0;border-bottom:1px solid #bbb}
.prose td{display:block;padding:.1rem 0;border:0}.prose td:empty{display:none}.prose td:first-child{font-weight:bold}
.prose td+td::before{content:attr(data-name) ": ";color:#555}}
"""
# Values with their unit, n, and intervals: a line does not break within them.
_KEPT = re.compile(
    r"n = \d+|[-+]?\d[\d.,]* (?:%|[kMGT]?B(?:/s)?|m?s|min|h|cores(?:/s)?)(?![\w/])|\([-+]?[\d.]+ to [-+]?[\d.]+\)"
)
_PROLOGUE = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_IDS = re.compile(r'(\bid="|\bhref="#|url\(#)')
_NAMESPACES = re.compile(r'\s+xmlns:xlink="[^"]*"|\s+xmlns="[^"]*"')


def render(content: Content, drawings: Mapping[str, str]) -> str:
    """The page. ``drawings`` are the figures as SVG, by name."""
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light">',  # the figures are drawn for white paper
        f"<title>{escape(content.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
        f"<h1>{escape(content.title)}</h1>\n<p>{escape(content.summary)}</p>",
        "<h2>Findings</h2>",
    ]
    for finding in content.findings:
        sentences = "".join(f"<li><b>{escape(of)}</b>: {_text(text)}</li>" for of, text in finding.sentences)
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
    note = f'<p class="note">{_text(grid.note)}</p>' if grid.note else ""
    return f"<h2>{escape(grid.title)}</h2>\n{note}{_rows(grid)}"


def _rows(grid: Grid) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in grid.columns)
    body = "\n".join(
        "<tr>" + "".join(_cell(grid, name, cell) for name, cell in zip(grid.columns, row, strict=True)) + "</tr>"
        for row in grid.rows
    )
    table = f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"
    # What can be scrolled must be reached by the keyboard as well.
    return f'<div class="prose">{table}</div>' if grid.prose else f'<div class="wide" tabindex="0">{table}</div>'


def _cell(grid: Grid, name: str, text: str) -> str:
    lines = [_text(line) for line in text.split("\n")]
    inner = "".join(f"<p>{line}</p>" for line in lines) if len(lines) > 1 else lines[0]
    return f'<td data-name="{escape(name)}">{inner}</td>' if grid.prose else f"<td>{inner}</td>"


def _text(text: str) -> str:
    """As HTML, with values and intervals kept in one line."""
    return _KEPT.sub(r'<span class="q">\g<0></span>', escape(text))


def _figure(plate: Plate, number: int, drawing: str) -> str:
    caption = f"<b>Figure {number}. {escape(plate.title)}.</b> {_text(plate.caption)}"
    return f'<figure id="{plate.name}">\n{inline(drawing, plate)}\n<figcaption>{caption}</figcaption>\n</figure>'


def inline(drawing: str, plate: Plate) -> str:
    """An SVG file as a part of a page: no prologue, no metadata, and ids that no other figure of the page has."""
    text = _METADATA.sub("", _PROLOGUE.sub("", drawing, count=1))
    # A page knows the namespaces of its own accord; href without one is SVG 2, which all browsers read.
    text = _NAMESPACES.sub("", text).replace("xlink:href=", "href=")
    text = _IDS.sub(lambda found: f"{found[1]}{plate.name}-", text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{escape(plate.title)}" ', 1).strip()
