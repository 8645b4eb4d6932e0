"""A scripted WebSocket server on in-memory streams, for tests on the mock clock: no descriptor, no real time."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from trio.testing import memory_stream_pair
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream
from wsproto.utilities import ProtocolError

from tests.support.contract import Texts


class Peer:
    """Accepts connections and hands each to `serve(ws, n)`, n = 0, 1, ...; keeps every text that it received."""

    def __init__(
        self, nursery: trio.Nursery, serve: Callable[[WebSocketConnection, int], Awaitable[None]] | None = None
    ):
        self.nursery = nursery
        self.serve = serve or self.take_all
        #: Texts by connection.
        self.connections: list[list[str]] = []
        self.streams: list[trio.StapledStream] = []
        #: Raise this instead of connecting.
        self.refuse: OSError | None = None
        self.close_reasons: list[Any] = []
        #: A longer message is answered with 1009 ...
        self.max_message_size: int | None = None
        #: ... or, as by uWebSockets, with the end of the connection: no close frame, nothing.
        self.breaks = False

    @property
    def texts(self) -> list[str]:
        return [text for texts in self.connections for text in texts]

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(text) for text in self.texts]

    @property
    def stored(self) -> list[dict[str, Any]]:
        """After the consumer's rule: numbered messages, each once."""
        found, following = [], 1
        for message in self.messages:
            if "seq" in message and message["seq"] >= following:
                following = message["seq"] + 1
                found.append(message)
        return found

    async def open_stream(self) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        if self.refuse is not None:
            raise self.refuse
        client, server = memory_stream_pair()
        if self.breaks:
            _break_instead_of_closing(server)
        self.streams.append(server)
        number = len(self.connections)
        self.connections.append(Texts())
        self.nursery.start_soon(self._connection, server, number)
        return client

    async def _connection(self, stream: trio.StapledStream, number: int) -> None:
        try:
            async with trio.open_nursery() as nursery:
                options = {} if self.max_message_size is None else {"max_message_size": self.max_message_size}
                request = await wrap_server_stream(nursery, stream, **options)
                ws = await request.accept()
                with contextlib.suppress(ConnectionClosed):
                    await self.serve(ws, number)
                self.close_reasons.append(ws.closed)
                with trio.move_on_after(1):
                    await ws.aclose()
                nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError, ConnectionClosed, ProtocolError):
            pass

    async def take_all(self, ws: WebSocketConnection, number: int) -> None:
        while True:
            self.connections[number].append(await ws.get_message())

    async def cut(self, number: int = -1) -> None:
        """The network is gone: no close frame, nothing."""
        await trio.aclose_forcefully(self.streams[number])


def _break_instead_of_closing(stream: trio.StapledStream) -> None:
    send = stream.send_stream.send_all

    async def send_all(data: bytes) -> None:
        if bytes(data[:1]) == b"\x88":
            await trio.aclose_forcefully(stream)
            raise trio.BrokenResourceError
        await send(data)

    stream.send_stream.send_all = send_all
