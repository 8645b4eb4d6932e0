"""A byte stream in memory that behaves as badly as TCP: bounded, cut into any pieces, frozen, torn."""

from __future__ import annotations

import trio


class Lane:
    """One direction. The writer waits while `capacity` bytes are on their way, which takes `latency` seconds."""

    def __init__(self, capacity: int, piece: int, latency: float = 0.0) -> None:
        self._capacity = capacity
        self._piece = piece
        self._latency = latency
        #: When the oldest bytes on their way arrive.
        self._arrival = 0.0
        self._bytes = bytearray()
        self._ended = False
        self._broken = False
        self._frozen = False
        self._changed = trio.lowlevel.ParkingLot()
        #: Bytes that still get through before the connection breaks; None for any number.
        self.allowance: int | None = None

    async def put(self, data: bytes | bytearray | memoryview) -> None:
        """Cancelling: leaves a part of the data sent, as with a socket."""
        rest = bytes(data)
        waited = False
        while rest:
            if self._broken or self._ended:
                raise trio.BrokenResourceError("the connection is broken")
            room = self._capacity - len(self._bytes)
            if self.allowance is not None:
                room = min(room, self.allowance)
            if room <= 0 and self.allowance == 0:
                self.break_off()
                continue
            if room <= 0:
                await self._changed.park()
                waited = True
                continue
            taken, rest = rest[:room], rest[room:]
            if self._latency and not self._bytes:
                self._arrival = trio.current_time() + self._latency
            self._bytes += taken
            if self.allowance is not None:
                self.allowance -= len(taken)
            self._changed.unpark_all()
        if not waited:
            await trio.lowlevel.checkpoint()

    async def take(self) -> bytes:
        """Cancelling: safe."""
        waited = False
        while True:
            if self._broken:
                raise trio.BrokenResourceError("the connection is broken")
            if self._bytes and self._latency and (delay := self._arrival - trio.current_time()) > 0:
                with trio.move_on_after(delay):
                    await self._changed.park()
                waited = True
                continue
            if self._bytes and not self._frozen:
                taken = bytes(self._bytes[: self._piece])
                del self._bytes[: self._piece]
                self._changed.unpark_all()
                if not waited:
                    await trio.lowlevel.cancel_shielded_checkpoint()
                return taken
            if self._ended and not self._frozen:
                await trio.lowlevel.checkpoint()
                return b""
            await self._changed.park()
            waited = True

    def freeze(self) -> None:
        """Nothing arrives any more, and nobody is told."""
        self._frozen = True

    def thaw(self) -> None:
        self._frozen = False
        self._changed.unpark_all()

    def end(self) -> None:
        """The writer is done: what is on its way arrives, then the end of file."""
        self._ended = True
        self._changed.unpark_all()

    def break_off(self) -> None:
        """A reset: what is on its way is lost."""
        self._broken = True
        self._bytes.clear()
        self._changed.unpark_all()


class Wire(trio.abc.Stream):
    """One end of a connection."""

    def __init__(self, incoming: Lane, outgoing: Lane) -> None:
        self.incoming = incoming
        self.outgoing = outgoing

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.outgoing.put(data)

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return await self.incoming.take()

    async def aclose(self) -> None:
        self.outgoing.end()
        self.incoming.break_off()
        await trio.lowlevel.checkpoint()

    def reset(self) -> None:
        """The connection is gone, both ways."""
        self.incoming.break_off()
        self.outgoing.break_off()


class Pipe(trio.abc.ReceiveStream):
    """The reading end of claude's stdout or stderr; the writer blocks when it is full."""

    def __init__(self, capacity: int, piece: int, latency: float = 0.0) -> None:
        self._lane = Lane(capacity, piece, latency)

    async def write(self, data: bytes) -> None:
        await self._lane.put(data)

    def hang_up(self) -> None:
        """The last writer is gone."""
        self._lane.end()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return await self._lane.take()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
