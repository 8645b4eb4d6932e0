"""The server's end of one WebSocket connection: messages in batches, as many as one read holds.

The protocol itself is that of `websockets`, without its I/O: a queue and a task switch for each message would cost more
than everything that the receiver does with it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import trio
from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import Event
from websockets.server import ServerProtocol

from agent.limits import KIB, Limits
from agent.receiver.turns import Turns

_READ = 64 * KIB
#: Work that a batch of messages is beside its bytes, as bytes.
_BATCH = 8 * KIB


class LinkClosed(Exception):
    """The connection is over. `code` is None if it broke without a word."""

    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__(f"{code}: {reason}" if code is not None and reason else str(code or reason))
        self.code = code


class Link:
    """A connection. One task receives; any task may send."""

    def __init__(self, stream: trio.abc.Stream, limits: Limits, turns: Turns | None = None) -> None:
        """`turns` shares the loop with other connections."""
        self._stream = stream
        self._turns = turns or Turns(limits.receiver_turn)
        self._limits = limits
        self._protocol = ServerProtocol(max_size=limits.receiver_message_bytes)
        self._sending = trio.Lock()
        #: Parts of a message that has not ended: its first opcode and what came of it.
        self._begun: tuple[Opcode, bytearray] | None = None
        #: Frames that came right behind the request.
        self._early: list[Event] = []
        #: Bytes that came and wait for their turn.
        self._unread: bytes | bytearray | None = None
        self._asked = False

    async def handshake(self) -> Request | None:
        """Receive the request for a WebSocket. None if the other side sends something else, which is answered.

        Cancelling: safe.
        """
        while True:
            data = await self._stream.receive_some(_READ)
            if data:
                self._protocol.receive_data(data)
            else:
                self._protocol.receive_eof()
            if events := self._protocol.events_received():
                request, *self._early = events
                assert isinstance(request, Request)
                return request
            if not data or self._protocol.handshake_exc is not None:
                await self._flush()
                return None

    async def accept(self, request: Request) -> bool:
        """Answer the request; False if it asks for something that is no WebSocket.

        Cancelling: may leave the answer half sent.
        """
        response = self._protocol.accept(request)
        self._protocol.send_response(response)
        await self._flush()
        return response.status_code == 101

    async def reject(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        """Refuse the request, with one line for a person. Cancelling: may leave the answer half sent."""
        response = self._protocol.reject(status, f"{text}\n")
        for name, value in (headers or {}).items():
            response.headers[name] = value
        self._protocol.send_response(response)
        await self._flush()

    async def receive(self) -> list[str | bytes]:
        """Receive the messages that the next bytes complete: at least one. A client that is silent for long must
        answer a PING.

        Raises:
            LinkClosed: the connection is over, and every message of it was returned.

        Cancelling: safe.
        """
        while True:
            early, self._early = self._early, []
            messages = self._messages([*early, *self._protocol.events_received()])
            if self._protocol.writes:
                await self._flush()
            if messages:
                return messages
            if self._protocol.close_expected():
                raise self._closed()
            await self._read()

    async def _read(self) -> None:
        if self._unread is None:
            await self._wait()
        if self._unread is None:
            return
        await self._turns.take(_BATCH + len(self._unread))
        data, self._unread = self._unread, None
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
            raise self._closed()

    async def _wait(self) -> None:
        """Wait for bytes, or ask whether somebody is there."""
        limit = self._limits.receiver_patience if self._asked else self._limits.receiver_silence
        with trio.move_on_after(limit) as silence:
            try:
                self._unread = await self._stream.receive_some(_READ)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                raise self._closed() from None
        if not silence.cancelled_caught:
            self._asked = False
            return
        if self._asked:
            words = f"no answer within {self._limits.receiver_patience:g} s"
            raise LinkClosed(None, f"{words}; its agent hangs, or its machine or network is gone")
        self._asked = True
        self._protocol.send_ping(b"")
        await self._flush()

    async def send(self, *texts: str) -> None:
        """Send messages.

        Raises:
            LinkClosed: the connection is over, or the other side takes nothing within `receiver_patience`.

        Cancelling: may leave a message half sent; nothing can be sent any more.
        """
        try:
            for text in texts:
                self._protocol.send_text(text.encode())
        except InvalidState:
            raise self._closed() from None
        await self._turns.take(_BATCH)
        await self._flush()

    async def close(self, code: int, reason: str = "") -> None:
        """Say goodbye; `receive` then ends once the other side has answered. Cancelling: may leave it half said."""
        with contextlib.suppress(InvalidState):
            self._protocol.send_close(code, reason)
        with contextlib.suppress(LinkClosed):
            await self._flush()

    async def linger(self) -> None:
        """Read what still comes, so that the goodbye is not lost with unread bytes. Cancelling: safe."""
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while await self._stream.receive_some(_READ):
                pass

    def forget(self) -> None:
        """Let go of what would keep the connection in memory until a search for garbage finds it."""
        if (error := self._protocol.parser_exc) is not None:
            error.__traceback__ = None  # its frame is the protocol's

    async def _flush(self) -> None:
        with trio.move_on_after(self._limits.receiver_patience):
            async with self._sending:
                pieces = self._protocol.data_to_send()
                try:
                    if data := b"".join(pieces):
                        await self._stream.send_all(data)
                    if pieces and pieces[-1] == b"" and isinstance(self._stream, trio.abc.HalfCloseableStream):
                        await self._stream.send_eof()
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    raise self._closed() from None
            return
        raise LinkClosed(None, f"nothing taken within {self._limits.receiver_patience:g} s")

    def _messages(self, events: list[Event]) -> list[str | bytes]:
        messages: list[str | bytes] = []
        for frame in events:
            if not isinstance(frame, Frame) or frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                continue
            opcode: Opcode = frame.opcode
            data = frame.data
            if self._begun is not None:
                opcode, whole = self._begun
                whole += data
                data = whole
            elif not frame.fin:
                self._begun = opcode, bytearray(data)
            if not frame.fin:
                continue
            self._begun = None
            if opcode is Opcode.BINARY:
                messages.append(bytes(data))
                continue
            try:
                messages.append(str(data, "utf-8"))
            except UnicodeDecodeError:
                self._protocol.fail(1007, "not UTF-8")
                break
        return messages

    def _closed(self) -> LinkClosed:
        close = self._protocol.close_rcvd or self._protocol.close_sent
        return LinkClosed(close.code, close.reason) if close else LinkClosed(None, "the connection broke")
