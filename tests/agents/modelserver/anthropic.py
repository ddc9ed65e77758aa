"""Anthropic Messages: POST /v1/messages, and /v1/messages/count_tokens beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from tests.agents.modelserver.script import Asked, Malformed, Turn, call_id, check_results, need

Event = tuple[str, dict[str, Any]]


def read(body: dict[str, Any], script: Sequence[Turn]) -> Asked:
    """What the request asks; checks roles, ids, and that the history is the script so far."""
    need(body.get("max_tokens"), int, "max_tokens")
    messages = need(body.get("messages"), list, "messages")
    if not messages or messages[0].get("role") != "user":
        raise Malformed("the first message is not the user's")
    tools = frozenset(_tool_name(tool) for tool in body.get("tools") or ())
    turns, results = 0, dict[str, str]()
    for message in messages:
        blocks = _blocks(message)
        if message["role"] == "assistant":
            if tools:
                _check_said(script, turns, blocks)
            turns += 1
        for block in blocks:
            if block["type"] == "tool_result":
                results[_plain(block["tool_use_id"])] = _text(block.get("content", ""))
    if tools:
        check_results(script, turns, results)
    return Asked(tools, turns, results, bool(body.get("stream")), str(need(body.get("model"), str, "model")))


def _tool_name(tool: dict[str, Any]) -> str:
    if "type" not in tool or tool["type"] == "custom":  # a server tool has a dated type and no schema
        need(tool.get("input_schema"), dict, "input_schema of a tool")
    return str(need(tool.get("name"), str, "name of a tool"))


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    if message.get("role") not in ("user", "assistant", "system"):
        raise Malformed(f"role {message.get('role')!r}")
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    blocks = need(content, list, "content of a message")
    for block in blocks:
        need(block.get("type"), str, "type of a content block")
    return list(blocks)


def _check_said(script: Sequence[Turn], turn: int, blocks: list[dict[str, Any]]) -> None:
    if turn >= len(script):
        raise Malformed(f"the history has more than the {len(script)} turns of the script")
    said = [(_plain(block["id"]), block["name"]) for block in blocks if block["type"] == "tool_use"]
    wanted = [(call_id(turn, index), call.name) for index, call in enumerate(script[turn].calls)]
    if said != wanted:
        raise Malformed(f"turn {turn} was {wanted}, the client has {said}")


def _plain(identifier: str) -> str:
    return identifier.removeprefix("toolu_")


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


def _content(turn: Turn, number: int) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = [{"type": "text", "text": turn.text}] if turn.text else []
    for index, call in enumerate(turn.calls):
        identifier = f"toolu_{call_id(number, index)}"
        blocks.append({"type": "tool_use", "id": identifier, "name": call.name, "input": dict(call.arguments)})
    return blocks


def answer(turn: Turn, asked: Asked) -> dict[str, Any]:
    """The whole message."""
    return {
        "id": f"msg_{asked.turns:04d}",
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "content": _content(turn, asked.turns),
        "stop_reason": "tool_use" if turn.calls else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 100, "output_tokens": 20},
    }


def stream(turn: Turn, asked: Asked) -> Iterator[Event]:
    """The message as server-sent events: (event name, data)."""
    whole = answer(turn, asked)
    start = whole | {"content": [], "stop_reason": None, "usage": {"input_tokens": 100, "output_tokens": 1}}
    yield "message_start", {"type": "message_start", "message": start}
    for index, block in enumerate(whole["content"]):
        if block["type"] == "text":
            empty, delta = block | {"text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            empty = block | {"input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        yield "content_block_start", {"type": "content_block_start", "index": index, "content_block": empty}
        yield "content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta}
        yield "content_block_stop", {"type": "content_block_stop", "index": index}
    end = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield "message_delta", {"type": "message_delta", "delta": end, "usage": {"output_tokens": 20}}
    yield "message_stop", {"type": "message_stop"}
