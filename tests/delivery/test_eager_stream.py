"""The stream under the WebSocket, over real sockets on loopback."""

from __future__ import annotations

import os

import pytest
import trio

from agent.delivery.eager_stream import EagerStream
from agent.limits import MIB


async def pair(unsent: int = MIB) -> tuple[EagerStream, trio.SocketStream]:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        _, port = listener.socket.getsockname()[:2]
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        return EagerStream(stream, unsent), await listener.accept()


async def received(stream: trio.SocketStream, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        data += await stream.receive_some()
    return bytes(data)


async def send_for_ever(stream: EagerStream) -> None:
    while True:
        await stream.send_all(b"x" * 1000)
        await trio.lowlevel.checkpoint()


async def test_what_the_kernel_takes_is_sent_without_a_pass_of_the_scheduler():
    ours, theirs = await pair()
    passes = 0

    async def count() -> None:
        nonlocal passes
        while True:
            await trio.lowlevel.checkpoint()
            passes += 1

    async with ours, theirs, trio.open_nursery() as nursery:
        nursery.start_soon(count)
        await trio.lowlevel.checkpoint()
        before = passes
        for _ in range(10):
            await ours.send_all(b"x" * 1000)
        assert passes == before
        assert await received(theirs, 10_000) == b"x" * 10_000
        nursery.cancel_scope.cancel()


async def test_more_than_the_kernel_takes_arrives_whole_and_in_order():
    ours, theirs = await pair(1 << 14)
    data = os.urandom(20 * MIB)
    async with ours, theirs, trio.open_nursery() as nursery:

        async def send() -> None:
            await ours.send_all(data)
            await ours.send_all(b"end")

        nursery.start_soon(send)
        assert await received(theirs, len(data) + 3) == data + b"end"


async def test_the_other_direction_and_its_end():
    ours, theirs = await pair()
    async with ours:
        async with theirs:
            await ours.wait_send_all_might_not_block()
            await theirs.send_all(b"hello")
            assert await ours.receive_some(100) == b"hello"
        assert await ours.receive_some() == b""


async def test_a_peer_that_is_gone_is_a_broken_resource():
    ours, theirs = await pair()
    async with ours:
        await trio.aclose_forcefully(theirs)
        with pytest.raises(trio.BrokenResourceError):
            await send_for_ever(ours)


async def test_a_closed_stream_sends_nothing():
    ours, theirs = await pair()
    async with theirs:
        await ours.aclose()
        with pytest.raises(trio.BrokenResourceError):
            await ours.send_all(b"x")


async def test_a_cancelled_sender_sends_nothing():
    ours, theirs = await pair()
    async with ours, theirs:
        with trio.CancelScope() as scope:
            scope.cancel()
            await ours.send_all(b"x")
        assert scope.cancelled_caught
        await ours.send_all(b"y")
        assert await theirs.receive_some() == b"y"
