"""The one port: the head of the first request decides whether a connection is an agent's WebSocket or HTTP.

h11 reads the head, hypercorn serves HTTP and the receiver WebSockets; this module only sorts connections.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import h11
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext

from agent.limits import KIB, Limits
from agent.receiver import Turns

_HEAD = 16 * KIB
_T = TypeVar("_T")


async def _without_cycle(call: Awaitable[_T]) -> _T:
    """Await a call of a stream. From Python 3.13 on a frame of its error's cause names that cause (garbage.py)."""
    try:
        return await call
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        if error.__cause__ is not None:
            error.__cause__.__traceback__ = None
        raise


class Connection(trio.abc.HalfCloseableStream):
    """A stream that first gives what was read of it already, and bounds the time of each send."""

    def __init__(self, stream: trio.SocketStream | trio.SSLStream[trio.SocketStream], patience: float) -> None:
        #: Where hypercorn looks for addresses.
        self.socket = (stream.transport_stream if isinstance(stream, trio.SSLStream) else stream).socket
        self.head = bytearray()
        #: Whether its token was right.
        self.known = False
        self._stream = stream
        self._patience = patience

    @property
    def address(self) -> str:
        """The host at the other end."""
        try:
            return str(self.socket.getpeername()[0])
        except OSError:
            return ""

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive what comes. Cancelling: safe."""
        if self.head:
            taken = bytes(self.head)
            self.head.clear()
            return taken
        return await _without_cycle(self._stream.receive_some(max_bytes))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send; raises BrokenResourceError when the other side takes nothing for long.

        Cancelling: may leave a part sent. hypercorn shields its sends, so the bound stands here.
        """
        with trio.move_on_after(self._patience):
            await _without_cycle(self._stream.send_all(data))
            return
        raise trio.BrokenResourceError("the other side takes nothing")

    async def wait_send_all_might_not_block(self) -> None:
        """Wait for room. Cancelling: safe."""
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """End the sending side; over TLS nothing happens. Cancelling: safe."""
        if not isinstance(self._stream, trio.SSLStream):
            await _without_cycle(self._stream.send_eof())

    async def aclose(self) -> None:
        """Close at once. Cancelling: closes all the same."""
        await trio.aclose_forcefully(self._stream)


class Port:
    """Serves connections: `websocket` those of agents, the application all others."""

    def __init__(
        self,
        app: Callable[..., Awaitable[None]],
        websocket: Callable[[trio.abc.Stream, Callable[[], None]], Awaitable[None]],
        limits: Limits,
        note: Callable[[str], None],
    ) -> None:
        self._app = ASGIWrapper(app)
        self._websocket = websocket
        self._limits = limits
        self._context = WorkerContext(None)
        self._config = _config(limits, note)
        self._turns = Turns(limits.receiver_turn)
        self._open: set[Connection] = set()
        #: Connections that have shown no token, the oldest first.
        self._strangers: OrderedDict[Connection, None] = OrderedDict()

    async def serve_stream(self, stream: trio.SocketStream | trio.SSLStream[trio.SocketStream]) -> None:
        """Serve one connection to its end. Never raises.

        Cancelling: closes it.
        """
        connection = Connection(stream, self._limits.hub_patience)
        self._open.add(connection)
        self._strangers[connection] = None
        if len(self._strangers) > self._limits.hub_strangers:
            await next(iter(self._strangers)).aclose()
        try:
            await self._turns.take(_HEAD)  # a thousand agents come back at once after a restart
            await self._serve(connection)
        except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            pass  # the other side is gone
        finally:
            self._open.discard(connection)
            self._strangers.pop(connection, None)
            await trio.aclose_forcefully(connection)

    async def close(self) -> None:
        """End all connections of watchers at once. Cancelling: safe."""
        await self._context.terminated.set()
        for connection in list(self._open):
            await connection.aclose()

    def trust(self, connection: Connection) -> None:
        """The connection has shown its token: nobody's silence closes it."""
        connection.known = True
        self._strangers.pop(connection, None)

    async def _serve(self, connection: Connection) -> None:
        with trio.fail_after(self._limits.receiver_handshake):
            request = await _head(connection)
        if request is not None and _is_websocket(request):
            await self._websocket(connection, partial(self.trust, connection))
        elif connection.head:
            state: Any = {"connection": connection, "trust": self.trust}
            server = TCPServer(self._app, self._config, self._context, state, connection)  # type: ignore[arg-type]
            try:
                await server
            finally:
                vars(server).clear()  # it and its protocol name each other: garbage.py


async def _head(connection: Connection) -> h11.Request | None:
    """Read the head of the first request, and leave it for who serves it; None where it is no HTTP."""
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD)
    read = bytearray()
    try:
        while (event := parser.next_event()) is h11.NEED_DATA:
            data = await connection.receive_some(_HEAD)
            read += data
            parser.receive_data(bytes(data))
    except h11.RemoteProtocolError:
        event = h11.NEED_DATA
    connection.head = read
    return event if isinstance(event, h11.Request) else None


def _is_websocket(request: h11.Request) -> bool:
    headers = {name.lower(): value.lower() for name, value in request.headers}
    path = request.target.partition(b"?")[0]
    below_api = path == b"/api" or path.startswith(b"/api/")
    return b"websocket" in headers.get(b"upgrade", b"") and not below_api


class _Notes(logging.Handler):
    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__()
        self._note = note

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._note(record.getMessage() + (f": {type(error).__name__}: {error}" if error else ""))


def _config(limits: Limits, note: Callable[[str], None]) -> Config:
    config = Config()
    logger = logging.Logger("agent.hub", logging.WARNING)
    logger.addHandler(_Notes(note))
    config.errorlog = logger
    config.accesslog = None
    config.include_server_header = False
    config.keep_alive_timeout = limits.hub_keepalive * 5
    config.h11_max_incomplete_size = _HEAD
    return config
