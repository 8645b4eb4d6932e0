"""WebSocket server: takes connections, feeds the consumer, and sends acknowledgements back.

A connection may be slow, silent, hostile or torn. Whatever it does ends that connection and nothing else.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from functools import partial
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, wrap_server_stream

from agent.limits import KIB, Limits
from agent.receiver.consumer import Accepted, Acks, Consumer, Malformed, Step, ack
from agent.receiver.messages import RunKey
from agent.receiver.run import Run
from agent.receiver.store import Store
from agent.receiver.view import View

#: Close code "try again later". An agent waits and comes back.
_TRY_AGAIN = 1013


class Follower(Protocol):
    """A follower learns of everything that is received, after it is stored. `link` stands for the connection."""

    def taken(self, step: Step, link: object) -> None:
        """A message came over a connection."""

    def left(self, link: object) -> None:
        """A connection ended."""


class Receiver:
    """A server. Each message goes to the consumer, the store and the view, and is acknowledged once it is stored.

    `acks` and `reading` may be changed while it runs. Without acks it is a plain server; while `reading` is not set, it
    reads nothing. With `keep`, each run keeps its accepted texts in `lines`.
    """

    def __init__(
        self,
        *,
        limits: Limits,
        token: str | None = None,
        store: Store | None = None,
        view: View | None = None,
        follower: Follower | None = None,
        acks: bool = True,
        keep: bool = False,
    ) -> None:
        self.url = ""
        self.acks = acks
        self.reading = trio.Event()
        self.reading.set()
        #: The open connections.
        self.connections: set[WebSocketConnection] = set()
        #: The runs whose COMPLETE arrived, in that order and copies included, at most `receiver_runs`.
        self.completed: list[Run] = []
        #: Number of texts that were not messages.
        self.malformed = 0
        #: Reasons why connections failed.
        self.failures: list[str] = []
        #: Set when the view could not write. Nothing is shown from then on.
        self.view_error: OSError | None = None
        self._limits = limits
        self._token = token
        self._store = store
        self._view = view
        self._follower = follower
        self._streams = 0
        self._changed = trio.Event()
        recall = partial(store.recall, keep=keep) if store is not None else partial(Run, keep=keep)
        self._consumer = Consumer(recall, limits.receiver_runs)

    @property
    def runs(self) -> dict[RunKey, Run]:
        """The runs in memory."""
        return self._consumer.runs

    async def until(self, predicate: Callable[[], object]) -> None:
        """Wait until the predicate is true. It is checked after every message and at the end of every connection.

        Cancelling: safe.
        """
        while not predicate():
            await self._changed.wait()

    async def close(self) -> None:
        """Close every connection with 1001, going away.

        Cancelling: leaves connections open.
        """
        async with trio.open_nursery() as nursery:
            for connection in self.connections:
                nursery.start_soon(connection.aclose, 1001)

    async def serve_stream(self, stream: trio.abc.Stream, accepted: Callable[[], None] = lambda: None) -> None:
        """Serve one connection on any stream to its end. `accepted` is called once its token is right. Never raises.

        Cancelling: closes the stream without a farewell.
        """
        self._streams += 1
        try:
            if self._streams <= self._limits.receiver_connections:
                async with trio.open_nursery() as nursery:
                    await self._converse(nursery, stream, accepted)
                    # The library's reader must still finish the close handshake.
                    nursery.cancel_scope.deadline = trio.current_time() + self._limits.receiver_close
        except* Exception as errors:
            # The library raises whatever its parsers raise, from its reader task too.
            self._fail("; ".join(f"{type(error).__name__}: {error}" for error in _leaves(errors)))
        finally:
            self._streams -= 1
            self._wake()
            await trio.aclose_forcefully(stream)

    async def _converse(self, nursery: trio.Nursery, stream: trio.abc.Stream, accepted: Callable[[], None]) -> None:
        with trio.fail_after(self._limits.receiver_handshake):
            request = await wrap_server_stream(
                nursery, stream, max_message_size=self._limits.receiver_message_bytes, receive_buffer_size=64 * KIB
            )
            if (refusal := self._refusal(request)) is not None:
                await request.reject(refusal[0], body=refusal[1])
                return
            connection = await request.accept()
        accepted()
        self.connections.add(connection)
        try:
            await self._receive_all(connection)
        except ConnectionClosed as closed:
            if closed.reason is None or closed.reason.code not in (1000, 1001):
                self._fail(f"a connection was lost ({closed.reason})")
        except OSError as error:
            self._fail(f"cannot store: {error.strerror}")
            with trio.move_on_after(self._limits.receiver_close):
                await connection.aclose(_TRY_AGAIN)
        finally:
            self.connections.discard(connection)
            if self._follower is not None:
                self._follower.left(connection)

    def _refusal(self, request: WebSocketRequest) -> tuple[int, bytes] | None:
        headers = {name.lower(): value for name, value in request.headers}
        if self._token is None:
            # A browser always sends Origin. No web page may talk to a server that requires no token.
            return (403, b"browsers need a token here\n") if b"origin" in headers else None
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer":
            given = parse_qs(urlsplit(request.path).query).get("token", [""])[0].encode()
        if hmac.compare_digest(given.strip(), self._token.encode()):
            return None
        return 401, b"the token is missing or wrong\n"

    async def _receive_all(self, connection: WebSocketConnection) -> None:
        acks = Acks(self._limits.receiver_ack_messages)
        while True:
            if not self.reading.is_set():
                await self.reading.wait()
            step = self._take(await self._next(connection), connection)
            run = acks.due(step)
            if run is None:
                continue
            if self._store is not None and not isinstance(step, Malformed) and step.message.is_last:
                await self._write_patch(self._store, run.key)
            if self.acks:
                await self._acknowledge(connection, run)

    async def _next(self, connection: WebSocketConnection) -> str | bytes:
        """Receive the next message. A client that is silent for long must answer a PING."""
        while True:
            with trio.move_on_after(self._limits.receiver_silence):
                return await connection.get_message()
            with trio.fail_after(self._limits.receiver_patience):
                await connection.ping()

    def _take(self, text: str | bytes, connection: WebSocketConnection) -> Step:
        step = self._consumer.feed(text) if isinstance(text, str) else Malformed()
        if isinstance(step, Malformed):
            self.malformed += 1
        elif isinstance(step, Accepted) and self._store is not None:
            try:
                self._store.append(step.run.key, step.text)
            except OSError:
                self._consumer.forget(step.run.key)
                raise
        if self._follower is not None:
            self._follower.taken(step, connection)
        self._show(step)
        if not isinstance(step, Malformed) and step.message.is_last and step.run is not None:
            del self.completed[: -self._limits.receiver_runs]
            self.completed.append(step.run)
        self._wake()
        return step

    async def _acknowledge(self, connection: WebSocketConnection, run: Run) -> None:
        # Take the number first: another connection of the run may go on while this one waits for the disk.
        text = ack(run)
        if self._store is not None:
            try:
                await trio.to_thread.run_sync(self._store.sync, run.key)
            except OSError:
                self._consumer.forget(run.key)
                raise
        with trio.fail_after(self._limits.receiver_patience):
            await connection.send_message(text)

    async def _write_patch(self, store: Store, key: RunKey) -> None:
        try:
            path = await trio.to_thread.run_sync(store.write_patch, key)
        except OSError as error:
            self._fail(f"cannot write the patch: {error.strerror}")
        else:
            if path is not None:
                self._note(f"the patch of the run is {path}")

    def _fail(self, why: str) -> None:
        del self.failures[:-99]
        self.failures.append(why)
        self._note(why)

    def _note(self, text: str) -> None:
        self._view_or_not(lambda view: view.note(text))

    def _show(self, step: Step) -> None:
        self._view_or_not(lambda view: view.show(step))

    def _view_or_not(self, action: Callable[[View], None]) -> None:
        if self._view is None or self.view_error is not None:
            return
        try:
            action(self._view)
        except OSError as error:
            # The reader of our output went away. That must not look like a fault of a client.
            self.view_error = error
            self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


def _leaves(group: BaseExceptionGroup[Exception]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
