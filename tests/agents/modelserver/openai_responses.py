"""OpenAI Responses: POST /v1/responses, without state on the server (the client sends the whole history)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from tests.agents.modelserver.script import Asked, Malformed, Turn, call_id, check_results, need, turn_of

Event = tuple[str, dict[str, Any]]


def read(body: dict[str, Any], script: Sequence[Turn]) -> Asked:
    """What the request asks; checks items, ids, and that the history is the script so far."""
    if body.get("previous_response_id"):
        raise Malformed("this server keeps no responses: previous_response_id cannot be used")
    items = need(body.get("input"), list, "input")
    tools = frozenset(_tool_name(tool) for tool in body.get("tools") or ())
    said: dict[str, tuple[str, Any]] = {}
    results: dict[str, str] = {}
    for item in items:
        kind = item.get("type", "message")
        if kind == "function_call":
            arguments = json.loads(need(item["arguments"], str, "arguments of a call"))
            said[need(item["call_id"], str, "call_id")] = (item["name"], arguments)
        elif kind == "function_call_output":
            results[need(item["call_id"], str, "call_id")] = _text(item["output"])
        elif kind == "message" and item.get("role") not in ("user", "assistant", "system", "developer"):
            raise Malformed(f"role {item.get('role')!r}")
    turns = max((turn_of(identifier) + 1 for identifier in said), default=0)
    if tools:
        _check_said(script, turns, said)
        check_results(script, turns, results)
    return Asked(tools, turns, results, bool(body.get("stream")), str(need(body.get("model"), str, "model")))


def _tool_name(tool: dict[str, Any]) -> str:
    kind = need(tool.get("type"), str, "type of a tool")
    if kind == "function":
        need(tool.get("parameters"), dict, "parameters of a tool")
    return str(tool.get("name", kind))  # a hosted tool has a type and no name


def _text(output: Any) -> str:
    if isinstance(output, str):
        return output
    return "".join(part.get("text", "") for part in need(output, list, "output of a call"))


def _check_said(script: Sequence[Turn], turns: int, said: dict[str, tuple[str, Any]]) -> None:
    if turns > len(script):
        raise Malformed(f"the history has more than the {len(script)} turns of the script")
    wanted = {
        call_id(turn, index): (call.name, dict(call.arguments))
        for turn in range(turns)
        for index, call in enumerate(script[turn].calls)
    }
    if said != wanted:
        raise Malformed(f"the calls were {wanted}, the client has {said}")


def _items(turn: Turn, number: int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if turn.text:
        content = [{"type": "output_text", "text": turn.text, "annotations": []}]
        items.append(
            {"type": "message", "id": f"msg_{number:04d}", "role": "assistant", "status": "completed"}
            | {"content": content}
        )
    for index, call in enumerate(turn.calls):
        identifier = call_id(number, index)
        items.append(
            {"type": "function_call", "id": f"fc_{identifier}", "call_id": identifier, "status": "completed"}
            | {"name": call.name, "arguments": json.dumps(dict(call.arguments))}
        )
    return items


def answer(turn: Turn, asked: Asked) -> dict[str, Any]:
    """The whole response."""
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    return {
        "id": f"resp_{asked.turns:04d}",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": "completed",
        "model": asked.model,
        "output": _items(turn, asked.turns),
        "usage": {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120} | details,
    }


def stream(turn: Turn, asked: Asked) -> Iterator[Event]:
    """The response as server-sent events: (event name, data)."""
    for number, (name, data) in enumerate(_events(answer(turn, asked))):
        yield name, {"type": name, "sequence_number": number} | data


def _events(whole: dict[str, Any]) -> Iterator[Event]:
    yield "response.created", {"response": whole | {"status": "in_progress", "output": [], "usage": None}}
    for index, item in enumerate(whole["output"]):
        at = {"output_index": index}
        if item["type"] == "message":
            text = item["content"][0]["text"]
            part = at | {"item_id": item["id"], "content_index": 0}
            yield "response.output_item.added", at | {"item": item | {"content": [], "status": "in_progress"}}
            yield "response.output_text.delta", part | {"delta": text}
            yield "response.output_text.done", part | {"text": text}
        else:
            call = at | {"item_id": item["id"]}
            yield "response.output_item.added", at | {"item": item | {"arguments": "", "status": "in_progress"}}
            yield "response.function_call_arguments.delta", call | {"delta": item["arguments"]}
            yield "response.function_call_arguments.done", call | {"arguments": item["arguments"]}
        yield "response.output_item.done", at | {"item": item}
    yield "response.completed", {"response": whole}
