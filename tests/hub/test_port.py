"""One port: WebSockets and HTTP side by side, silence and nonsense beside them."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio

from agent.limits import Limits
from tests.receiver.test_server import acked, connected
from tests.support.hub_client import open_client
from tests.support.runs import a_run


async def test_agents_are_taken_at_every_path_that_is_not_below_api(tmp_path: Path):
    async with open_client(tmp_path) as client:
        for number, path in enumerate(("/", "/x/y?z", "/apix")):
            await client.send(*a_run(1, run_id=f"R{number}").lines, path=path)
        assert (await client.get("/api/runs")).json["totals"]["runs"] == 3
        with pytest.raises(ExceptionGroup):
            async with connected(client.receiver.url, "/api/runs"):
                pass


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"\x16\x03\x01\x00\x00", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /api/session HTTP/1.1\r\nHost: localhost\r\n\r\n", b"200"),
    ],
)
async def test_nonsense_gets_an_answer(tmp_path: Path, sent: bytes, answer: bytes):
    async with open_client(tmp_path) as client:
        stream = await trio.open_tcp_stream("127.0.0.1", client.port)
        async with stream:
            await stream.send_all(sent)
            assert answer in await stream.receive_some()
        assert client.shown.getvalue().count("\n") == 0


async def test_a_request_that_arrives_in_pieces(tmp_path: Path):
    async with open_client(tmp_path) as client:
        stream = await trio.open_tcp_stream("127.0.0.1", client.port)
        async with stream:
            for piece in (b"GET /api/ses", b"sion HTTP/1.1\r\nHo", b"st: localhost\r\n", b"\r\n"):
                await stream.send_all(piece)
                await trio.sleep(0.01)
            answer = b""
            with trio.fail_after(40):
                while b'"right":"read"' not in answer:  # an answer may come in pieces as well
                    piece = await stream.receive_some()
                    assert piece, answer
                    answer += piece


async def test_silent_connections_lock_nobody_out(tmp_path: Path):
    limits = Limits(hub_strangers=5, receiver_handshake=30)
    async with open_client(tmp_path, limits=limits) as client:
        async with AsyncExitStack() as silent:

            async def crowd() -> None:
                for _ in range(20):
                    await silent.enter_async_context(await trio.open_tcp_stream("127.0.0.1", client.port))

            await crowd()
            async with connected(client.receiver.url) as agent:
                await crowd()
                await agent.send_message(a_run(1).lines[0])
                assert await acked(agent) == 1
                assert (await client.get("/api/session")).status == 200
        assert client.shown.getvalue().count("connection") == 0


async def test_a_probe_that_connects_and_closes_is_silent(tmp_path: Path):
    async with open_client(tmp_path) as client:
        for _ in range(3):
            await (await trio.open_tcp_stream("127.0.0.1", client.port)).aclose()
        await trio.sleep(0.05)
        assert client.shown.getvalue() == ""
