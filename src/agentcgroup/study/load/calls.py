"""The calls of a published run, from its list of calls and the log of the agent."""

from __future__ import annotations

from collections.abc import Sequence

from agentcgroup.study.load.commands import describe
from agentcgroup.study.load.fields import Json, flag, integer, mapping, text
from agentcgroup.study.load.transcript import SUB_AGENT_TOOLS, Transcript, Use
from agentcgroup.study.load.values import parse_instant
from agentcgroup.study.oddities import Oddities

SHELL_TOOL = "Bash"
# They wait for the calls of a sub-agent or for a command in the background: their time is not work of their own.
WAITING_TOOLS = SUB_AGENT_TOOLS | {"TaskOutput", "AgentOutput"}


def read_calls(
    listed: Sequence[object] | None, log: Transcript | None, run: str, oddities: Oddities
) -> list[dict[str, object]]:
    """Rows of `schema.CALLS` in order of their starts, instants in Unix seconds.

    ``listed`` is the content of tool_calls.json (None: no such file). What it lacks comes from ``log``.
    """
    uses = log.uses if log else {}
    if listed is None:
        oddities.add("no list of calls", run, len(uses), "taken from the log" if uses else "")
        rows = [_from_log(use) for use in uses.values()]
    else:
        rows = _from_list(listed, uses, run, oddities)
    rows.sort(key=lambda row: (_instant(row, "start_s"), str(row["call"])))
    # Only sub-agents are marked. Where there is none, or some of theirs are, an unmarked call is the agent's own.
    told = log is not None and (any(row["sidechain"] for row in rows) or not _agents(rows))
    for position, row in enumerate(rows):
        row["position"] = position
        if row["end_s"] is None:
            oddities.add("call without end", run, 1, str(row["call"]))
        elif _instant(row, "end_s") < _instant(row, "start_s"):
            oddities.add("call ends before it starts", run, 1, str(row["call"]))
        else:
            row["duration_s"] = _instant(row, "end_s") - _instant(row, "start_s")
        if row["sidechain"] is None and told:
            row["sidechain"] = False
    _find_parents(rows, run, oddities)
    return rows


def _from_list(listed: Sequence[object], uses: dict[str, Use], run: str, oddities: Oddities) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    rebuilt = 0
    for entry in map(mapping, listed):
        row = _row(entry)
        if row is None:
            oddities.add("call unreadable", run)
            continue
        use = uses.get(str(row["call"]))
        if use is not None:
            if row["end_s"] is None and use.end is not None:
                row["end_s"] = use.end
                rebuilt += 1
            if row["is_error"] is None:
                row["is_error"] = use.is_error
            if row["sidechain"] is None:
                row["sidechain"] = use.sidechain
            if row["shell"] and row.get("command") is None:
                row |= _shell(use.input)
        rows.append(row)
    oddities.add("call times rebuilt", run, rebuilt)
    return rows


def _row(entry: Json) -> dict[str, object] | None:
    id_, tool, begin = text(entry, "id"), text(entry, "tool"), text(entry, "timestamp")
    derived = mapping(entry.get("derived"))
    try:
        if id_ is None or tool is None or begin is None:
            return None
        start, end = parse_instant(begin), text(entry, "end_timestamp")
        end_s = parse_instant(end) if end is not None else None
    except ValueError:
        return None
    row = _new(
        id_, tool, start, end_s, flag(entry, "sidechain"), flag(derived, "is_error"), mapping(entry.get("input"))
    )
    row["exit_code"] = integer(derived, "exit_code", 31)
    return row


def _from_log(use: Use) -> dict[str, object]:
    return _new(use.id, use.tool, use.start, use.end, use.sidechain, use.is_error, use.input)


def _new(
    id_: str, tool: str, start: float, end: float | None, sidechain: bool | None, failed: bool | None, given: Json
) -> dict[str, object]:
    row: dict[str, object] = {
        "call": id_,
        "tool": tool,
        "shell": tool == SHELL_TOOL,
        "start_s": start,
        "end_s": end,
        "duration_s": None,
        "sidechain": sidechain,
        "is_error": failed,
        "leaf": tool not in WAITING_TOOLS,
    }
    return row | (_shell(given) if tool == SHELL_TOOL else {})


def _shell(given: Json) -> dict[str, object]:
    command = text(given, "command")
    if command is None:
        return {"command": None}
    return describe(command) | {"background": flag(given, "run_in_background") or False}


def _find_parents(rows: list[dict[str, object]], run: str, oddities: Oddities) -> None:
    """The sub-agent call that encloses each marked call, where it is the only one that does."""
    agents = _agents(rows)
    for row in rows:
        row["parent"] = None
        if not row["sidechain"]:
            continue
        around = [
            agent["call"]
            for agent in agents
            if _instant(agent, "start_s") <= _instant(row, "start_s")
            and (agent["end_s"] is None or _instant(row, "start_s") <= _instant(agent, "end_s"))
        ]
        if len(around) == 1:
            row["parent"] = around[0]
        else:
            oddities.add("sub-agent not clear", run, 1, f"{row['call']} in {len(around)}")


def _agents(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [row for row in rows if row["tool"] in SUB_AGENT_TOOLS]


def _instant(row: dict[str, object], name: str) -> float:
    value = row[name]
    return value if isinstance(value, float) else float("inf")
