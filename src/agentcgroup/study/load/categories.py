"""The published classes of shell commands: regular expressions over the lower-cased text, the first match counts.

Kept to compare with `agentcgroup.commands`, which looks at the programs that run: this rule takes
``grep pytest setup.cfg`` and any here-document with the word for a test.
"""

from __future__ import annotations

import re

_RULES = {
    "Test": re.compile(r"\bpytest\b|\bpython\s+-m\s+pytest\b|\btox\b|\bnose\b|\bunittest\b"),
    "Git": re.compile(r"\bgit\s+(diff|log|status|show|add|commit|checkout|stash|branch|reset)\b"),
    "Package": re.compile(r"\bpip\s+install\b|\bconda\s+install\b|\bapt\b|\byum\b"),
    "File": re.compile(r"\bls\b|\bfind\b|\btree\b|\bwc\b|\bdu\b|\bdf\b"),
    "PySnippet": re.compile(r"\bpython3?\s+-c\b"),
    "PyRun": re.compile(r"\bpython3?\b"),
    "Text": re.compile(r"\b(cat|head|tail|grep|sed|awk)\b"),
    "Shell": re.compile(r"\b(cd|source|export|chmod|mkdir)\b"),
}
OTHER = "Other"
_TIME_ORDER = ("Test", "Git", "Package", "File", "PySnippet", "PyRun", "Text", "Shell")
_SPIKE_ORDER = ("Test", "Package", "Git", "PySnippet", "PyRun", "File", "Text", "Shell")
CATEGORIES = (*_TIME_ORDER, OTHER)


def categories(command: str) -> tuple[str, str]:
    """The class of a command by the order of the time figure, and by that of the spike analysis."""
    text = command.lower()
    matches = {name for name, rule in _RULES.items() if rule.search(text)}
    return _first(_TIME_ORDER, matches), _first(_SPIKE_ORDER, matches)


def _first(order: tuple[str, ...], matches: set[str]) -> str:
    return next((name for name in order if name in matches), OTHER)
