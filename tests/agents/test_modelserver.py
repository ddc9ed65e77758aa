"""The scripted model server: what it plays, and what it refuses."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.agents.modelserver.script import ToolCall, Turn
from tests.agents.modelserver.server import ModelServer

SCRIPT = [
    Turn(text="Let me look.", calls=(ToolCall("shell", {"command": "ls"}), ToolCall("shell", {"command": "pwd"}))),
    Turn(text="Done."),
]
_SCHEMA = {"type": "object", "properties": {"command": {"type": "string"}}}


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(SCRIPT) as running:
        yield running


def _post(server: ModelServer, path: str, body: Any) -> tuple[int, str]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(server.url + path, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def _events(text: str) -> list[Any]:
    """The data of each server-sent event."""
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


class Anthropic:
    path = stream_path = "/v1/messages"

    def first(self) -> dict[str, Any]:
        tools = [{"name": "shell", "input_schema": _SCHEMA}]
        return {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "tools": tools}

    def said(self, answer: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        return [(block["id"], block["input"]) for block in answer["content"] if block["type"] == "tool_use"]

    def streamed(self, events: list[Any]) -> list[dict[str, Any]]:
        parts = [each["delta"] for each in events if each["type"] == "content_block_delta"]
        return [json.loads(part["partial_json"]) for part in parts if part["type"] == "input_json_delta"]

    def second(self, answer: dict[str, Any], results: list[str]) -> dict[str, Any]:
        blocks = [
            {"type": "tool_result", "tool_use_id": identifier, "content": result}
            for (identifier, _), result in zip(self.said(answer), results, strict=False)
        ]
        body = self.first()
        body["messages"] += [{"role": "assistant", "content": answer["content"]}, {"role": "user", "content": blocks}]
        return body


class Chat:
    path = stream_path = "/v1/chat/completions"

    def first(self) -> dict[str, Any]:
        tools = [{"type": "function", "function": {"name": "shell", "parameters": _SCHEMA}}]
        return {"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": tools}

    def said(self, answer: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        calls = answer["choices"][0]["message"]["tool_calls"]
        return [(call["id"], json.loads(call["function"]["arguments"])) for call in calls]

    def streamed(self, events: list[Any]) -> list[dict[str, Any]]:
        assert events.pop() == "[DONE]"
        deltas = [each["choices"][0]["delta"] for each in events if each["choices"]]
        calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
        return [json.loads(call["function"]["arguments"]) for call in calls]

    def second(self, answer: dict[str, Any], results: list[str]) -> dict[str, Any]:
        body = self.first()
        body["messages"].append(answer["choices"][0]["message"])
        body["messages"] += [
            {"role": "tool", "tool_call_id": identifier, "content": result}
            for (identifier, _), result in zip(self.said(answer), results, strict=False)
        ]
        return body


class Responses:
    path = stream_path = "/v1/responses"

    def first(self) -> dict[str, Any]:
        tools = [{"type": "function", "name": "shell", "parameters": _SCHEMA}]
        return {"model": "m", "input": [{"type": "message", "role": "user", "content": "hi"}], "tools": tools}

    def said(self, answer: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        calls = [item for item in answer["output"] if item["type"] == "function_call"]
        return [(call["call_id"], json.loads(call["arguments"])) for call in calls]

    def streamed(self, events: list[Any]) -> list[dict[str, Any]]:
        assert [each["sequence_number"] for each in events] == list(range(len(events)))
        done = [each for each in events if each["type"] == "response.function_call_arguments.done"]
        return [json.loads(each["arguments"]) for each in done]

    def second(self, answer: dict[str, Any], results: list[str]) -> dict[str, Any]:
        body = self.first()
        body["input"] += answer["output"]
        body["input"] += [
            {"type": "function_call_output", "call_id": identifier, "output": result}
            for (identifier, _), result in zip(self.said(answer), results, strict=False)
        ]
        return body


class Gemini:
    path = "/v1beta/models/m:generateContent"
    stream_path = "/v1beta/models/m:streamGenerateContent?alt=sse"

    def first(self) -> dict[str, Any]:
        tools = [{"functionDeclarations": [{"name": "shell"}]}]
        return {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "tools": tools}

    def said(self, answer: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        parts = answer["candidates"][0]["content"]["parts"]
        calls = [part["functionCall"] for part in parts if "functionCall" in part]
        return [(f"call_0000_{index:04d}", call["args"]) for index, call in enumerate(calls)]

    def streamed(self, events: list[Any]) -> list[dict[str, Any]]:
        return [call for event in events for _, call in self.said(event)]

    def second(self, answer: dict[str, Any], results: list[str]) -> dict[str, Any]:
        body = self.first()
        parts = [
            {"functionResponse": {"name": "shell", "response": {"output": result}}}
            for _, result in zip(self.said(answer), results, strict=False)
        ]
        body["contents"] += [answer["candidates"][0]["content"], {"role": "user", "parts": parts}]
        return body


Protocol = Anthropic | Chat | Responses | Gemini


@pytest.fixture(params=[Anthropic, Chat, Responses, Gemini], ids=lambda each: each.__name__)
def protocol(request: pytest.FixtureRequest) -> Protocol:
    made: Protocol = request.param()
    return made


def _first_answer(server: ModelServer, protocol: Protocol) -> dict[str, Any]:
    status, text = _post(server, protocol.path, protocol.first())
    assert status == 200, text
    answer: dict[str, Any] = json.loads(text)
    return answer


def test_a_conversation_plays_the_script(server: ModelServer, protocol: Protocol) -> None:
    answer = _first_answer(server, protocol)
    assert "Let me look." in json.dumps(answer)
    assert [arguments for _, arguments in protocol.said(answer)] == [{"command": "ls"}, {"command": "pwd"}]
    status, text = _post(server, protocol.path, protocol.second(answer, ["a b", "/w"]))
    assert status == 200, text
    assert "Done." in text
    assert server.errors == []
    assert server.turns_played == 2
    assert [("a b" in result, "/w" in result) for _, result in sorted(server.results.items())] == [
        (True, False),
        (False, True),
    ]
    assert [each.asked.turns for each in server.requests] == [0, 1]


def test_a_stream_says_the_same(server: ModelServer, protocol: Protocol) -> None:
    status, text = _post(server, protocol.stream_path, protocol.first() | {"stream": True})
    assert status == 200, text
    assert protocol.streamed(_events(text)) == [{"command": "ls"}, {"command": "pwd"}]
    assert "Let me look." in text


def test_a_retry_gets_the_same_answer(server: ModelServer, protocol: Protocol) -> None:
    assert _first_answer(server, protocol) == _first_answer(server, protocol)
    assert server.turns_played == 1


def test_a_missing_result_is_refused(server: ModelServer, protocol: Protocol) -> None:
    answer = _first_answer(server, protocol)
    status, text = _post(server, protocol.path, protocol.second(answer, ["a b"]))
    assert status == 400
    assert "results came for" in text
    assert len(server.errors) == 1


def test_a_history_that_was_never_said_is_refused(server: ModelServer, protocol: Protocol) -> None:
    answer = _first_answer(server, protocol)
    body = json.loads(json.dumps(protocol.second(answer, ["a b", "/w"])).replace("shell", "python"))
    status, text = _post(server, protocol.path, body)
    assert status == 400, text
    assert server.errors


def test_a_tool_that_is_not_offered_is_not_called(server: ModelServer, protocol: Protocol) -> None:
    body = json.loads(json.dumps(protocol.first()).replace("shell", "python"))
    status, text = _post(server, protocol.path, body)
    assert status == 400
    assert "offers no tool" in text


def test_a_request_beside_the_conversation_is_answered_and_is_no_turn(server: ModelServer, protocol: Protocol) -> None:
    body = protocol.first()
    del body["tools"]
    status, text = _post(server, protocol.path, body)
    assert status == 200, text
    assert "A short task" in text
    assert server.turns_played == 0


def test_after_the_last_turn_there_is_no_more(protocol: Protocol) -> None:
    with ModelServer(SCRIPT[:1]) as server:
        answer = _first_answer(server, protocol)
        status, text = _post(server, protocol.path, protocol.second(answer, ["a b", "/w"]))
        assert status == 400
        assert "the script has 1 turns" in text


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"{}", b'{"messages": 3}', b'{"input": [3]}', b'{"contents": [{}]}']
)
def test_a_malformed_body_is_refused(server: ModelServer, protocol: Protocol, body: bytes) -> None:
    status, _ = _post(server, protocol.path, body)
    assert status == 400
    assert len(server.errors) == 1


def test_an_unknown_path_is_refused_and_kept(server: ModelServer) -> None:
    assert _post(server, "/v1/other", {})[0] == 404
    assert server.errors == ["POST /v1/other"]
