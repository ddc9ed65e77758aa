"""Gemini: POST /v1beta/models/MODEL:generateContent and :streamGenerateContent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tests.agents.modelserver.script import Asked, Malformed, Turn, call_id, check_results, need


def read(body: dict[str, Any], script: Sequence[Turn], model: str, stream: bool) -> Asked:
    """What the request asks; checks roles and that the history is the script so far."""
    contents = need(body.get("contents"), list, "contents")
    tools = frozenset(
        str(need(each.get("name"), str, "name of a function"))
        for tool in body.get("tools") or ()
        for each in tool.get("functionDeclarations") or ()
    )
    turns, results = 0, dict[str, str]()
    for content in contents:
        parts = need(content.get("parts"), list, "parts")
        if content.get("role") == "model":
            if tools:
                _check_said(script, turns, parts)
            turns += 1
        elif content.get("role", "user") != "user":
            raise Malformed(f"role {content.get('role')!r}")
        # This protocol need not carry ids: the results of a turn come in the order of its calls.
        answers = [part["functionResponse"] for part in parts if "functionResponse" in part]
        for index, each in enumerate(answers):
            results[call_id(turns - 1, index)] = str(need(each.get("response"), dict, "response of a function"))
    if tools:
        check_results(script, turns, results)
    return Asked(tools, turns, results, stream, model)


def _check_said(script: Sequence[Turn], turn: int, parts: list[dict[str, Any]]) -> None:
    if turn >= len(script):
        raise Malformed(f"the history has more than the {len(script)} turns of the script")
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    said = [(call["name"], call.get("args", {})) for call in calls]
    wanted = [(call.name, dict(call.arguments)) for call in script[turn].calls]
    if said != wanted:
        raise Malformed(f"turn {turn} was {wanted}, the client has {said}")


def _response(parts: list[dict[str, Any]], asked: Asked, reason: str | None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if reason is not None:
        candidate["finishReason"] = reason
    usage = {"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 120}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": asked.model}


def _parts(turn: Turn) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"text": turn.text}] if turn.text else []
    parts += [{"functionCall": {"name": call.name, "args": dict(call.arguments)}} for call in turn.calls]
    return parts


def answer(turn: Turn, asked: Asked) -> dict[str, Any]:
    """The whole response."""
    return _response(_parts(turn), asked, "STOP")


def stream(turn: Turn, asked: Asked) -> Iterator[dict[str, Any]]:
    """The response as one chunk per part."""
    parts = _parts(turn)
    for index, part in enumerate(parts):
        yield _response([part], asked, "STOP" if index == len(parts) - 1 else None)
