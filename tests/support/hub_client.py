"""A hub on a real port, and a plain HTTP client for it."""

from __future__ import annotations

import http.client
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio

from agent.hub.access import Tokens
from agent.limits import Limits
from agent.receiver import Receiver, TextView
from agent.terminal.screen import PlainScreen
from tests.receiver.test_server import acked, connected

pytest.importorskip("starlette", reason="needs the extra hub: make setup")
pytest.importorskip("prometheus_client", reason="needs the extra hub: make setup")
pytest.importorskip("hypercorn", reason="needs the extra hub: make setup")
from agent.hub.listen import open_serving

OPEN = Tokens(open=True)


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def lines(self) -> list[str]:
        return self.body.decode().splitlines()


class Client:
    """Requests to one hub, each on a connection of its own."""

    def __init__(self, receiver: Receiver, shown: StringIO) -> None:
        self.receiver = receiver
        self.shown = shown
        self.port = int(receiver.url.rpartition(":")[2])
        self.headers: dict[str, str] = {}

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    async def request(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        def ask() -> Answer:
            connection = self._connect()
            try:
                sent = {name.replace("_", "-"): value for name, value in headers.items()}
                content = json.dumps(body) if body is not None else None
                if content is not None:
                    sent.setdefault("content-type", "application/json")
                connection.request(method, path, content, {**self.headers, **sent})
                answer = connection.getresponse()
                named = {name.lower(): value for name, value in answer.getheaders()}
                return Answer(answer.status, named, answer.read())
            finally:
                connection.close()

        return await trio.to_thread.run_sync(ask)

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.request("GET", path, **headers)

    async def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return await self.request("POST", path, body, **headers)

    async def send(self, *lines: str, path: str = "/") -> None:
        """Send messages as an agent does, and return once all are acknowledged."""
        last = max((json.loads(line).get("seq") or 0 for line in lines), default=0)
        async with connected(self.receiver.url, path) as connection:
            for line in lines:
                await connection.send_message(line)
            first = json.loads(lines[0])
            names = {name: first[name] for name in ("containerID", "runID")}
            await connection.send_message(json.dumps({"type": "HEARTBEAT", **names, "timestamp": "", "data": {}}))
            while await acked(connection) < last:
                pass

    @asynccontextmanager
    async def stream(self, path: str, **headers: str) -> AsyncIterator[Stream]:
        """Server-sent events."""
        connection = self._connect()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}

        def begin() -> http.client.HTTPResponse:
            connection.request("GET", path, headers={**self.headers, **sent})
            return connection.getresponse()

        response = await trio.to_thread.run_sync(begin)
        assert response.status == 200, response.read()
        try:
            yield Stream(response)
        finally:
            # Closing alone would leave a thread in recv.
            if connection.sock is not None:
                connection.sock.close()
            response.close()
            connection.close()


class Event(NamedTuple):
    name: str
    id: str | None
    data: str

    @property
    def json(self) -> Any:
        return json.loads(self.data)


class Stream:
    """Events as they come."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._events = self._read(response)

    async def next(self) -> Event | None:
        """The next event, None at the end."""
        return await trio.to_thread.run_sync(next, self._events, None)

    async def until(self, name: str) -> Event:
        """The next event of a kind; those before it are passed over."""
        while (event := await self.next()) is not None:
            if event.name == name:
                return event
        raise AssertionError(f"the stream ended without {name}")

    @staticmethod
    def _read(response: http.client.HTTPResponse) -> Iterator[Event]:
        fields: dict[str, str] = {}
        while line := response.readline():
            text = line.decode().rstrip("\n")
            if text:
                name, _, value = text.partition(": ")
                fields[name] = value
            elif "data" in fields:
                yield Event(fields.get("event", "message"), fields.get("id"), fields["data"])
                fields = {}
            else:
                fields = {}


@asynccontextmanager
async def open_client(
    directory: Path | None, tokens: Tokens = OPEN, limits: Limits | None = None, **options: Any
) -> AsyncIterator[Client]:
    shown = StringIO()
    limits = limits or Limits(hub_beat=0.01, hub_index=0.02)
    with trio.fail_after(options.pop("patience", 60)):
        async with open_serving(
            host="127.0.0.1", port=options.pop("port", 0), tls=None, limits=limits, tokens=tokens, directory=directory,
            view=TextView(PlainScreen(shown), limits), **options,
        ) as receiver:  # fmt: skip
            yield Client(receiver, shown)
