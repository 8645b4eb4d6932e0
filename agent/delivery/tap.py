"""The stream under trio-websocket, where its frames and ours meet."""

from __future__ import annotations

from contextlib import suppress

import trio

from agent.delivery.eager_stream import EagerStream


class Tap(trio.abc.Stream):
    """The stream under trio-websocket, shared with our own frames; one writer at a time, in order of arrival."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._lock = trio.StrictFIFOLock()
        #: What goes before whatever is sent next.
        self._rest: list[memoryview] = []
        #: A send has begun that did not end: half a frame may be out, and nothing makes sense after it.
        self._torn = False
        #: The peer's end of file, or the death of the connection.
        self.ended = trio.Event()

    @property
    def behind(self) -> bool:
        """Something of what `send_now` was given is left."""
        return bool(self._rest)

    def send_now(self, data: bytes) -> None:
        """Send this as far as it takes no waiting. What is left goes before whatever is sent next."""
        sent = 0
        if isinstance(self._stream, EagerStream) and not (self._rest or self._torn or self._lock.locked()):
            with suppress(trio.BrokenResourceError):  # the next send_all meets it again
                sent = self._stream.send_now(data)
        if sent < len(data):
            self._rest.append(memoryview(data)[sent:])

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
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
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        try:
            data = await self._stream.receive_some(max_bytes)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.ended.set()
            raise
        if not data:
            self.ended.set()
        return data

    async def aclose(self) -> None:
        # Forcefully: the close handshake of WebSocket is over by now, and TLS's own could wait for a dead peer.
        self.ended.set()
        await trio.aclose_forcefully(self._stream)
