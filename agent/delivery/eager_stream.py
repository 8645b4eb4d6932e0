"""A TCP stream that sends at once what the kernel takes."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

import trio


class EagerStream(trio.abc.Stream):
    """A SocketStream whose `send_all` yields only where the kernel takes no more.

    Trio's own yields after each send, and has the kernel take little more than what is on its way. In a burst, every
    pass of the scheduler reads another 256 KiB of claude's output: a sender that yields as often falls behind, and has
    to read everything back from the disk.
    """

    def __init__(self, stream: trio.SocketStream, unsent: int) -> None:
        """`unsent`: bytes that the kernel may hold beyond what is on its way."""
        with suppress(OSError):  # not every kernel knows it
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, unsent)
        self._stream = stream

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Cancelling: as with Trio's own, nothing is known of what was sent."""
        await trio.lowlevel.checkpoint_if_cancelled()
        with memoryview(data) as view:
            sent = self.send_now(view)
            if sent < len(view):
                await self._stream.send_all(view[sent:])

    def send_now(self, data: bytes | memoryview) -> int:
        """Send what the kernel takes at this moment; returns how many bytes. Raises BrokenResourceError."""
        try:
            return os.write(self._stream.socket.fileno(), data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise trio.BrokenResourceError(f"socket connection broken: {error}") from error

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Cancelling: safe."""
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self._stream.aclose()
