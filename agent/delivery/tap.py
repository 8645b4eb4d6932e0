"""The stream under trio-websocket, on which its frames and ours meet."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress

import trio

from agent.delivery.eager_stream import EagerStream


class Tap(trio.abc.Stream):
    """A stream that trio-websocket and our own frames share: one writer at a time, in order of arrival."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._lock = trio.StrictFIFOLock()
        #: Bytes that go out before anything else.
        self._rest: list[memoryview] = []
        #: A send began and did not end: half a frame may be out, so nothing may follow.
        self._torn = False
        #: Set at the peer's end of file, or when the connection dies.
        self.ended = trio.Event()
        #: The first bytes that came: they tell what a server speaks that is none of ours.
        self.first = b""
        #: What TLS said when it broke.
        self.tls_error: ssl.SSLError | None = None
        #: Called before a Close frame of the library's goes out.
        self.closing: Callable[[], None] = lambda: None

    @property
    def behind(self) -> bool:
        """Whether `send_now` left something."""
        return bool(self._rest)

    def send_now(self, data: bytes) -> None:
        """Send as much as needs no waiting. The rest goes out before anything else."""
        sent = 0
        if isinstance(self._stream, EagerStream) and not (self._rest or self._torn or self._lock.locked()):
            with suppress(trio.BrokenResourceError):  # the next send_all meets it again
                sent = self._stream.send_now(data)
        if sent < len(data):
            self._rest.append(memoryview(data)[sent:])

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send what is left, then `data`. Cancelling: once it has begun, the stream is torn and takes nothing more."""
        if data[:1] == b"\x88":  # the library sends each frame by itself
            self.closing()
        # Waiting for a free lock would cost a pass of the scheduler, in which the reader takes another 256 KiB.
        try:
            self._lock.acquire_nowait()
        except trio.WouldBlock:
            await self._lock.acquire()
        try:
            if self._torn:
                raise trio.BrokenResourceError("a send was cut off")
            await trio.lowlevel.checkpoint_if_cancelled()
            self._torn = True
            rest, self._rest = self._rest, []
            await self._stream.send_all(b"".join([*rest, data]) if rest else data)
            self._torn = False
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.ended.set()
            raise
        finally:
            self._lock.release()

    async def wait_send_all_might_not_block(self) -> None:
        """Cancelling: safe."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Cancelling: safe."""
        try:
            data = await self._stream.receive_some(max_bytes)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            if isinstance(error.__cause__, ssl.SSLError):
                self.tls_error = error.__cause__
            self.ended.set()
            raise
        self.first = self.first or bytes(data[:16])
        if not data:
            self.ended.set()
        return data

    async def aclose(self) -> None:
        """Close at once. Cancelling: safe."""
        # The close handshake of WebSocket is over by now, and TLS's own could wait for a dead peer.
        self.ended.set()
        await trio.aclose_forcefully(self._stream)
