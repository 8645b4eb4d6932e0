"""A server that demands a token, and after its first message another one, which it puts into a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, wrap_server_stream
from wsproto.utilities import ProtocolError


class Demanding:
    """`url` is for WS_SERVER."""

    def __init__(self, token: str, file: Path, following: str) -> None:
        self.url = ""
        self.texts: list[str] = []
        #: The token of the last connection that was accepted.
        self.last = ""
        #: Connections with a token that is not in use any more.
        self.refused = 0
        self._token = token
        self._file = file
        self._following = following

    async def serve(self, stream: trio.SocketStream) -> None:
        try:
            async with trio.open_nursery() as nursery:
                await self._serve(await wrap_server_stream(nursery, stream))
                nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError, ProtocolError):
            pass  # a PING that met our Close

    async def _serve(self, request: WebSocketRequest) -> None:
        shown = dict(request.headers).get(b"authorization", b"").decode().removeprefix("Bearer ")
        if shown != self._token:
            self.refused += 1
            if self.refused > 1:  # by now the old one has failed once
                self._renew()
            await request.reject(401)
            return
        self.last = shown
        ws = await request.accept()
        with suppress(ConnectionClosed):
            while True:
                self.texts.append(await ws.get_message())
                if self._token != self._following:
                    self._token = self._following
                    await ws.aclose(1001)

    def _renew(self) -> None:
        new = self._file.with_name("token.new")
        new.write_text(self._following)
        new.replace(self._file)


@asynccontextmanager
async def demanding(token: str, file: Path, following: str) -> AsyncIterator[Demanding]:
    """Serve on loopback."""
    server = Demanding(token, file, following)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, server.serve, 0, host="127.0.0.1"))
        server.url = f"ws://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        try:
            yield server
        finally:
            nursery.cancel_scope.cancel()
