"""A WebSocket connection: opened within a bound, sends whole batches, and is dead as soon as a frame may be torn.

trio-websocket does the handshake, ping and pong, the close and everything inbound. `Tap`, a stream of ours, stands
between it and the socket: our batches of text frames and its control frames go through the same lock, each whole.

Known hazards of trio-websocket 0.12, each handled here and nowhere else:
- its own connect timeout does not end a silent handshake: an outer deadline does;
- a server that closes during the handshake is not noticed: Tap notices;
- a send that is cancelled half-way corrupts the stream without an error: `flush` is shielded, with a deadline after
  which the connection is dead;
- a ping in flight when the connection dies never returns: pings live in a scope that ends with the connection;
- a client that does not read answers no pings: the sender's receiver task always reads;
- a ping that arrives while we close raises in its reader task: the connection's nursery is inside `connect`, which
  turns everything that the library lets through into ConnectionLost.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from types import MappingProxyType
from urllib.parse import urljoin, urlsplit

import msgspec
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream
from wsproto.connection import ConnectionState

from agent.delivery.connection_lost import ConnectionLost, cut_off, explain, is_library_error
from agent.delivery.eager_stream import EagerStream
from agent.delivery.frames import text_frames
from agent.delivery.proxy import open_tunnel
from agent.delivery.tap import Tap
from agent.limits import Limits
from agent.proxies import Proxy, find_proxy

#: Close codes of a server that does not want us: 1008 is the standard's policy violation, 3000 and 3003 are registered
#: as unauthorized and forbidden, and 4401 and 4403 are what many servers make of HTTP's.
REFUSALS = frozenset({1008, 3000, 3003, 4401, 4403})

OpenStream = Callable[[], Awaitable[trio.abc.Stream]]


__all__ = ["Connection", "ConnectionLost", "Endpoint", "OpenStream", "connect"]


class Endpoint(msgspec.Struct, frozen=True):
    """The address of a server, and what lets us in."""

    host: str
    port: int
    resource: str
    tls: ssl.SSLContext | None
    headers: tuple[tuple[bytes, bytes], ...]
    #: What to try when nothing listens there, for a person.
    hint: str = ""
    ca_file: str | None = None
    proxy: Proxy | None = None

    def __str__(self) -> str:
        """Host and port, for a person. The resource is left out, since it may hold a credential."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(
        cls,
        url: str,
        *,
        token: str | None,
        ca_file: str | None,
        hint: str = "",
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> Endpoint:
        """Make an endpoint of a ws:// or wss:// URL that the configuration has checked. `environ` names the proxies.

        Raises:
            OSError, ssl.SSLError: `ca_file` cannot be read or holds no certificate.
        """
        parts = urlsplit(url)
        secure = parts.scheme == "wss"
        context = None
        if secure:
            context = ssl.create_default_context()
            if ca_file is not None:
                context.load_verify_locations(ca_file)
        resource = parts.path or "/"
        if parts.query:
            resource += "?" + parts.query
        headers = () if token is None else _authorization(token)
        host, port = parts.hostname or "", parts.port or (443 if secure else 80)
        way = find_proxy(environ, host, port, secure=secure)
        return cls(host, port, resource, context, headers, hint, ca_file, way)

    def with_token(self, token: str) -> Endpoint:
        """The same address with another token."""
        return msgspec.structs.replace(self, headers=_authorization(token))

    def redirected(self, location: str) -> Endpoint | None:
        """Make the endpoint to which the server leads us; None where our token must not follow.

        It follows on the same host only: to the same port, or from ws:// to wss://.
        """
        try:
            here = f"{'wss' if self.tls else 'ws'}://{self.host_header}{self.resource}"
            url = urljoin(here, re.sub("^http", "ws", location))
            if not url.startswith(("ws://", "wss://")):
                return None
            there = Endpoint.parse(url, token=None, ca_file=self.ca_file)
        except (ValueError, OSError):
            return None
        same = there.host == self.host and (there.port == self.port or (there.tls and not self.tls))
        if not same or (self.tls and not there.tls) or (there.resource, there.port) == (self.resource, self.port):
            return None
        return msgspec.structs.replace(there, headers=self.headers, hint=self.hint, proxy=self.proxy)

    @property
    def host_header(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.tls else 80
        return host if self.port == default else f"{host}:{self.port}"

    async def open_stream(self, limits: Limits) -> trio.abc.Stream:
        """Open TCP, and then TLS for wss://. The caller bounds it.

        Raises:
            ConnectionLost: the host cannot be looked up for want of processes.
            OSError, ssl.SSLError: the connection or the handshake failed.

        Cancelling: safe.
        """
        try:
            if self.proxy is None:
                tcp: trio.abc.Stream = await trio.open_tcp_stream(self.host, self.port)
            else:
                tcp = await open_tunnel(self.proxy, self.host, self.port)
        except RuntimeError as error:  # claude may have used up the process limit: then no thread can do the look-up
            raise ConnectionLost(f"{self.host} cannot be looked up: {error}") from None
        # A tunnel through a proxy with TLS is no plain socket.
        stream = EagerStream(tcp, limits.unsent_bytes) if isinstance(tcp, trio.SocketStream) else tcp
        if self.tls is None:
            return stream
        secure = trio.SSLStream(stream, self.tls, server_hostname=self.host, https_compatible=True)
        try:
            # An explicit handshake: in the first send, a bad certificate would look like a connection that broke.
            await secure.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(secure)
            raise
        return secure


def _authorization(token: str) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"Authorization", b"Bearer " + token.encode()),)


class Connection:
    """An open connection. One task sends, another one receives."""

    def __init__(self, ws: WebSocketConnection, tap: Tap) -> None:
        self._ws = ws
        self._tap = tap
        #: We began the close, because of what the server sent.
        self._ours = False
        tap.closing = self._closing
        self._sending: trio.CancelScope | None = None
        #: When the last send must be over.
        self._latest = float("inf")
        #: Bytes that a frame may have; a longer message goes out in fragments.
        self.longest_frame: int | None = None

    def send_now(self, messages: Sequence[bytes]) -> None:
        """Send as much as needs no waiting. `flush` sends the rest and raises what is wrong with the connection."""
        self._tap.send_now(text_frames(messages, self.longest_frame))

    @property
    def ready(self) -> bool:
        """Whether more may be sent now: nothing is left to flush, and no close has begun."""
        return not self._tap.behind and self._ws.closed is None

    @property
    def refused(self) -> bool:
        """Whether the server has closed the connection because of our credentials."""
        return self._ws.closed is not None and self._ws.closed.code in REFUSALS

    async def flush(self, *, within: float) -> None:
        """Send what `send_now` left.

        Raises:
            ConnectionLost: how much arrived is unknown; never send here again.

        Cancelling: takes effect after the write, or after `within` seconds (see `hasten`), since half a frame would
        poison the stream.
        """
        if self._ws.closed is not None:
            raise self._lost()
        with trio.move_on_after(within, shield=True) as scope:
            self._sending = scope
            scope.deadline = min(scope.deadline, self._latest)
            try:
                await self._tap.send_all(b"")
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                raise self._lost() from None
            finally:
                self._sending = None
        if scope.cancelled_caught:
            await self._tap.aclose()
            raise ConnectionLost(f"the server took no data for {within:g} s")
        await trio.lowlevel.checkpoint_if_cancelled()

    def hasten(self, within: float) -> None:
        """Bound every send from now on by `within` seconds: its shield must not outlast the stop of the run."""
        self._latest = trio.current_time() + within
        if self._sending is not None:
            self._sending.deadline = min(self._sending.deadline, self._latest)

    async def ping(self, payload: bytes) -> None:
        """Send a PING and wait for its PONG. One at a time.

        Cancelling: safe, but the payload counts as in flight for the rest of this connection.
        """
        try:
            await self._ws.ping(payload)
        except ConnectionClosed:
            raise self._lost() from None

    async def receive(self) -> str | bytes:
        """Return the next message of the server.

        Cancelling: safe.
        """
        try:
            return await self._ws.get_message()
        except ConnectionClosed:
            raise self._lost() from None

    async def close(self, *, within: float) -> None:
        """Do the close handshake with code 1000, for at most `within` seconds.

        Cancelling: takes effect after at most `within` seconds.
        """
        with trio.move_on_after(within, shield=True):
            await self._ws.aclose(1000)

    def _closing(self) -> None:
        # An answer to the server's Close ends the protocol; a Close of ours waits for its answer. The reason does not
        # tell: a server of the same library words it alike.
        self._ours = self._ws._wsproto.state is ConnectionState.LOCAL_CLOSING

    def _lost(self) -> ConnectionLost:
        reason = self._ws.closed
        if reason is None:
            return ConnectionLost("the connection broke")
        if reason.code == 1006:
            return ConnectionLost("the connection broke", close_code=1006)
        text = f": {reason.reason}" if reason.reason else ""
        # Of what no WebSocket may send, the library makes a close without a Close frame of either side.
        if self._ours or self._ws._wsproto.state is ConnectionState.OPEN:
            return ConnectionLost(f"the server sent what no WebSocket may or what is too long ({reason.code}{text})")
        if reason.code == 1009:
            text += "; it takes no message of this length: set MESSAGE_LIMIT to what it takes, for example 16KiB"
        return ConnectionLost(
            f"the server closed the connection with {reason.code}{text}",
            refused=reason.code in REFUSALS,
            close_code=reason.code,
        )


@asynccontextmanager
async def connect(
    endpoint: Endpoint, limits: Limits, open_stream: OpenStream | None = None
) -> AsyncIterator[Connection]:
    """Open a connection for the body. It ends with the body; a close handshake is the body's to do.

    Raises:
        ConnectionLost: the opening failed, or the library raised something while the body ran.

    Cancelling: safe.
    """
    try:
        async with trio.open_nursery() as nursery:
            ws, tap = await _open(nursery, endpoint, limits, open_stream or partial(endpoint.open_stream, limits))
            try:
                yield Connection(ws, tap)
            finally:
                await tap.aclose()
                nursery.cancel_scope.cancel("the connection is over")
    except BaseExceptionGroup as group:
        at_fault, rest = group.split(is_library_error)
        if rest is not None:
            raise rest from None
        raise explain(at_fault) from None


async def _open(
    nursery: trio.Nursery, endpoint: Endpoint, limits: Limits, open_stream: OpenStream
) -> tuple[WebSocketConnection, Tap]:
    tap = None
    ended_early = False
    try:
        with trio.move_on_after(limits.connect) as scope:
            tap = Tap(await open_stream())

            async def _watch(tap: Tap) -> None:
                nonlocal ended_early
                await tap.ended.wait()
                ended_early = True
                scope.cancel("the server closed during the handshake")

            async with trio.open_nursery() as watching:
                watching.start_soon(_watch, tap)
                ws = await _handshake(nursery, tap, endpoint, limits)
                watching.cancel_scope.cancel("connected")
            return ws, tap
        if ended_early:
            may = "demand a client certificate, which the agent has not" if endpoint.tls else "speak TLS: wss://"
            words = "the server closed the connection during the handshake; it may have no WebSocket at this path, or"
            raise cut_off(tap.first if tap else b"", tap.tls_error if tap else None, f"{words} {may}")
        words = f"no answer within {limits.connect:g} s"
        raise cut_off(tap.first if tap else b"", None, words, unheard=tap is None)
    except BaseException:
        if tap is not None:
            await tap.aclose()
        raise


async def _handshake(nursery: trio.Nursery, tap: Tap, endpoint: Endpoint, limits: Limits) -> WebSocketConnection:
    return await wrap_client_stream(
        nursery,
        tap,  # type: ignore[arg-type]  # any stream does: only its four methods are used
        endpoint.host_header,
        endpoint.resource,
        extra_headers=list(endpoint.headers),
        max_message_size=limits.inbound_bytes,
        receive_buffer_size=limits.read_bytes,
    )
