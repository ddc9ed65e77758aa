"""Advice for snippets and scripts: those that read a file whole are told how to read it in pieces. Pure.

Looks for a few calls in the text of the snippet (`python -c`, a here-document). A script in a file is not opened.
"""

from __future__ import annotations

import re

from agentcgroup.commands import Command

_GENERIC = "Work on a part of the data at a time, and drop what is no longer needed."
_READS_WHOLE = (
    (re.compile(r"\bread_(csv|table)\("), "Read in pieces: `for part in pandas.read_csv(FILE, chunksize=100_000):`."),
    (
        re.compile(r"\bread_(parquet|json|excel|feather|pickle)\("),
        "Read only the columns and rows that are needed, or split the file first.",
    ),
    (
        re.compile(r"\b(np|numpy)\.(load|fromfile|loadtxt|genfromtxt)\("),
        'Map the array: `np.load(FILE, mmap_mode="r")`.',
    ),
    (
        re.compile(r"\bjson\.load\("),
        "Write and read one JSON object a line instead of the whole file: `for line in open(FILE):`.",
    ),
    (
        re.compile(r"\.read\(\)|\.readlines\(\)|\.read_text\(|\.read_bytes\("),
        "It reads a file whole; read it in pieces: `for line in open(FILE):`.",
    ),
    (
        re.compile(r"\breadFileSync\(|\breadFile\("),
        "It reads a file whole; read it in pieces: `readline.createInterface({input: fs.createReadStream(FILE)})`.",
    ),
    (re.compile(r"\bFile\.read\(|\bIO\.read\("), "It reads a file whole; read it in pieces: `File.foreach(FILE)`."),
)


def advise(command: Command) -> str:
    """One sentence for what an interpreter ran."""
    text = "\n".join(command.words)
    for pattern, advice in _READS_WHOLE:
        if pattern.search(text):
            return advice
    return _GENERIC
