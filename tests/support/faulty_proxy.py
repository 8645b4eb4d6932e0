"""A TCP proxy that fails in the ways of a network: what it does to a connection is a Fault, set before it comes."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto

import trio

#: Small, so that a backlog shows at the sender and not in the kernel's buffers.
_BUFFER = 4096


class Fault(Enum):
    #: No listener at all.
    REFUSE = auto()
    #: Accepts, reads nothing, says nothing.
    SILENT = auto()
    #: RST after so many bytes of the client's, in the midst of a frame.
    RESET = auto()
    #: FIN to both sides, likewise.
    FIN = auto()
    #: Takes everything from then on and passes nothing.
    HALF_OPEN = auto()
    #: Takes nothing any more from then on.
    ZERO_WINDOW = auto()
    #: 1 KB a second.
    SLOW = auto()
    #: Both directions byte by byte.
    BYTEWISE = auto()
    #: 200 ms of connections, 200 ms of none.
    FLAPPING = auto()


class FaultyProxy:
    """Listens on `port` and passes everything on to `target`, but for `fault`."""

    def __init__(self, nursery: trio.Nursery, target: int, after: int) -> None:
        self.port = 0
        self.connections = 0
        self._nursery = nursery
        self._target = target
        self._after = after
        self._fault: Fault | None = None
        self._life = trio.CancelScope()

    async def listen(self) -> None:
        listener = await self._listener()
        self._life = trio.CancelScope()
        self._nursery.start_soon(self._accept, listener, self._life)

    async def set(self, fault: Fault | None) -> None:
        """From now on; the connections that stand are cut, whatever they suffered from."""
        self._life.cancel()
        self._fault = fault
        await trio.testing.wait_all_tasks_blocked(0.01)
        if fault is Fault.FLAPPING:
            self._nursery.start_soon(self._flap)
        elif fault is not Fault.REFUSE:
            await self.listen()

    async def _flap(self) -> None:
        while self._fault is Fault.FLAPPING:
            await self.listen()
            await trio.sleep(0.2)
            self._life.cancel()
            await trio.sleep(0.2)

    async def _listener(self) -> trio.SocketListener:
        sock = trio.socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        await sock.bind(("127.0.0.1", self.port))
        sock.listen()
        self.port = sock.getsockname()[1]
        return trio.SocketListener(sock)

    async def _accept(self, listener: trio.SocketListener, life: trio.CancelScope) -> None:
        with life:
            await trio.serve_listeners(self._connection, [listener])

    async def _connection(self, client: trio.SocketStream) -> None:
        self.connections += 1
        with suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            if self._fault is Fault.SILENT:
                await trio.sleep_forever()
            server = await trio.open_tcp_stream("127.0.0.1", self._target)
            async with server, trio.open_nursery() as nursery:
                nursery.start_soon(self._back, server, client)
                await self._pass(client, server, self._fault)
                nursery.cancel_scope.cancel()

    async def _back(self, server: trio.SocketStream, client: trio.SocketStream) -> None:
        with suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            await self._pass(server, client, None)
            await client.send_eof()  # an answer may end by it

    async def _pass(self, source: trio.SocketStream, sink: trio.SocketStream, fault: Fault | None) -> None:
        """Client to server carries the fault; what comes back is only ever delayed or cut by it."""
        passed = 0
        slow = fault is Fault.SLOW
        most = 1 if fault is Fault.BYTEWISE else 256 if slow else 65536
        while data := await source.receive_some(most):
            if fault in (Fault.RESET, Fault.FIN, Fault.HALF_OPEN, Fault.ZERO_WINDOW) and passed > self._after:
                await self._end(source, fault)
                return
            if slow:
                await trio.sleep(len(data) / 1024)
            await sink.send_all(data)
            passed += len(data)

    async def _end(self, client: trio.SocketStream, fault: Fault) -> None:
        if fault is Fault.ZERO_WINDOW:
            await trio.sleep_forever()
        while fault is Fault.HALF_OPEN:
            if not await client.receive_some(65536):
                return
        if fault is Fault.RESET:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.socket.close()


@asynccontextmanager
async def open_proxy(target: int, *, after: int = 50_000) -> AsyncIterator[FaultyProxy]:
    """A proxy to a port of this machine; faults that hit in mid-stream do so `after` so many bytes of a connection."""
    async with trio.open_nursery() as nursery:
        proxy = FaultyProxy(nursery, target, after)
        await proxy.listen()
        yield proxy
        nursery.cancel_scope.cancel()
