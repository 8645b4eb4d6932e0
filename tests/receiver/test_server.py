"""Connections of all kinds: good, torn, silent, hostile."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import pytest
import trio
from trio.testing import MockClock, memory_stream_pair
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    WebSocketConnection,
    wrap_client_stream,
)  # fmt: skip
from wsproto.utilities import ProtocolError

from agent.limits import Limits
from agent.receiver import Receiver
from agent.receiver.messages import RunKey, first_written
from agent.receiver.run import Run
from agent.receiver.store import Store
from tests.support.arrivals import seeded
from tests.support.receiving import open_receiver
from tests.support.runs import Written, a_run, copy_of, with_seq
from tests.support.servers import Server, open_agent_serve, open_websockets_server, open_ws_server

KEY = RunKey("c1", "01JZ0000000000000000000000")


@asynccontextmanager
async def connected(
    url: str, path: str = "/", headers: Sequence[tuple[bytes, bytes]] = ()
) -> AsyncIterator[WebSocketConnection]:
    """A client whose every wait has an end. Whatever ends it comes out in a group."""
    with trio.fail_after(90):
        stream = await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2]))
        async with stream, trio.open_nursery() as nursery:
            with trio.fail_after(30):
                connection = await wrap_client_stream(nursery, stream, "localhost", path, extra_headers=[*headers])
            yield connection
            with trio.move_on_after(1):
                await connection.aclose()
            nursery.cancel_scope.cancel()


async def acked(connection: WebSocketConnection) -> int:
    message = json.loads(await connection.get_message())
    assert message["type"] == "HEARTBEAT"
    return message["ack"]


async def test_a_run_is_received_acknowledged_and_verified():
    async with open_receiver(keep=True) as receiver:
        written = a_run(3)
        async with connected(receiver.url) as connection:
            for line in written.lines:
                await connection.send_message(line)
            assert [await acked(connection), await acked(connection)] == [1, 5]
            await connection.send_message(written.heartbeat())
            assert await acked(connection) == 5
        await receiver.until(lambda: not receiver.connections)
    run = receiver.runs[KEY]
    assert run.lines == written.lines
    assert receiver.completed == [run]
    assert run.comparison is not None
    assert run.comparison.whole
    assert receiver.failures == []


async def test_a_run_whose_agent_hangs_is_named():
    """Acks that nobody reads keep the client's library from answering a PING, as a stopped process would."""
    limits = msgspec.structs.replace(
        Limits(), receiver_silence=0.2, receiver_patience=0.3, receiver_ack_messages=1, receiver_close=0.1
    )
    async with open_receiver(limits=limits) as receiver:
        try:
            async with connected(receiver.url) as connection:
                for line in a_run(5).lines[:4]:
                    await connection.send_message(line)
                    await trio.sleep(0.02)
                await receiver.until(lambda: receiver.failures)
        except* ProtocolError:
            pass  # now it answers, too late
    assert receiver.failures == [
        "a connection of c1 (run 01JZ0000000000000000000000) was lost: no answer within 0.3 s; its agent hangs, or its "
        "machine or network is gone"
    ]


async def test_without_acks_it_is_a_plain_server():
    async with open_receiver(acks=False, keep=True) as receiver, connected(receiver.url) as connection:
        for line in a_run(3).lines:
            await connection.send_message(line)
        await connection.ping()
        await receiver.until(lambda: receiver.completed)
        with pytest.raises(trio.TooSlowError), trio.fail_after(0.05):
            await connection.get_message()


async def test_a_stalled_receiver_reads_nothing_and_goes_on():
    async with open_receiver(keep=True) as receiver, connected(receiver.url) as connection:
        receiver.reading = trio.Event()
        lines = a_run(5).lines
        async with trio.open_nursery() as nursery:
            for line in lines:
                nursery.start_soon(connection.send_message, line)
        await trio.sleep(0.05)
        # One message was already asked for.
        assert len(receiver.runs[KEY].lines or []) <= 1 if receiver.runs else True
        receiver.reading.set()
        await receiver.until(lambda: receiver.runs and receiver.runs[KEY].next == 8)


async def test_what_is_no_message_is_counted_and_the_connection_lives():
    async with open_receiver() as receiver, connected(receiver.url) as connection:
        for garbage in ("", "no", "{}", b"\xff\x00", "[" * 50_000, "\n"):
            await connection.send_message(garbage)
        await connection.send_message(a_run().lines[0])
        assert await acked(connection) == 1
        assert receiver.malformed == 6


async def test_a_message_beyond_the_limit_ends_its_connection_only():
    limits = msgspec.structs.replace(Limits(), receiver_message_bytes=1000)
    async with open_receiver(limits=limits) as receiver:
        async with connected(receiver.url) as connection:
            await connection.send_message("x" * 2000)
            with pytest.raises(ConnectionClosed):
                await connection.get_message()
        async with connected(receiver.url) as connection:
            await connection.send_message(a_run().lines[0])
            assert await acked(connection) == 1


@pytest.mark.parametrize("seed", range(5))
async def test_bytes_that_are_no_websocket_end_their_connection_only(seed: int):
    noise = random.Random(seed).randbytes(2000)
    upgrade = (
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    async with open_receiver() as receiver:
        port = int(receiver.url.rpartition(":")[2])
        for sent in (noise, b"GET / HTTP/1.1\r\n\r\n", b"\r\n" * 50_000, upgrade + noise, upgrade[:50]):
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            async with stream:
                await stream.send_all(sent)
        async with connected(receiver.url) as connection:
            await connection.send_message(a_run().lines[0])
            assert await acked(connection) == 1


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/", []),
        ("/", [("Authorization", "Bearer wrong")]),
        ("/", [("Authorization", "Bearer")]),
        ("/", [("Authorization", "Basic s3cret")]),
        ("/?token=", []),
        ("/?token=s3cre", []),
        ("/?token=s3cret&token=", [("Authorization", "Bearer no")]),
        ("/?token=%ff", []),
    ],
)
async def test_a_wrong_token_is_refused(path: str, headers: list[tuple[str, str]]):
    async with open_receiver(token="s3cret") as receiver:
        encoded = [(name.encode(), value.encode()) for name, value in headers]
        with pytest.RaisesGroup(ConnectionRejected, flatten_subgroups=True) as caught:
            async with connected(receiver.url, path, encoded):
                pass
        assert caught.value.exceptions[0].status_code == 401
    assert "s3cret" not in str(receiver.failures)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/", [(b"authorization", b"Bearer s3cret")]),
        ("/", [(b"Authorization", b"bearer s3cret")]),
        ("/?token=s3cret", []),
    ],
)
async def test_the_right_token_is_accepted(path: str, headers: list[tuple[bytes, bytes]]):
    async with open_receiver(token="s3cret") as receiver, connected(receiver.url, path, headers) as connection:
        await connection.send_message(a_run().lines[0])
        assert await acked(connection) == 1


async def test_a_web_page_is_refused_where_no_token_is_asked_for():
    async with open_receiver() as receiver:
        with pytest.RaisesGroup(ConnectionRejected, flatten_subgroups=True):
            async with connected(receiver.url, headers=[(b"Origin", b"http://evil.example")]):
                pass


async def test_beyond_the_limit_an_agent_is_told_to_come_again():
    limits = msgspec.structs.replace(Limits(), receiver_connections=2)
    async with open_receiver(limits=limits, token="s3cret") as receiver:
        path = "/?token=s3cret"
        async with connected(receiver.url, path), connected(receiver.url, path):
            for _ in range(2):
                with pytest.RaisesGroup(ConnectionRejected, flatten_subgroups=True) as caught:
                    async with connected(receiver.url, path):
                        pass
                (rejected,) = caught.value.exceptions
                assert rejected.status_code == 503
                assert (b"retry-after", b"15") in rejected.headers
        assert receiver.turned_away == 2
        await receiver.until(lambda: not receiver.connections)
        async with connected(receiver.url, path) as connection:
            await connection.send_message(a_run().lines[0])
            assert await acked(connection) == 1


async def test_connections_without_a_token_take_no_place():
    limits = msgspec.structs.replace(Limits(), receiver_connections=1)
    async with open_receiver(limits=limits, token="s3cret") as receiver, AsyncExitStack() as silent:
        for _ in range(5):
            await silent.enter_async_context(
                await trio.open_tcp_stream("127.0.0.1", int(receiver.url.rpartition(":")[2]))
            )
        async with connected(receiver.url, "/?token=s3cret") as connection:
            await connection.send_message(a_run().lines[0])
            assert await acked(connection) == 1
        assert receiver.failures == []


async def test_a_plain_sender_is_stored_too(tmp_path: Path):
    def text(type: str, **data: object) -> str:
        return json.dumps({"type": type, "containerID": "c1", "timestamp": "t", "data": data})

    store = Store(tmp_path / "runs")
    first = [text("STATUS", status="starting"), text("LOG", level="info", message="1"), text("HEARTBEAT")]
    then = [text("LOG", level="info", message="1"), text("COMPLETE", exitCode=0)]
    async with open_receiver(store=store) as receiver:
        for lines in (first, then, first):
            async with connected(receiver.url) as connection:
                for line in lines:
                    await connection.send_message(line)
                await connection.ping()
            await receiver.until(lambda: not receiver.connections)
        assert receiver.failures == []
    one, two = sorted(store.files())
    assert one.read_text().splitlines() == [*first[:2], *then]
    assert two.read_text().splitlines() == first[:2]
    key = store.key(one)
    assert key is not None
    assert key.container_id == "c1"
    run = store.recall(key)
    assert (run.events, run.next) == (4, 5)
    assert run.comparison is not None
    assert run.comparison.unchecked == "COMPLETE has nothing to compare with"
    store.close()


async def test_a_large_run_that_comes_back_holds_nobody_up(tmp_path: Path, monkeypatch):
    store = Store(tmp_path / "runs")
    lines = a_run(2).lines
    store.append(KEY, lines[0])
    read, slow = store.recall, threading.Event()

    def recall(key: RunKey, *, keep: bool = False) -> Run:
        if key == KEY:
            assert slow.wait(20)
        return read(key, keep=keep)

    monkeypatch.setattr(store, "recall", recall)
    async with (
        open_receiver(store=store, limits=Limits(receiver_small=0)) as receiver,
        connected(receiver.url) as one,
        connected(receiver.url) as two,
        connected(receiver.url) as other,
    ):
        await one.send_message(lines[1])
        await two.send_message(lines[1])
        await other.send_message(a_run(1, run_id="R2").lines[0])
        assert await acked(other) == 1
        slow.set()
        assert [await acked(one), await acked(two)] == [2, 2]
    assert store.path(KEY).read_text().splitlines() == lines[:2]
    store.close()


async def test_a_message_that_cannot_be_stored_is_not_acknowledged(tmp_path: Path, monkeypatch):
    store = Store(tmp_path / "runs")
    lines = a_run(3).lines
    async with open_receiver(store=store) as receiver:
        async with connected(receiver.url) as connection:
            await connection.send_message(lines[0])
            assert await acked(connection) == 1

            def full(key: RunKey, *texts: str) -> None:
                raise OSError(28, "No space left on device")

            with monkeypatch.context() as patched:
                patched.setattr(store, "append", full)
                await connection.send_message(lines[1])
                with pytest.raises(ConnectionClosed) as caught:
                    await connection.get_message()
                assert caught.value.reason.code == 1013
        assert receiver.failures == ["cannot store: No space left on device"]
        async with connected(receiver.url) as connection:
            for line in lines[1:]:
                await connection.send_message(line)
            assert [await acked(connection), await acked(connection)] == [2, 5]
    store.close()
    assert store.path(KEY).read_text().splitlines() == lines


async def test_a_stop_says_goodbye():
    stop = trio.Event()

    async def serve(task_status: trio.TaskStatus[Receiver]) -> None:
        async with open_receiver() as receiver:
            task_status.started(receiver)
            await stop.wait()

    async with trio.open_nursery() as nursery:
        receiver = await nursery.start(serve)
        async with connected(receiver.url) as connection:
            await connection.send_message(a_run().lines[0])
            assert await acked(connection) == 1
            stop.set()
            with pytest.raises(ConnectionClosed) as caught:
                await connection.get_message()
            assert caught.value.reason.code == 1001


def simulate(scenario) -> None:
    """On a mock clock, over streams in memory: no descriptor, no waiting."""

    async def run() -> None:
        ours, theirs = memory_stream_pair()
        receiver = Receiver(limits=Limits(), keep=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiver.serve_stream, theirs)
            await scenario(receiver, ours)
            nursery.cancel_scope.cancel()

    trio.run(run, clock=MockClock(autojump_threshold=0))


def test_a_connection_over_streams_in_memory():
    async def scenario(receiver: Receiver, stream: trio.StapledStream) -> None:
        async with trio.open_nursery() as nursery:
            connection = await wrap_client_stream(nursery, stream, "memory", "/")
            for line in a_run(250).lines:
                await connection.send_message(line)
            assert [await acked(connection) for _ in range(4)] == [1, 101, 201, 252]
            await connection.aclose()
        assert receiver.runs[KEY].comparison is not None

    simulate(scenario)


def test_a_client_that_says_nothing_is_cut_off():
    async def scenario(receiver: Receiver, stream: trio.StapledStream) -> None:
        start = trio.current_time()
        assert await stream.receive_some() == b""
        assert trio.current_time() - start == Limits().receiver_handshake

    simulate(scenario)


def test_a_client_that_falls_silent_must_answer_a_ping():
    async def scenario(receiver: Receiver, stream: trio.StapledStream) -> None:
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            await wrap_client_stream(nursery, stream, "memory", "/")
            # The library answers PINGs by itself ...
            await trio.sleep(300)
            assert len(receiver.connections) == 1
            nursery.cancel_scope.cancel()
        # ... and nobody does now.
        stalled = trio.current_time()
        await receiver.until(lambda: not receiver.connections)
        limits = Limits()
        assert trio.current_time() - stalled <= limits.receiver_silence + limits.receiver_patience
        assert trio.current_time() > start

    simulate(scenario)


def test_a_client_that_does_not_take_its_acks_is_cut_off():
    class Deaf(trio.abc.SendStream):
        async def send_all(self, data: bytes) -> None:
            if data[:4] == b"HTTP":
                await pipe.send_all(data)
            else:
                await trio.sleep_forever()

        async def wait_send_all_might_not_block(self) -> None:
            await trio.lowlevel.checkpoint()

        async def aclose(self) -> None:
            await pipe.aclose()

    async def run() -> None:
        receiver = Receiver(limits=Limits())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiver.serve_stream, trio.StapledStream(Deaf(), theirs.receive_stream))
            connection = await wrap_client_stream(nursery, ours, "memory", "/")
            await connection.send_message(a_run().lines[0])
            start = trio.current_time()
            await receiver.until(lambda: not receiver.connections)
            assert trio.current_time() - start == Limits().receiver_patience
            nursery.cancel_scope.cancel()

    ours, theirs = memory_stream_pair()
    pipe = theirs.send_stream
    trio.run(run, clock=MockClock(autojump_threshold=0))


# --- real servers, killed


async def deliver(server: Server, written: Written, *, wait_for_ack: bool) -> None:
    """What an agent does: keep trying, from what is confirmed, copies marked."""
    confirmed = 0
    with trio.fail_after(60):
        while confirmed < len(written.lines):
            try:
                async with connected(server.url) as connection:
                    for line in written.lines[confirmed:]:
                        await connection.send_message(copy_of(line) if confirmed else line)
                    while wait_for_ack and confirmed < len(written.lines):
                        confirmed = max(confirmed, await acked(connection))
                    # Where acknowledgements come nobody reads a PONG behind one that is not read.
                    if not wait_for_ack:
                        await connection.ping()
                        confirmed = len(written.lines)
            except* (ConnectionClosed, HandshakeError, OSError, trio.TooSlowError):
                await trio.sleep(0.01)


@pytest.mark.system
@pytest.mark.parametrize("opener", [open_websockets_server, open_agent_serve])
async def test_a_server_that_acknowledges_stores_each_event_once_though_it_is_killed(opener, tmp_path: Path):
    written = a_run(3000)
    size = sum(len(line) + 1 for line in written.lines)
    chance = seeded()
    moments = sorted(chance.randrange(size) for _ in range(3))
    async with opener(tmp_path) as server, trio.open_nursery() as nursery:
        nursery.start_soon(partial(deliver, server, written, wait_for_ack=True))
        for moment in moments:
            with trio.fail_after(60):
                while server.stored() < moment:
                    await trio.sleep(0.001)
            server.kill()
            await server.start()
    assert [first_written(line) for line in server.lines()] == written.lines


@pytest.mark.node
async def test_a_plain_server_stores_what_it_was_given(tmp_path: Path):
    written = a_run(100)
    async with open_ws_server(tmp_path) as server:
        await deliver(server, written, wait_for_ack=False)
        assert with_seq(server.lines()) == list(range(1, 103))
        server.kill()
        await server.start()
        await deliver(server, written, wait_for_ack=False)
        assert len(server.lines()) == 204
