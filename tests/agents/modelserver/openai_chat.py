"""OpenAI Chat Completions: POST /v1/chat/completions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from tests.agents.modelserver.script import Asked, Malformed, Turn, call_id, check_results, need

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})


def read(body: dict[str, Any], script: Sequence[Turn]) -> Asked:
    """What the request asks; checks roles, ids, and that the history is the script so far."""
    messages = need(body.get("messages"), list, "messages")
    if not any(message.get("role") == "user" for message in messages):
        raise Malformed("no message of the user")
    tools = frozenset(_tool_name(tool) for tool in body.get("tools") or ())
    turns, results = 0, dict[str, str]()
    for message in messages:
        role = message.get("role")
        if role not in _ROLES:
            raise Malformed(f"role {role!r}")
        if role == "assistant":
            if tools:
                _check_said(script, turns, message)
            turns += 1
        elif role == "tool":
            results[need(message.get("tool_call_id"), str, "tool_call_id")] = _text(message.get("content"))
    if tools:
        check_results(script, turns, results)
    return Asked(tools, turns, results, bool(body.get("stream")), str(need(body.get("model"), str, "model")))


def _tool_name(tool: dict[str, Any]) -> str:
    if tool.get("type") != "function":
        raise Malformed(f"tool of type {tool.get('type')!r}")
    function = need(tool.get("function"), dict, "function of a tool")
    return str(need(function.get("name"), str, "name of a tool"))


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in need(content, list, "content of a tool's result"))


def _check_said(script: Sequence[Turn], turn: int, message: dict[str, Any]) -> None:
    if turn >= len(script):
        raise Malformed(f"the history has more than the {len(script)} turns of the script")
    said = []
    for call in message.get("tool_calls") or ():
        arguments = json.loads(need(call["function"]["arguments"], str, "arguments of a call"))
        said.append((call["id"], call["function"]["name"], arguments))
    wanted = [(call_id(turn, i), call.name, dict(call.arguments)) for i, call in enumerate(script[turn].calls)]
    if said != wanted:
        raise Malformed(f"turn {turn} was {wanted}, the client has {said}")


def _message(turn: Turn, asked: Asked) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": turn.text or None}
    if turn.calls:
        message["tool_calls"] = [
            {
                "index": index,
                "id": call_id(asked.turns, index),
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(dict(call.arguments))},
            }
            for index, call in enumerate(turn.calls)
        ]
    return message


def _shell(asked: Asked, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{asked.turns:04d}", "object": kind, "created": 1_700_000_000, "model": asked.model}


_USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}


def answer(turn: Turn, asked: Asked) -> dict[str, Any]:
    """The whole completion."""
    choice = {"index": 0, "message": _message(turn, asked), "finish_reason": "tool_calls" if turn.calls else "stop"}
    return _shell(asked, "chat.completion") | {"choices": [choice], "usage": _USAGE}


def stream(turn: Turn, asked: Asked) -> Iterator[dict[str, Any]]:
    """The completion as chunks; `[DONE]` is the server's."""
    shell = _shell(asked, "chat.completion.chunk")
    message = _message(turn, asked)
    yield shell | {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}
    if turn.text:
        yield shell | {"choices": [{"index": 0, "delta": {"content": turn.text}, "finish_reason": None}]}
    for call in message.get("tool_calls", ()):
        yield shell | {"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}]}
    reason = "tool_calls" if turn.calls else "stop"
    yield shell | {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    yield shell | {"choices": [], "usage": _USAGE}
