"""Reads the log of a Claude Code session: as it was written (``trace.jsonl``) and as packed (``trace_slim.json``)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from agentcgroup.study.load import files
from agentcgroup.study.load.fields import Json, flag, integer, items, mapping, text
from agentcgroup.study.load.values import parse_instant
from agentcgroup.trace.text import utf8

SUB_AGENT_TOOLS = frozenset(("Task", "Agent"))


@dataclass(slots=True)
class Use:
    """A call as the log has it. Instants are Unix seconds."""

    id: str
    tool: str
    start: float
    end: float | None = None
    sidechain: bool | None = None
    is_error: bool | None = None
    input: Json = field(default_factory=dict)


@dataclass(slots=True)
class Transcript:
    """Records in order of their instants (columns of `schema.MESSAGES`, ``epoch`` for ``t_s``), and the calls."""

    records: list[dict[str, object]] = field(default_factory=list)
    uses: dict[str, Use] = field(default_factory=dict)
    first: float | None = None  # Unix seconds of the first and the last record
    last: float | None = None
    unsorted: int = 0
    without_time: int = 0
    unreadable: int = 0
    truncated: bool = False
    marks_sidechains: bool = False


def read_transcript(path: Path) -> Transcript:
    """The log at ``path``; TraceError when the file cannot be read in full."""
    transcript = Transcript()
    entries = _packed(path) if path.name.startswith("trace_slim") else _lines(path, transcript)
    timed: list[tuple[float, Json]] = []
    for entry in entries:
        record = mapping(entry)
        stamp = text(record, "ts", "timestamp")
        if not record or (stamp is None and "type" not in record):
            transcript.unreadable += 1
        elif stamp is None:
            transcript.without_time += 1
        else:
            try:
                timed.append((parse_instant(stamp), record))
            except ValueError:
                transcript.unreadable += 1
    transcript.unsorted = sum(after[0] < before[0] for before, after in pairwise(timed))
    timed.sort(key=lambda pair: pair[0])
    if timed:
        transcript.first, transcript.last = timed[0][0], timed[-1][0]
    seen: set[str] = set()
    for epoch, record in timed:
        _add(transcript, epoch, record, seen)
    # Packed logs mark sub-agents only: what has no mark is the agent itself, if some have one or there is no sub-agent.
    if transcript.marks_sidechains or not any(use.tool in SUB_AGENT_TOOLS for use in transcript.uses.values()):
        for row in transcript.records:
            row["sidechain"] = row["sidechain"] or False
    return transcript


def _packed(path: Path) -> list[object]:
    return items(files.read_json(path))


def _lines(path: Path, transcript: Transcript) -> Iterator[object]:
    lines = files.read_bytes(path).split(b"\n")
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):
            if number == len(lines) - 1:  # the agent was killed while it wrote
                transcript.truncated = True
            else:
                transcript.unreadable += 1


def _add(transcript: Transcript, epoch: float, record: Json, seen: set[str]) -> None:
    """One record with its instant: a row of messages, and what it says of calls."""
    inner = mapping(record.get("message"))
    message = text(record, "mid") or text(inner, "id")
    usage = mapping(record.get("usage") or inner.get("usage"))
    sidechain = flag(record, "side") if "side" in record else flag(record, "isSidechain")
    transcript.marks_sidechains |= sidechain is not None
    uses, results = _blocks(record, inner)
    for id_, tool, given in uses:
        transcript.uses.setdefault(id_, Use(id_, tool, epoch, sidechain=sidechain, input=given))
    for id_, failed in results:
        use = transcript.uses.get(id_)
        if use is not None and use.end is None:
            use.end, use.is_error = epoch, failed
    transcript.records.append(
        {
            "epoch": epoch,
            "type": text(record, "type"),
            "model": text(record, "model") or text(inner, "model"),
            "message": message,
            "first": message is None or message not in seen,
            "sidechain": sidechain,
            "input_tokens": integer(usage, "input_tokens"),
            "output_tokens": integer(usage, "output_tokens"),
            "cache_creation_tokens": integer(usage, "cache_creation_input_tokens"),
            "cache_read_tokens": integer(usage, "cache_read_input_tokens"),
            "tool_uses": len(uses),
        }
    )
    if message is not None:
        seen.add(message)


def _blocks(record: Json, inner: Json) -> tuple[list[tuple[str, str, Json]], list[tuple[str, bool | None]]]:
    """``(id, tool, input)`` of the calls that a record begins, and ``(id, failed)`` of those that it ends."""
    uses: list[tuple[str, str, Json]] = []
    results: list[tuple[str, bool | None]] = []
    for pair in items(record.get("tool_use")):
        match pair:
            case [str(id_), str(tool)]:
                uses.append((utf8(id_), utf8(tool), {}))
    results += [(utf8(id_), None) for id_ in items(record.get("tool_result")) if isinstance(id_, str)]
    for block in map(mapping, items(inner.get("content"))):
        kind = block.get("type")
        if kind == "tool_use" and (use := text(block, "id")) and (name := text(block, "name")):
            uses.append((use, name, mapping(block.get("input"))))
        elif kind == "tool_result" and (use := text(block, "tool_use_id")):
            results.append((use, flag(block, "is_error") or False))
    return uses, results
