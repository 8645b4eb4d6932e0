"""One WebSocket, frame by frame, over a stream in memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair
from websockets.client import ClientProtocol
from websockets.frames import Close, Frame, Opcode
from websockets.uri import parse_uri

from agent.limits import Limits
from agent.receiver.link import Link, LinkClosed
from agent.receiver.turns import Turns


class Client:
    """The other end, which may send any frame."""

    def __init__(self, stream: trio.StapledStream) -> None:
        self.stream = stream
        self.protocol = ClientProtocol(parse_uri("ws://localhost/x"))

    async def flush(self, more: bytes = b"") -> None:
        await self.stream.send_all(b"".join(self.protocol.data_to_send()) + more)

    async def frame(self, opcode: Opcode, data: bytes, *, fin: bool = True) -> None:
        await self.stream.send_all(Frame(opcode, data, fin).serialize(mask=True))

    async def read(self) -> list[object]:
        self.protocol.receive_data(await self.stream.receive_some())
        return list(self.protocol.events_received())


def talk(scenario: Callable[[Link, Client], object], limits: Limits | None = None, first: bytes = b"") -> None:
    async def run() -> None:
        ours, theirs = memory_stream_pair()
        link, client = Link(theirs, limits or Limits()), Client(ours)
        client.protocol.send_request(client.protocol.connect())
        await client.flush(first)
        request = await link.handshake()
        assert request is not None
        assert await link.accept(request)
        await client.read()
        await scenario(link, client)  # type: ignore[misc]

    trio.run(run, clock=MockClock(autojump_threshold=0))


def test_one_read_is_one_batch():
    async def scenario(link: Link, client: Client) -> None:
        for text in (b"a", "ä".encode(), b""):
            client.protocol.send_text(text)
        client.protocol.send_binary(b"\x00")
        await client.flush()
        assert await link.receive() == ["a", "ä", "", b"\x00"]

    talk(scenario)


def test_what_waits_for_its_turn_when_it_is_cancelled_is_not_lost():
    class Slow(Turns):
        async def take(self, work: int) -> None:
            self.take = super().take  # type: ignore[method-assign]
            await trio.sleep_forever()

    async def scenario(link: Link, client: Client) -> None:
        link._turns = Slow(1000)
        client.protocol.send_text(b"a")
        await client.flush()
        with trio.move_on_after(1) as cancelled:
            await link.receive()
        assert cancelled.cancelled_caught
        assert await link.receive() == ["a"]

    talk(scenario)


def test_a_message_in_fragments_with_a_ping_between():
    async def scenario(link: Link, client: Client) -> None:
        await client.frame(Opcode.TEXT, b"\xc3", fin=False)
        await client.frame(Opcode.PING, b"p")
        await client.frame(Opcode.CONT, b"\xa4", fin=False)
        await client.frame(Opcode.CONT, b"!")
        assert await link.receive() == ["ä!"]
        (pong,) = await client.read()
        assert isinstance(pong, Frame)
        assert (pong.opcode, pong.data) == (Opcode.PONG, b"p")

    talk(scenario)


def test_a_message_that_came_with_the_handshake():
    async def scenario(link: Link, client: Client) -> None:
        assert await link.receive() == ["early"]

    talk(scenario, first=Frame(Opcode.TEXT, b"early").serialize(mask=True))


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([(Opcode.TEXT, b"\xff")], 1007),
        ([(Opcode.TEXT, b"x" * 2000)], 1009),
        ([(Opcode.CONT, b"x")], 1002),
        ([(Opcode.CLOSE, Close(1000, "bye").serialize())], 1000),
        ([(Opcode.CLOSE, b"")], 1005),
    ],
)
def test_how_it_ends(frames: list[tuple[Opcode, bytes]], code: int):
    async def scenario(link: Link, client: Client) -> None:
        await client.frame(Opcode.TEXT, b"before")
        for opcode, data in frames:
            await client.frame(opcode, data)
        received: list[str | bytes] = []

        async def receive_all() -> None:
            while True:
                received.extend(await link.receive())

        with pytest.raises(LinkClosed) as caught:
            await receive_all()
        assert received == ["before"]
        assert caught.value.code == code
        with pytest.raises(LinkClosed):
            await link.send("late")

    talk(scenario, Limits(receiver_message_bytes=1000))


def test_a_connection_that_breaks():
    async def scenario(link: Link, client: Client) -> None:
        await client.stream.aclose()
        with pytest.raises(LinkClosed, match="broke"):
            await link.receive()

    talk(scenario)


def test_silence_is_asked_and_then_over():
    async def scenario(link: Link, client: Client) -> None:
        start = trio.current_time()
        with pytest.raises(LinkClosed, match="no answer within 10 s"):
            await link.receive()
        assert trio.current_time() - start == 40
        (ping,) = await client.read()
        assert isinstance(ping, Frame)
        assert ping.opcode is Opcode.PING

    talk(scenario)


def test_a_goodbye_of_ours_ends_with_their_answer():
    async def scenario(link: Link, client: Client) -> None:
        await link.close(1001)
        await link.close(1001)
        await client.read()
        await client.flush()
        with pytest.raises(LinkClosed) as caught:
            await link.receive()
        assert caught.value.code == 1001

    talk(scenario)


async def test_what_is_no_websocket_gets_an_answer():
    for sent in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"nonsense\r\n\r\n"):
        ours, theirs = memory_stream_pair()
        link = Link(theirs, Limits())
        await ours.send_all(sent)
        request = await link.handshake()
        if request is not None:
            assert not await link.accept(request)
            assert b"426" in await ours.receive_some()
        else:
            assert sent.startswith(b"nonsense")
