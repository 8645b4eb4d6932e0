"""Connections: messages in, steps of the consumer out, acknowledgements back.

A connection may be slow, silent, hostile or torn; whatever it does ends that connection and nothing else.
"""

from __future__ import annotations

import hmac
import math
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from http import HTTPStatus
from typing import NamedTuple, Protocol
from urllib.parse import parse_qs, urlsplit

import trio
from websockets.http11 import Request

from agent.limits import Limits
from agent.protocol import ulid
from agent.receiver.consumer import Accepted, Acks, Consumer, Malformed, Step, ack
from agent.receiver.link import Link, LinkClosed
from agent.receiver.messages import RunKey, parse
from agent.receiver.plain import PlainRuns
from agent.receiver.run import Run
from agent.receiver.store import Store
from agent.receiver.view import View
from agent.text import one_line

#: "Try again later": what an agent answers with patience.
_TRY_AGAIN = 1013


class Follower(Protocol):
    """A follower learns of everything that is received, after it is stored. `link` stands for the connection."""

    def taken(self, step: Step, link: Link) -> None:
        """A message came over a connection."""

    def left(self, link: Link) -> None:
        """A connection ended."""


#: Serves a connection until it ends.
Serve = Callable[[Link], Awaitable[None]]


class _Owed(NamedTuple):
    """An acknowledgement that is due: of a run, its text (none for a plain sender), and whether the run has ended."""

    key: RunKey
    text: str
    last: bool


class Receiver:
    """Serves connections. Everything received goes to the consumer, then to the store, then to the view; what is
    stored is acknowledged.

    `acks` and `reading` may be changed while it runs: without acks it is a plain server, and it reads nothing while
    the event is not set. With `keep`, each run holds the texts that were accepted in `lines`.
    """

    def __init__(
        self,
        *,
        limits: Limits,
        token: str | None = None,
        store: Store | None = None,
        view: View | None = None,
        follower: Follower | None = None,
        visitor: Callable[[Request, bytes], Serve | None] = lambda request, token: None,
        wrong: Callable[[trio.abc.Stream], float] = lambda stream: 0.0,
        acks: bool = True,
        keep: bool = False,
    ) -> None:
        self.url = ""
        self.acks = acks
        self.reading = trio.Event()
        self.reading.set()
        #: Every connection that is open now.
        self.connections: set[Link] = set()
        #: The connection over which a run sent something last.
        self.links: dict[RunKey, Link] = {}
        #: The runs whose COMPLETE arrived, in that order, copies too; the last `receiver_runs` of them.
        self.completed: list[Run] = []
        #: Texts that were no messages.
        self.malformed = 0
        #: Connections that were turned away, since there were too many.
        self.turned_away = 0
        #: Why connections ended that did not end well.
        self.failures: list[str] = []
        #: Set when the view could not write; nothing is shown from then on.
        self.view_error: OSError | None = None
        self._limits = limits
        self._token = token
        self._store = store
        self._view = view
        self._follower = follower
        self._visitor = visitor
        self._wrong = wrong
        self._full = False
        self._changed = trio.Event()
        self._keep = keep
        self._recalling: dict[RunKey, trio.Event] = {}
        self._consumer = Consumer(partial(Run, keep=keep), limits.receiver_runs)
        self._plain = PlainRuns(limits.receiver_runs, lambda: ulid(time.time(), os.urandom(10)))

    @property
    def runs(self) -> dict[RunKey, Run]:
        """The runs in memory."""
        return self._consumer.runs

    def forget(self, key: RunKey) -> None:
        """Forget a run, since what is stored of it is removed."""
        self._consumer.forget(key)

    async def until(self, predicate: Callable[[], object]) -> None:
        """Wait until the predicate is true. It is checked after every batch and at the end of every connection.

        Cancelling: safe.
        """
        while not predicate():
            await self._changed.wait()

    async def close(self) -> None:
        """Close every connection with 1001, going away, and wait for their ends.

        Cancelling: leaves connections open.
        """
        async with trio.open_nursery() as nursery:
            for link in self.connections:
                nursery.start_soon(link.close, 1001)
        await self.until(lambda: not self.connections)

    async def serve_stream(self, stream: trio.abc.Stream, accepted: Callable[[], None] = lambda: None) -> None:
        """Serve one connection on any stream to its end. `accepted` is called once its token is right. Never raises.

        Cancelling: closes the stream without a farewell.
        """
        link = Link(stream, self._limits)
        try:
            with trio.move_on_after(self._limits.receiver_handshake) as handshake:
                serve = await self._admit(link, stream)
                if serve is not None:
                    accepted()
                    handshake.deadline = math.inf
                    await serve(link)
                with trio.move_on_after(self._limits.receiver_close):
                    await link.linger()
        except LinkClosed:
            pass  # a probe, or somebody who left before there was anything to lose
        except Exception as error:
            self._fail(f"a connection failed: {type(error).__name__}: {error}")
        finally:
            self._wake()
            await trio.aclose_forcefully(stream)

    async def _admit(self, link: Link, stream: trio.abc.Stream) -> Serve | None:
        """Answer the handshake, and return who serves the connection; None for nobody."""
        request = await link.handshake()
        if request is None:
            return None
        token = _token(request)
        if (visitor := self._visitor(request, token)) is not None:
            return visitor if await link.accept(request) else None
        if (refusal := self._refusal(request, token)) is not None:
            if refusal[0] is HTTPStatus.UNAUTHORIZED and token:
                await trio.sleep(self._wrong(stream))  # guessing takes time
            await link.reject(*refusal)
        elif await link.accept(request):
            return self.converse
        return None

    def _refusal(self, request: Request, token: bytes) -> tuple[HTTPStatus, str, dict[str, str]] | None:
        """Status, words and headers for an agent that may not connect."""
        if self._token is None and "origin" in request.headers:
            # A browser always sends Origin. No web page may talk to a server that requires no token.
            return HTTPStatus.FORBIDDEN, "browsers need a token here", {}
        if self._token is not None and not hmac.compare_digest(token, self._token.encode()):
            return HTTPStatus.UNAUTHORIZED, "the token is missing or wrong", {}
        if len(self.connections) >= self._limits.receiver_connections:
            self._turn_away()
            later = {"Retry-After": f"{self._limits.receiver_retry:.0f}"}
            return HTTPStatus.SERVICE_UNAVAILABLE, "too many agents are connected", later
        return None

    def _turn_away(self) -> None:
        self.turned_away += 1
        if not self._full:
            self._full = True
            self._note(f"{len(self.connections)} agents are connected, as many as may be: others are turned away")

    async def converse(self, link: Link) -> None:
        """Receive what an agent sends, until its connection ends. Cancelling: ends it without a farewell."""
        self.connections.add(link)
        try:
            await self._receive_all(link)
        except LinkClosed as closed:
            if closed.code not in (1000, 1001):
                self._fail(f"a connection{self._of(link)} was lost: {closed}")
        except OSError as error:
            self._fail(f"cannot store: {error.strerror}")
            with trio.move_on_after(self._limits.receiver_close):
                await link.close(_TRY_AGAIN, f"cannot store: {error.strerror}"[:100])
        finally:
            self.connections.discard(link)
            if len(self.connections) < 0.9 * self._limits.receiver_connections:
                self._full = False
            for key in [key for key, used in self.links.items() if used is link]:
                del self.links[key]
            if self._follower is not None:
                self._follower.left(link)
            self._wake()

    def _of(self, link: Link) -> str:
        """The run of a connection, in words."""
        key = next((key for key, used in self.links.items() if used is link), None)
        return f" of {one_line(key.container_id)} (run {one_line(key.run_id)})" if key else ""

    async def _receive_all(self, link: Link) -> None:
        acks = Acks(self._limits.receiver_ack_messages)
        while True:
            if not self.reading.is_set():
                await self.reading.wait()
            owed = await self._take(await link.receive(), link, acks)
            for key in {key: None for key, _, last in owed if last}:
                await self._write_patch(key)
            if owed and self.acks:
                await self._acknowledge(link, owed)

    async def _take(self, texts: Sequence[str | bytes], link: Link, acks: Acks) -> list[_Owed]:
        """Consume, store and show a batch of messages; return the acknowledgements that are due.

        One batch is one append to each run's file: a system call costs more than a message.
        """
        steps: list[Step] = []
        owed: list[_Owed] = []
        for text in texts:
            message = parse(text) if isinstance(text, str) else None
            if message is not None and not message.run_id:
                message = self._plain.named(message, link)
            if message is not None and message.key not in self._consumer.runs:
                self._finish(steps, link)
                steps = []
                await self._recalled(message.key)
            step = self._consumer.take(message, text if isinstance(text, str) else "")
            steps.append(step)
            run = acks.due(step)
            if run is not None and not isinstance(step, Malformed) and not step.message.is_plain:
                # The number as it is now: another connection of the run may go on while this one waits for the disk.
                owed.append(_Owed(run.key, ack(run), step.message.is_last))
            elif not isinstance(step, Malformed) and step.message.is_last and step.run is not None:
                owed.append(_Owed(step.run.key, "", True))
        self._finish(steps, link)
        return owed

    async def _recalled(self, key: RunKey) -> None:
        """Bring a run into memory. Its file may be large: a thread reads it, and who else needs it waits."""
        while key not in self._consumer.runs:
            if (reading := self._recalling.get(key)) is not None:
                await reading.wait()
                continue
            self._recalling[key] = trio.Event()
            try:
                if self._store is None:
                    self._consumer.add(Run(key, keep=self._keep))
                else:
                    recall = partial(self._store.recall, key, keep=self._keep)
                    self._consumer.add(await trio.to_thread.run_sync(recall))
            finally:
                self._recalling.pop(key).set()

    def _finish(self, steps: Sequence[Step], link: Link) -> None:
        """Store and show what was consumed."""
        if self._store is not None:
            batches: dict[RunKey, list[str]] = {}
            for step in steps:
                if isinstance(step, Accepted):
                    batches.setdefault(step.run.key, []).append(step.text)
            for key, texts in batches.items():
                try:
                    self._store.append(key, *texts)
                except OSError:
                    for other in batches:
                        self._consumer.forget(other)
                    raise
        for step in steps:
            if isinstance(step, Malformed):
                self.malformed += 1
            elif step.run is not None:
                self.links[step.run.key] = link
            if self._follower is not None:
                self._follower.taken(step, link)
            self._show(step)
            if not isinstance(step, Malformed) and step.message.is_last and step.run is not None:
                del self.completed[: -self._limits.receiver_runs]
                self.completed.append(step.run)
        self._wake()

    async def _acknowledge(self, link: Link, owed: Sequence[_Owed]) -> None:
        if self._store is not None:
            for key in {due.key for due in owed}:
                try:
                    await trio.to_thread.run_sync(self._store.sync, key)
                except OSError:
                    self._consumer.forget(key)
                    raise
        await link.send(*(due.text for due in owed if due.text))

    async def _write_patch(self, key: RunKey) -> None:
        if self._store is None:
            return
        try:
            path = await trio.to_thread.run_sync(self._store.write_patch, key)
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
            # The reader of our output went away. That must not look like a client's fault.
            self.view_error = error
            self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


def _token(request: Request) -> bytes:
    """The token of a handshake: of its header, else of its address."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        given = parse_qs(urlsplit(request.path).query).get("token", [""])[0]
    return given.strip().encode()
