"""The HTTP server: routes, streaming, and a record of what came."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.agents.modelserver import anthropic, gemini, openai_chat, openai_responses
from tests.agents.modelserver.script import Asked, Malformed, Turn, choose


@dataclass(frozen=True)
class Recorded:
    """One request, as it came, and what it was taken to ask."""

    path: str
    body: dict[str, Any]
    asked: Asked


class ModelServer:
    """Plays ``script`` on a loopback port until it is closed; safe for several clients at once."""

    def __init__(self, script: Sequence[Turn]) -> None:
        self.script = tuple(script)
        self.requests: list[Recorded] = []
        self.errors: list[str] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``."""
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def turns_played(self) -> int:
        """How many turns of the script were asked for."""
        return max((each.asked.turns + 1 for each in self.requests if each.asked.tools), default=0)

    @property
    def results(self) -> dict[str, str]:
        """What the tools gave back, by call id, as the last request of the conversation has it."""
        asked = [each.asked for each in self.requests if each.asked.tools]
        return dict(max(asked, key=lambda each: each.turns).results) if asked else {}


def _handler(server: ModelServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: object) -> None:
            """Requests are in the record; nothing goes to stderr."""

        def do_HEAD(self) -> None:
            self._json(200, {})

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path.endswith("/models"):
                self._json(200, {"object": "list", "data": [], "models": []})
            else:
                self._refuse(404, f"GET {path}")

        def do_POST(self) -> None:
            path = urlsplit(self.path).path
            try:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
                if not isinstance(body, dict):
                    raise Malformed("the body is no object")
                self._route(path, body)
            except (Malformed, KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
                self._refuse(400, f"POST {path}: {type(error).__name__}: {error}")

        def _route(self, path: str, body: dict[str, Any]) -> None:
            name = path.rsplit("/", 1)[-1]
            model, _, verb = name.partition(":")
            if path.endswith("/messages"):
                asked = anthropic.read(body, server.script)
                turn = self._turn(path, body, asked)
                self._answer(asked, anthropic.answer(turn, asked), anthropic.stream(turn, asked))
            elif name == "count_tokens":
                self._json(200, {"input_tokens": 100})
            elif path.endswith("/chat/completions"):
                asked = openai_chat.read(body, server.script)
                turn = self._turn(path, body, asked)
                chunks = (("", chunk) for chunk in openai_chat.stream(turn, asked))
                self._answer(asked, openai_chat.answer(turn, asked), chunks, done=True)
            elif name == "responses":
                asked = openai_responses.read(body, server.script)
                turn = self._turn(path, body, asked)
                self._answer(asked, openai_responses.answer(turn, asked), openai_responses.stream(turn, asked))
            elif verb in ("generateContent", "streamGenerateContent"):
                asked = gemini.read(body, server.script, model, stream=verb == "streamGenerateContent")
                turn = self._turn(path, body, asked)
                chunks = (("", chunk) for chunk in gemini.stream(turn, asked))
                self._answer(asked, gemini.answer(turn, asked), chunks)
            elif verb == "countTokens":
                self._json(200, {"totalTokens": 100})
            else:
                self._refuse(404, f"POST {path}")

        def _turn(self, path: str, body: dict[str, Any], asked: Asked) -> Turn:
            turn = choose(server.script, asked)
            server.requests.append(Recorded(path, body, asked))
            return turn

        def _answer(
            self, asked: Asked, whole: dict[str, Any], events: Iterable[tuple[str, dict[str, Any]]], done: bool = False
        ) -> None:
            if not asked.stream:
                self._json(200, whole)
                return
            lines = []
            for name, data in events:
                lines.append((f"event: {name}\n" if name else "") + f"data: {json.dumps(data)}\n\n")
            if done:
                lines.append("data: [DONE]\n\n")
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for line in lines:
                data_bytes = line.encode()
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data_bytes), data_bytes))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")

        def _json(self, status: int, value: dict[str, Any]) -> None:
            text = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text)

        def _refuse(self, status: int, reason: str) -> None:
            server.errors.append(reason)
            error = {"type": "invalid_request_error", "message": reason, "code": status}
            self._json(status, {"type": "error", "error": error})

    return Handler
