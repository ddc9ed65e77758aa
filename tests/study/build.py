"""Small runs in the published format, written as its harness did: plain or packed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

BEGIN = 1_770_284_609.0  # Unix seconds of the first sample
Json = dict[str, object]


def stamp(t: float) -> str:
    """The instant ``t`` seconds after the first sample, as the agent's log writes it."""
    return datetime.fromtimestamp(BEGIN + t, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def sample(t: float, memory: str = "186MB / 134.5GB", cpu: str = "10.00%", zone_h: float = -8) -> Json:
    """One sample, its naive local time ``zone_h`` hours ahead of UTC."""
    local = datetime.fromtimestamp(BEGIN + t + zone_h * 3600, UTC).replace(tzinfo=None)
    return {"timestamp": local.isoformat(), "epoch": BEGIN + t, "mem_usage": memory, "cpu_percent": cpu}


def samples(count: int = 80, step: float = 1.0) -> list[Json]:
    """Samples of an agent that idles at 186 MB."""
    return [sample(n * step) for n in range(count)]


def call(
    id_: str, start: float, end: float | None, tool: str = "Bash", command: str = "pytest -q", **more: object
) -> Json:
    """One entry of tool_calls.json."""
    entry: Json = {"timestamp": stamp(start), "tool": tool, "id": id_, **more}
    entry["input"] = {"command": command} if tool == "Bash" else {}
    if end is not None:
        entry["end_timestamp"] = stamp(end)
    return entry


def packed_log(calls: Iterable[Json], first: float = 2.0, last: float = 78.0) -> list[Json]:
    """trace_slim.json for these calls: each begun by a message of its own and ended by a result."""
    records: list[tuple[str, Json]] = [
        (stamp(first), {"type": "user"}),
        (stamp(last), {"type": "assistant", "mid": "last"}),
    ]
    for entry in calls:
        begin: Json = {
            "type": "assistant",
            "mid": f"m-{entry['id']}",
            "model": "small",
            "tool_use": [[entry["id"], entry["tool"]]],
        }
        begin["usage"] = {"input_tokens": 10, "output_tokens": 5}
        records.append((str(entry["timestamp"]), begin | ({"side": True} if entry.get("sidechain") else {})))
        if "end_timestamp" in entry:
            records.append((str(entry["end_timestamp"]), {"type": "user", "tool_result": [entry["id"]]}))
    return [{"ts": ts, **record} for ts, record in sorted(records, key=lambda pair: pair[0])]


def original_log(calls: Iterable[Json]) -> str:
    """trace.jsonl for these calls, as Claude Code writes it."""
    lines: list[Json] = [{"type": "summary", "summary": "a task"}, {"type": "user", "timestamp": stamp(2)}]
    for entry in calls:
        use = {"type": "tool_use", "id": entry["id"], "name": entry["tool"], "input": entry["input"]}
        message = {"id": f"m-{entry['id']}", "model": "small", "usage": {"output_tokens": 5}, "content": [use]}
        side = bool(entry.get("sidechain"))
        lines.append({"type": "assistant", "timestamp": entry["timestamp"], "isSidechain": side, "message": message})
        result = {"type": "tool_result", "tool_use_id": entry["id"], "is_error": entry["id"] == "failed"}
        if "end_timestamp" in entry:
            lines.append({"type": "user", "timestamp": entry["end_timestamp"], "message": {"content": [result]}})
    return "\n".join(json.dumps(line) for line in lines) + "\n"


def results(**more: object) -> Json:
    """results.json of a run of 100 s."""
    return {"image": "img", "claude_time": 100.0, "pull_time": 1.0, "exit_code": 0, "memory_limit": None, **more}


def write_run(
    folder: Path,
    calls: Sequence[Json] = (),
    taken: Sequence[Json] | None = None,
    *,
    log: bool = True,
    listed: bool = True,
    **more: object,
) -> Path:
    """A packed run below ``folder``; ``more`` goes into results.json."""
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(results(**more)))
    pack(folder / "resources.json.gz", {"samples": samples() if taken is None else list(taken)})
    if listed:
        pack(folder / "tool_calls.json.gz", list(calls))
    if log:
        pack(folder / "trace_slim.json.gz", packed_log(calls))
    return folder


def pack(path: Path, value: object) -> None:
    """Write ``value`` as compressed JSON."""
    path.write_bytes(gzip.compress(json.dumps(value).encode()))
