"""A mock of the Messages API on loopback, for the real claude CLI: scripted replies, recorded requests.

What it answers is a script, a list of steps of which each request takes the next; the last one stays. The script is
given to the server, or the task names it, so that one server serves many runs:

    mock:write {"path": "a.txt", "text": "hello"}                   a scenario below
    mock:script [{"tools": [["Bash", {"command": "ls"}]]}, {"text": "Done."}]

Runs are told apart by the CLI's session header, so that parallel runs do not take each other's steps.

    python -m tests.support.mock_api [--host 0.0.0.0] [--port N]    prints its URL and serves until killed
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

Step = dict[str, Any]
#: text: str; tools: [[name, input], ...]; status: int with type, message, headers; stall: bool; ping: seconds;
#: delay: seconds before the first byte; output_tokens: int; stop: stop_reason; thinking: str, before the text;
#: delta: characters of a delta, and pace: seconds before each.

ERROR_TYPES = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error",
               404: "not_found_error", 429: "rate_limit_error", 500: "api_error", 529: "overloaded_error"}  # fmt: skip
UNICODE = "Grüße, 世界 🌍 \u202e e\u0301 \x1b[31mred\x1b[0m \u2028 end"
DELTA = 16 * 1024


def scenario(name: str, options: dict[str, Any]) -> list[Step]:
    """The script of a named scenario; KeyError for an unknown one."""
    path = options.get("path", "mock.txt")
    text = options.get("text", "Done.")
    done: Step = {"text": text}

    def tools(*calls: Sequence[Any]) -> Step:
        return {"tools": [list(call) for call in calls]}

    def bash(command: str) -> list[Any]:
        return ["Bash", {"command": command, "description": "mock command"}]

    scripts: dict[str, list[Step]] = {
        "text": [{"text": options.get("text", "Hello from the mock.")}],
        "unicode": [{"text": UNICODE}],
        "big": [{"text": "0123456789abcdef" * (options.get("size", 1 << 20) // 16)}],
        "write": [tools(["Write", {"file_path": path, "content": text}]), {"text": "Written."}],
        "edit": [
            tools(["Read", {"file_path": path}]),
            tools(["Edit", {"file_path": path, "old_string": options.get("old", "old"),
                            "new_string": options.get("new", "new")}]),
            {"text": "Edited."},
        ],
        "bash": [tools(bash(options.get("command", "echo hello"))), done],
        "failing-tool": [tools(bash("echo to stderr >&2; exit 3")), done],
        "parallel": [tools(bash("echo one"), bash("echo two"), ["Write", {"file_path": path, "content": "three"}]),
                     done],
        "loop": [tools(bash("echo again"))],
        "budget": [{**tools(bash("echo dear")), "output_tokens": 1_000_000}, done],
        "unauthorized": [{"status": 401, "message": "invalid x-api-key"}],
        "forbidden": [{"status": 403, "message": "no access"}],
        "overloaded": [{"status": 529, "message": "Overloaded"}, {"status": 529, "message": "Overloaded"}, done],
        "broken": [{"status": 500, "message": "Internal server error"}],
        "stall": [{"text": "Thinking about", "stall": True}],
        "silent": [{"text": "", "delay": 3600}],
    }  # fmt: skip
    return scripts[name]


_DIRECTIVE = re.compile(r"mock:([a-z-]+)[ \t]*([\[{].*[\]}])?")


def directive(prompt: str) -> list[Step] | None:
    """The script that a task asks for, if it asks for one."""
    found = _DIRECTIVE.search(prompt)
    if found is None:
        return None
    options = json.loads(found[2] or "{}")
    return options if found[1] == "script" else scenario(found[1], options)


@dataclass(frozen=True)
class Request:
    """What the CLI sent, and when (monotonic seconds)."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float

    @property
    def text(self) -> str:
        """The whole body as text, to look for something in it."""
        return json.dumps(self.body, ensure_ascii=False)

    @property
    def prompts(self) -> list[str]:
        """The plain texts of the user, oldest first."""
        return [text for message in self.body.get("messages", ()) if message["role"] == "user"
                for text in _texts(message["content"])]  # fmt: skip

    @property
    def tool_results(self) -> list[dict[str, Any]]:
        return [block for message in self.body.get("messages", ()) if isinstance(message["content"], list)
                for block in message["content"] if block["type"] == "tool_result"]  # fmt: skip

    @property
    def tools(self) -> list[str]:
        return [tool["name"] for tool in self.body.get("tools", ())]


def _texts(content: str | list[dict[str, Any]]) -> list[str]:
    if isinstance(content, str):
        return [content]
    return [block["text"] for block in content if block["type"] == "text"]


@dataclass
class MockApi:
    """A context manager; `url` is the ANTHROPIC_BASE_URL. Its threads end with it, stalled ones too."""

    script: Sequence[Step] | None = None
    host: str = "127.0.0.1"
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    #: Requests for anything but messages: (method, path).
    others: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._positions: dict[tuple[str, str], int] = {}
        self._ids = count(1)
        self.closing = threading.Event()
        self.arrived = threading.Event()

    def __enter__(self) -> MockApi:
        api = self

        class Handler(_Handler):
            mock = api

        self._server = ThreadingHTTPServer((self.host, self.port), Handler)
        self._server.daemon_threads = False
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="mock-api")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def step(self, request: Request) -> Step:
        """Records the request and takes its step."""
        script = self.script
        asked = ""
        if script is None:
            for prompt in reversed(request.prompts):
                if (script := directive(prompt)) is not None:
                    asked = prompt
                    break
            else:
                script = scenario("text", {})
        key = (request.headers.get("x-claude-code-session-id", ""), asked)
        with self._lock:
            self.requests.append(request)
            position = self._positions.get(key, 0)
            self._positions[key] = position + 1
        self.arrived.set()
        return script[min(position, len(script) - 1)]

    def next_id(self) -> str:
        with self._lock:
            return f"{next(self._ids):024d}"


class _Handler(BaseHTTPRequestHandler):
    mock: MockApi
    protocol_version = "HTTP/1.1"
    #: A kept-alive connection must not keep its thread past the server's end.
    timeout = 2

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.mock.others.append(("HEAD", self.path))
        self._plain(200, b"")

    def do_GET(self) -> None:
        self.mock.others.append(("GET", self.path))
        self._plain(404, b"{}")

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", 0))
        raw = self.rfile.read(length)
        if len(raw) < length:  # the network has dropped
            self._drop()
            return
        path = self.path.partition("?")[0]
        if path == "/v1/messages/count_tokens":
            self._json(200, {"input_tokens": 10})
        elif path != "/v1/messages":
            self.mock.others.append(("POST", self.path))
            self._plain(404, b"{}")
        else:
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.path, headers, json.loads(raw), time.monotonic())
            with contextlib.suppress(ConnectionError):
                self._answer(request, self.mock.step(request))

    def _answer(self, request: Request, step: Step) -> None:
        if self.mock.closing.wait(step.get("delay", 0)):
            return self._drop()
        if "status" in step:
            status = step["status"]
            kind = step.get("type", ERROR_TYPES.get(status, "api_error"))
            error = {"type": "error", "error": {"type": kind, "message": step.get("message", kind)}}
            return self._json(status, error, step.get("headers", {}))
        message, blocks = self._message(request, step)
        if not request.body.get("stream"):
            return self._json(200, {**message, "content": blocks})
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.send_header("request-id", "req_" + self.mock.next_id())
        self.end_headers()
        self.close_connection = True
        for event in _events(message, blocks, step.get("delta", DELTA), stalled=bool(step.get("stall"))):
            if event["type"] == "content_block_delta" and self.mock.closing.wait(step.get("pace", 0)):
                return self._drop()
            self.wfile.write(b"event: %s\ndata: %s\n\n" % (event["type"].encode(), json.dumps(event).encode()))
        if step.get("stall"):
            while not self.mock.closing.wait(step.get("ping", 3600)):
                self.wfile.write(b'event: ping\ndata: {"type": "ping"}\n\n')
        return None

    def _message(self, request: Request, step: Step) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        blocks: list[dict[str, Any]] = []
        if "thinking" in step:
            blocks.append({"type": "thinking", "thinking": step["thinking"], "signature": "bW9jaw=="})
        if "text" in step:
            blocks.append({"type": "text", "text": step["text"]})
        blocks += [{"type": "tool_use", "id": "toolu_" + self.mock.next_id(), "name": name, "input": value}
                   for name, value in step.get("tools", ())]  # fmt: skip
        usage = {"input_tokens": 100, "output_tokens": step.get("output_tokens", 20),
                 "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}  # fmt: skip
        reason = step.get("stop", "tool_use" if step.get("tools") else "end_turn")
        return {
            "id": "msg_" + self.mock.next_id(),
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": request.body["model"],
            "stop_reason": reason,
            "stop_sequence": None,
            "usage": usage,
        }, blocks

    def _json(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        self._plain(status, json.dumps(value).encode(), headers)

    def _plain(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(body)),
                            "request-id": "req_" + self.mock.next_id(), **(headers or {})}.items():  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _drop(self) -> None:
        self.close_connection = True


def _events(
    message: dict[str, Any], blocks: list[dict[str, Any]], size: int, *, stalled: bool
) -> Iterator[dict[str, Any]]:
    """A message as the stream of server-sent events that the API makes of it; a stalled one breaks off in a block."""
    started = {**message, "stop_reason": None, "usage": {**message["usage"], "output_tokens": 1}}
    yield {"type": "message_start", "message": started}
    for index, block in enumerate(blocks):
        if block["type"] == "text":
            empty, kind, key, value = {**block, "text": ""}, "text_delta", "text", block["text"]
        elif block["type"] == "thinking":
            empty, kind, key = {"type": "thinking", "thinking": "", "signature": ""}, "thinking_delta", "thinking"
            value = block["thinking"]
        else:
            empty, kind, key = {**block, "input": {}}, "input_json_delta", "partial_json"
            value = json.dumps(block["input"])
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        for at in range(0, len(value), size):
            delta = {"type": kind, key: value[at : at + size]}
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        if block["type"] == "thinking":
            signature = {"type": "signature_delta", "signature": block["signature"]}
            yield {"type": "content_block_delta", "index": index, "delta": signature}
        if stalled:
            return
        yield {"type": "content_block_stop", "index": index}
    stop = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": stop, "usage": {"output_tokens": message["usage"]["output_tokens"]}}
    yield {"type": "message_stop"}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1", help="address to bind; 0.0.0.0 to serve a container")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    with MockApi(host=arguments.host, port=arguments.port) as api, contextlib.suppress(KeyboardInterrupt):
        print(api.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
