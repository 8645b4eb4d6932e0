"""A TCP stream that sends without yielding for as long as the kernel takes more."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

import trio


class EagerStream(trio.abc.Stream):
    """A SocketStream whose `send_all` yields only when the kernel takes no more.

    Trio's own stream yields after each send, and lets the kernel hold little more than what is on its way. In a burst,
    every pass of the scheduler reads another 256 KiB of claude's output; a sender that yields that often falls behind
    and has to read everything back from the disk.
    """

    def __init__(self, stream: trio.SocketStream, unsent: int) -> None:
        """`unsent`: bytes that the kernel may hold beyond what is on its way."""
        with suppress(OSError):  # not every kernel knows it
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, unsent)
        self._stream = stream

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send everything. Cancelling: how much was sent is unknown, as with Trio's own stream."""
        await trio.lowlevel.checkpoint_if_cancelled()
        with memoryview(data) as view:
            sent = self.send_now(view)
            if sent < len(view):
                await self._stream.send_all(view[sent:])

    def send_now(self, data: bytes | memoryview) -> int:
        """Send what the kernel takes at this moment, and return how many bytes that was.

        Raises:
            trio.BrokenResourceError: the connection is dead.
        """
        try:
            return os.write(self._stream.socket.fileno(), data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise trio.BrokenResourceError(f"socket connection broken: {error}") from error

    async def wait_send_all_might_not_block(self) -> None:
        """Cancelling: safe."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Cancelling: safe."""
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        """Close the socket. Cancelling: safe, it is closed all the same."""
        await self._stream.aclose()
