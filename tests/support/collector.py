"""A plain WebSocket server on loopback, in the test's own event loop: keeps what it gets, and may be made to stall."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

from tests.support.contract import Texts

Message = dict[str, Any]
Condition = Callable[[Message], bool]


class Collector:
    """`url` is for WS_SERVER; `texts` is every message as it came, of all connections."""

    def __init__(self) -> None:
        self.url = ""
        self.texts: list[str] = Texts()
        #: The first message of which this holds is the last one read; nothing is answered after it, no PING either.
        self.stall_at: Condition = lambda message: False
        #: Close codes of the connections that ended.
        self.closed: list[int | None] = []
        self._arrived = trio.Event()
        self._connection: WebSocketConnection | None = None
        #: Connections that stood so far.
        self.connections = 0
        #: While it is away it refuses every connection.
        self.away = False

    @property
    def messages(self) -> list[Message]:
        return [json.loads(text) for text in self.texts]

    async def until(self, condition: Condition, seconds: float = 40) -> Message:
        """The first message of which the condition holds. Raises TooSlowError."""
        seen = 0
        with trio.fail_after(seconds):
            while True:
                for text in self.texts[seen:]:
                    seen += 1
                    message = json.loads(text)
                    if condition(message):
                        return message
                await self._arrived.wait()

    async def send(self, message: Message) -> None:
        """To the agent that is connected."""
        assert self._connection is not None
        await self._connection.send_message(json.dumps(message))

    async def leave(self) -> None:
        """Close the connection, and let nobody in until `away` is false again."""
        assert self._connection is not None
        self.away = True
        await self._connection.aclose(1012)

    async def drop(self) -> None:
        """Close the connection, and return once the agent is here again."""
        before = self.connections
        await self.leave()
        self.away = False
        with trio.fail_after(40):
            while self.connections == before:
                await trio.sleep(0.01)

    async def serve(self, request: WebSocketRequest) -> None:
        if self.away:
            await request.reject(503)
            return
        ws = self._connection = await request.accept()
        self.connections += 1
        try:
            while True:
                text = await ws.get_message()
                self.texts.append(text)
                self._arrived.set()
                self._arrived = trio.Event()
                if self.stall_at(json.loads(text)):
                    await trio.sleep_forever()
        except ConnectionClosed as closed:
            self.closed.append(closed.reason.code if closed.reason else None)


@asynccontextmanager
async def collecting(host: str = "127.0.0.1") -> AsyncIterator[Collector]:
    collector = Collector()
    async with trio.open_nursery() as nursery:
        # Without a queue a reader that stalls stalls the connection, PONGs included.
        serve = partial(serve_websocket, collector.serve, host, 0, ssl_context=None, message_queue_size=0)
        server = await nursery.start(serve)
        collector.url = f"ws://{host}:{server.port}"
        try:
            yield collector
        finally:
            nursery.cancel_scope.cancel()


def in_phase(phase: str) -> Condition:
    """Entered that phase, as STATUS tells."""
    return lambda message: message["type"] == "STATUS" and message["data"].get("phase") == phase


def said(text: str) -> Condition:
    """A LOG that a person would read so."""
    return lambda message: message["type"] == "LOG" and text in message["data"]["message"]


def is_complete(message: Message) -> bool:
    return bool(message["type"] == "COMPLETE")


@contextmanager
def unused_port() -> Iterator[int]:
    """A port on which nobody listens, and nobody else may for as long."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
