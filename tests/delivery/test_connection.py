"""One WebSocket connection on loopback, with short deadlines, and the traps of trio-websocket.

On real sockets: what a server, a gateway or a network may do to an opening, TLS, addresses. On memory streams and the
mock clock: what the library does when a standing connection goes wrong.
"""

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import msgspec
import pytest
import trio
from trio.testing import memory_stream_pair
from trio_websocket import ConnectionClosed, wrap_server_stream

from agent.delivery.connection import Connection, ConnectionLost, Endpoint, connect
from agent.limits import Limits
from tests.simulation.wire import Lane
from tests.simulation.wire import Wire as BoundedWire

LIMITS = msgspec.structs.replace(Limits(), connect=20)  # a busy machine is slow
#: For a peer that never answers.
SHORT = msgspec.structs.replace(LIMITS, connect=0.5)
Serve = Callable[[trio.abc.Stream], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A TCP server; what its connections raise is nobody's business."""

    async def shielded(stream: trio.SocketStream) -> None:
        try:
            await serve(trio.SSLStream(stream, tls, server_side=True) if tls else stream)
        except* (trio.BrokenResourceError, trio.ClosedResourceError, ConnectionClosed, ssl.SSLError):
            pass

    async with trio.open_nursery() as nursery:
        opened = partial(trio.serve_tcp, shielded, 0, host=host)
        listeners = await nursery.start(opened)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


class Asked:
    """A WebSocket server that notes what was asked and echoes."""

    def __init__(self) -> None:
        self.path = ""
        self.host = ""
        self.headers: dict[bytes, bytes] = {}

    async def serve(self, stream: trio.abc.Stream) -> None:
        async with trio.open_nursery() as nursery:
            request = await wrap_server_stream(nursery, stream)
            self.host = request._event.host  # the library leaves it out of the headers
            self.path, self.headers = request.path, dict(request.headers)
            ws = await request.accept()
            while True:
                await ws.send_message(await ws.get_message())


async def send(connection: Connection, messages: list[bytes], *, within: float) -> None:
    connection.send_now(messages)
    await connection.flush(within=within)


async def echoed(endpoint: Endpoint, limits: Limits = LIMITS) -> None:
    with trio.fail_after(30):
        async with connect(endpoint, limits) as connection:
            await send(connection, [b'{"a":1}', b"{}"], within=1)
            assert await connection.receive() == '{"a":1}', "a text message, not a binary one"
            assert await connection.receive() == "{}"
            await connection.ping(b"7")
            await connection.close(within=1)


async def failed(endpoint: Endpoint, limits: Limits = LIMITS) -> ConnectionLost:
    with trio.fail_after(30), pytest.raises(ConnectionLost) as caught:
        async with connect(endpoint, limits):
            pass
    return caught.value


def plain(port: int, path: str = "/") -> Endpoint:
    return Endpoint.parse(f"ws://127.0.0.1:{port}{path}", token=None, ca_file=None)


# --- what is asked


@pytest.mark.parametrize(
    ("url", "host", "port", "resource", "header"),
    [
        ("ws://example.com", "example.com", 80, "/", "example.com"),
        ("wss://example.com", "example.com", 443, "/", "example.com"),
        ("wss://example.com:80/a/b?token=x%20y", "example.com", 80, "/a/b?token=x%20y", "example.com:80"),
        ("ws://[::1]:8080/", "::1", 8080, "/", "[::1]:8080"),
        ("ws://[::1]?a=b", "::1", 80, "/?a=b", "[::1]"),
    ],
)
def test_a_url_says_where_to_and_what_for(url, host, port, resource, header) -> None:
    endpoint = Endpoint.parse(url, token=None, ca_file=None)
    assert (endpoint.host, endpoint.port, endpoint.resource) == (host, port, resource)
    assert endpoint.host_header == header
    assert (endpoint.tls is not None) == url.startswith("wss")


async def test_the_token_is_a_bearer_token_and_the_query_stays() -> None:
    asked = Asked()
    async with listening(asked.serve) as port:
        await echoed(Endpoint.parse(f"ws://127.0.0.1:{port}/runs?key=1", token="s3cret", ca_file=None))
        assert asked.path == "/runs?key=1"
        assert asked.headers[b"authorization"] == b"Bearer s3cret"
        assert asked.host == f"127.0.0.1:{port}"
        await echoed(plain(port))
        assert b"authorization" not in asked.headers
        assert b"sec-websocket-protocol" not in asked.headers, "an offer proves nothing: ws echoes any"


@pytest.mark.may_skip("IPv6")
async def test_ipv6() -> None:
    asked = Asked()
    try:
        async with listening(asked.serve, "::1") as port:
            await echoed(Endpoint.parse(f"ws://[::1]:{port}/", token=None, ca_file=None))
    except* OSError:
        pytest.skip("no IPv6 here")
    assert asked.host == f"[::1]:{port}"


# --- TLS


async def test_a_private_ca_is_trusted_where_it_is_named(certificate, tls) -> None:
    async with listening(Asked().serve, tls=tls) as port:
        await echoed(Endpoint.parse(f"wss://127.0.0.1:{port}/", token=None, ca_file=f"{certificate}.crt"))


async def test_an_untrusted_certificate_is_refused_with_a_hint(tls) -> None:
    async with listening(Asked().serve, tls=tls) as port:
        lost = await failed(Endpoint.parse(f"wss://127.0.0.1:{port}/", token="s3cret", ca_file=None))
    assert "certificate is not trusted (self-signed certificate); see WS_CA_FILE" in str(lost)
    assert not lost.refused


async def test_a_certificate_for_another_name_is_refused(certificate, tls) -> None:
    async with listening(Asked().serve, tls=tls) as port:
        lost = await failed(Endpoint.parse(f"wss://localhost:{port}/", token=None, ca_file=f"{certificate}.crt"))
    assert "not valid for 'localhost'" in str(lost)


@pytest.mark.parametrize("content", ["", "no certificate", None])
def test_a_ca_file_without_a_certificate_is_an_error(tmp_path, content) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(OSError, match=r".+"):
        Endpoint.parse("wss://example.com", token=None, ca_file=str(path))


async def test_tls_spoken_to_a_plain_server_and_the_other_way_round(tls) -> None:
    async with listening(Asked().serve) as port:
        lost = await failed(Endpoint.parse(f"wss://127.0.0.1:{port}/", token=None, ca_file=None), SHORT)
    assert str(lost)
    async with listening(Asked().serve, tls=tls) as port:
        lost = await failed(plain(port), SHORT)
    assert str(lost)


# --- openings that fail, each within its bound


async def silent(stream: trio.abc.Stream) -> None:
    await trio.sleep_forever()


@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_silence_is_bounded(scheme) -> None:
    """The library's own timeout does not end it; with wss:// it is the TLS handshake that stalls."""
    async with listening(silent) as port:
        began = trio.current_time()
        lost = await failed(Endpoint.parse(f"{scheme}://127.0.0.1:{port}/", token=None, ca_file=None), SHORT)
        assert trio.current_time() - began < 20, "the library would wait for a minute"
    assert str(lost) == "no answer within 0.5 s"


async def test_refused_and_unknown_hosts() -> None:
    async with listening(silent) as port:
        pass
    assert "refused" in str(await failed(plain(port))).lower()
    lost = await failed(Endpoint.parse("ws://no-such-host.invalid/", token=None, ca_file=None), Limits())
    assert str(lost)


def answering(response: bytes) -> Serve:
    async def serve(stream: trio.abc.Stream) -> None:
        await stream.receive_some(4096)
        await stream.send_all(response)
        await trio.sleep_forever()

    return serve


HTML = b"Content-Type: text/html\r\nContent-Length: 22\r\n\r\n<html>Internal</html>\n"


async def test_no_thread_for_the_look_up_is_no_bug(monkeypatch) -> None:
    async def no_room(host: str, port: int) -> trio.SocketStream:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(trio, "open_tcp_stream", no_room)
    with pytest.raises(ConnectionLost, match="server cannot be looked up: can't start new thread"):
        async with connect(Endpoint.parse("ws://server:1", token=None, ca_file=None), Limits()):
            pass


@pytest.mark.parametrize(
    ("response", "text", "refused", "retry_after"),
    [
        (b"HTTP/1.1 301 Moved\r\nLocation: https://x.invalid/\r\nContent-Length: 0\r\n\r\n", "301", False, None),
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "refused the credentials (HTTP 401)", True, None),
        (b"HTTP/1.1 403 Forbidden\r\n" + HTML, "refused the credentials (HTTP 403)", True, None),
        (b"HTTP/1.1 429 Too Many\r\nRetry-After: 12\r\nContent-Length: 0\r\n\r\n", "HTTP 429", False, 12.0),
        (b"HTTP/1.1 503 Busy\r\nRetry-After: -5\r\nContent-Length: 0\r\n\r\n", "HTTP 503", False, 0.0),
        (b"HTTP/1.1 503 Busy\r\nRetry-After: soon\r\nContent-Length: 0\r\n\r\n", "HTTP 503", False, None),
        (b"HTTP/1.1 500 Internal\r\n" + HTML, "HTTP 500 instead of a WebSocket", False, None),
        (b"HTTP/1.1 200 OK\r\n" + HTML, "HTTP 200", False, None),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         b"Sec-WebSocket-Accept: bm9wZQ==\r\n\r\n", "", False, None),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "does not speak WebSocket", False, None),
        (b"\x00\xff" * 100, "", False, None),
    ],
)  # fmt: skip
async def test_anything_but_a_websocket_is_one_sentence(response, text, refused, retry_after) -> None:
    async with listening(answering(response)) as port:
        lost = await failed(plain(port))
    assert text in str(lost)
    assert str(lost)
    assert "\n" not in str(lost)
    assert (lost.refused, lost.retry_after) == (refused, retry_after)


async def test_a_close_during_the_handshake_is_noticed_at_once() -> None:
    async def close(stream: trio.abc.Stream) -> None:
        await stream.receive_some(4096)
        await stream.aclose()

    async with listening(close) as port:
        with trio.fail_after(9):
            lost = await failed(plain(port), Limits())
    assert (
        str(lost)
        == "the server closed the connection during the handshake; it may have no WebSocket at this path, or speak TLS: wss://"
    )


async def test_a_failed_opening_closes_its_stream(autojump_clock) -> None:
    client, server = memory_stream_pair()

    async def open_stream() -> trio.abc.Stream:
        return client

    with pytest.raises(ConnectionLost, match="no answer"):
        async with connect(Endpoint("server", 80, "/", None, ()), Limits(), open_stream):
            pass
    await server.receive_some(4096)
    assert await server.receive_some(4096) == b""


async def test_a_cancelled_opening_closes_its_stream(autojump_clock) -> None:
    client, server = memory_stream_pair()

    async def open_stream() -> trio.abc.Stream:
        return client

    with trio.move_on_after(1):
        async with connect(Endpoint("server", 80, "/", None, ()), Limits(), open_stream):
            pass
    await server.receive_some(4096)
    assert await server.receive_some(4096) == b""


# --- a standing connection that goes wrong


class Wire:
    """Both ends of a connection in memory: the server's as trio-websocket, and its bare stream below."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.client, self.stream = memory_stream_pair()
        self.ready = trio.Event()
        nursery.start_soon(self._serve)

    async def _serve(self) -> None:
        try:
            async with trio.open_nursery() as inner:
                request = await wrap_server_stream(inner, self.stream, message_queue_size=1000)
                self.ws = await request.accept()
                self.ready.set()
                await trio.sleep_forever()
        except* (trio.BrokenResourceError, trio.ClosedResourceError, ConnectionClosed):
            pass

    async def open_stream(self) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        return self.client

    def connect(self) -> AbstractAsyncContextManager[Connection]:
        return connect(Endpoint("server", 80, "/", None, ()), Limits(), self.open_stream)

    async def lost(self, body: Callable[[Connection], Awaitable[object]]) -> ConnectionLost:
        """How a connection ended whose user does this."""

        async def use() -> None:
            async with self.connect() as connection:
                await body(connection)

        with trio.fail_after(60), pytest.raises(ConnectionLost) as caught:
            await use()
        return caught.value


@pytest.fixture
async def wire(nursery):
    return Wire(nursery)


async def test_a_ping_in_flight_ends_with_the_connection(autojump_clock, wire) -> None:
    """The library's ping() would hang for ever: it is the connection's end that ends it."""

    async def body(connection) -> None:
        await wire.ready.wait()
        wire.client.send_stream.send_all_hook = trio.lowlevel.checkpoint  # what is sent does not arrive any more
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.receive)
            nursery.start_soon(connection.ping, b"1")
            await trio.sleep(1)
            await trio.aclose_forcefully(wire.stream)

    assert (await wire.lost(body)).close_code == 1006


async def test_a_server_that_vanishes_is_a_lost_connection_and_nothing_else(autojump_clock, wire) -> None:
    async def body(connection) -> None:
        await trio.aclose_forcefully(wire.stream)
        await connection.receive()

    assert (await wire.lost(body)).close_code == 1006


async def test_sending_after_the_end_is_an_error_at_once(autojump_clock, wire) -> None:
    async with wire.connect() as connection:
        assert connection.ready
        await trio.aclose_forcefully(wire.stream)
        await trio.sleep(1)
        assert not connection.ready
        for _ in range(2):
            with pytest.raises(ConnectionLost):
                await send(connection, [b"{}"], within=1)


async def test_a_send_is_whole_or_the_connection_is_dead(autojump_clock, wire) -> None:
    """Cancelled in mid-frame the library would go on and corrupt the stream; ours ends before the cancel is seen."""

    async def slowly() -> None:
        await trio.sleep(2)

    async with wire.connect() as connection:
        await wire.ready.wait()
        wire.client.send_stream.send_all_hook = slowly
        with trio.move_on_after(1) as scope:
            await send(connection, [b'{"n":1}', b'{"n":2}'], within=10)
        assert scope.cancelled_caught
        wire.client.send_stream.send_all_hook = partial(_pump, wire)
        await send(connection, [b'{"n":3}'], within=1)
        assert [await wire.ws.get_message() for _ in range(3)] == ['{"n":1}', '{"n":2}', '{"n":3}']


async def test_a_cancelled_send_leaves_no_half_frame(autojump_clock, nursery) -> None:
    """On a stream that takes a part and then waits, as a socket does."""
    wire = Wire(nursery)
    up, down = Lane(1000, 65536), Lane(65536, 65536)
    wire.client, wire.stream = BoundedWire(down, up), BoundedWire(up, down)
    long = json.dumps({"text": "y" * 5000})

    async with wire.connect() as connection:
        await wire.ready.wait()
        up.freeze()
        nursery.start_soon(_after, 2, up.thaw)
        with trio.move_on_after(1) as scope:
            await send(connection, [long.encode()], within=10)
        assert scope.cancelled_caught
        await send(connection, [b"{}"], within=10)
        assert [await wire.ws.get_message() for _ in range(2)] == [long, "{}"]


async def test_nothing_is_sent_before_what_the_kernel_did_not_take() -> None:
    """On a real socket, whose buffers end in the middle of a frame: a PING that came between would tear it."""
    messages = [json.dumps({"n": n, "text": "z" * 500_000}) for n in range(40)]
    received: list[str] = []
    pinged = trio.Event()

    async def serve(stream: trio.abc.Stream) -> None:
        async with trio.open_nursery() as nursery:
            ws = await (await wrap_server_stream(nursery, stream, max_message_size=1 << 24)).accept()
            await pinged.wait()
            while True:
                received.append(await ws.get_message())

    with trio.fail_after(20):
        async with (
            listening(serve) as port,
            connect(Endpoint("127.0.0.1", port, "/", None, ()), SHORT) as connection,
            trio.open_nursery() as nursery,
        ):
            connection.send_now([message.encode() for message in messages])
            assert not connection.ready
            nursery.start_soon(connection.ping, b"p")
            await trio.testing.wait_all_tasks_blocked()
            connection.send_now([b'"last"'])
            pinged.set()
            await connection.flush(within=10)
            assert connection.ready
            while len(received) < 41:
                await trio.sleep(0.01)
    assert received == [*messages, '"last"']


async def test_nothing_is_sent_after_half_a_frame(autojump_clock, wire) -> None:
    async with wire.connect() as connection:
        await wire.ready.wait()
        wire.client.send_stream.send_all_hook = trio.sleep_forever
        connection.send_now([b"{}"])
        with trio.move_on_after(1):
            await connection.ping(b"p")
        wire.client.send_stream.send_all_hook = partial(_pump, wire)
        with pytest.raises(ConnectionLost):
            await send(connection, [b"{}"], within=1)
        await connection.close(within=1)  # raises nothing


async def test_a_send_that_begins_after_the_haste_is_as_short(autojump_clock, wire) -> None:
    async with wire.connect() as connection:
        await wire.ready.wait()
        wire.client.send_stream.send_all_hook = trio.sleep_forever
        began = trio.current_time()
        connection.hasten(0.2)
        with pytest.raises(ConnectionLost):
            await send(connection, [b"{}"], within=30)
        assert trio.current_time() - began == pytest.approx(0.2)


async def _after(seconds: float, call: Callable[[], None]) -> None:
    await trio.sleep(seconds)
    call()


async def _pump(wire: Wire) -> None:
    trio.testing.memory_stream_pump(wire.client.send_stream, wire.stream.receive_stream)


async def test_a_send_that_takes_too_long_ends_the_connection(autojump_clock, wire) -> None:
    async def body(connection) -> None:
        wire.client.send_stream.send_all_hook = trio.sleep_forever
        began = trio.current_time()
        with pytest.raises(ConnectionLost, match="took no data for 5 s"):
            await send(connection, [b"{}"], within=5)
        assert trio.current_time() - began == pytest.approx(5)
        await send(connection, [b"{}"], within=5)

    assert str(await wire.lost(body)) == "the connection broke"


@pytest.mark.parametrize(
    ("code", "refused"), [(1000, False), (1001, False), (1008, True), (1013, False), (4000, False)]
)
async def test_a_close_tells_its_code(autojump_clock, wire, code, refused) -> None:
    async def body(connection) -> None:
        await wire.ready.wait()
        wire.nursery.start_soon(wire.ws.aclose, code, "because")
        await connection.receive()

    lost = await wire.lost(body)
    assert str(lost) == f"the server closed the connection with {code}: because"
    assert (lost.close_code, lost.refused) == (code, refused)


async def test_a_ping_that_comes_while_we_close_raises_nothing_foreign(autojump_clock, wire) -> None:
    """The library answers it on a closing connection, and its reader task raises LocalProtocolError."""
    try:
        async with wire.connect() as connection:
            await wire.ready.wait()
            wire.nursery.start_soon(partial(connection.close, within=5))
            await trio.testing.wait_all_tasks_blocked()
            await wire.stream.send_all(b"\x89\x01x")
            await trio.sleep(1)
    except ConnectionLost:
        pass
    await trio.sleep(1)  # a Cancelled that strayed would end this test here


async def test_a_peer_that_does_not_answer_the_close_is_not_waited_for(autojump_clock, wire) -> None:
    async with wire.connect() as connection:
        wire.client.send_stream.send_all_hook = trio.lowlevel.checkpoint
        began = trio.current_time()
        await connection.close(within=1)
        assert trio.current_time() - began == pytest.approx(1, abs=0.1)


@pytest.mark.slow
async def test_a_flood_of_pings_is_answered_and_survived(autojump_clock, wire) -> None:
    async with wire.connect() as connection:
        await wire.ready.wait()
        await wire.stream.send_all(b"\x89\x00" * 20_000)
        await connection.ping(b"mine")
        await send(connection, [b"{}"], within=1)
        assert await wire.ws.get_message() == "{}"


async def test_an_endless_message_is_refused_long_before_its_end(autojump_clock, wire) -> None:
    taken = 0

    async def body(connection) -> None:
        nonlocal taken
        await wire.ready.wait()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.receive)
            await wire.stream.send_all(b"\x81\x7f" + (100 << 20).to_bytes(8, "big"))
            for _ in range(1600):
                await wire.stream.send_all(b"x" * 65536)
                taken += 65536
                await trio.testing.wait_all_tasks_blocked()

    assert await wire.lost(body)
    assert taken < 3 << 20


async def test_what_the_body_raises_is_not_ours_to_change(autojump_clock, wire) -> None:
    with pytest.RaisesGroup(ValueError):
        async with wire.connect():
            raise ValueError("mine")
