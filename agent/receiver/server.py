"""Connections: messages in, steps of the consumer out, acknowledgements back.

A connection may be slow, silent, hostile or torn; whatever it does ends that connection and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus

import trio
from websockets.http11 import Request

from agent.limits import Limits
from agent.receiver.admission import Admission, given_token
from agent.receiver.consumer import Acks, Step
from agent.receiver.intake import Follower, Intake, Owed
from agent.receiver.link import Link, LinkClosed
from agent.receiver.messages import RunKey
from agent.receiver.run import Run
from agent.receiver.store import Store
from agent.receiver.turns import Turns
from agent.receiver.view import View
from agent.text import one_line

#: "Try again later": what an agent answers with patience.
_TRY_AGAIN = 1013

#: Serves a connection until it ends.
Serve = Callable[[Link], Awaitable[None]]


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
        #: Why connections ended that did not end well.
        self.failures: list[str] = []
        #: Set when the view could not write; nothing is shown from then on.
        self.view_error: OSError | None = None
        self._limits = limits
        self._view = view
        self._visitor = visitor
        self._wrong = wrong
        self._changed = trio.Event()
        self._turns = Turns(limits.receiver_turn)
        self._admission = Admission(limits, token, self.connections, self._note)
        self._intake = Intake(limits, store, follower, self._show, keep=keep)

    @property
    def runs(self) -> dict[RunKey, Run]:
        """The runs in memory."""
        return self._intake.runs

    @property
    def links(self) -> dict[RunKey, Link]:
        """The connection over which each run sent something last."""
        return self._intake.links

    @property
    def completed(self) -> list[Run]:
        """The runs whose COMPLETE arrived, in that order, copies too; the last `receiver_runs` of them."""
        return self._intake.completed

    @property
    def malformed(self) -> int:
        """The number of texts that were no messages."""
        return self._intake.malformed

    @property
    def turned_away(self) -> int:
        """The number of connections that were turned away, since there were too many."""
        return self._admission.turned_away

    def forget(self, key: RunKey) -> None:
        """Forget a run, since what is stored of it is removed."""
        self._intake.forget(key)

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
        link = Link(stream, self._limits, self._turns)
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
            link.forget()
            self._wake()
            await trio.aclose_forcefully(stream)

    async def _admit(self, link: Link, stream: trio.abc.Stream) -> Serve | None:
        """Answer the handshake, and return who serves the connection; None for nobody."""
        request = await link.handshake()
        if request is None:
            return None
        token = given_token(request)
        if (visitor := self._visitor(request, token)) is not None:
            return visitor if await link.accept(request) else None
        if (refusal := self._admission.refusal(request)) is not None:
            if refusal.status is HTTPStatus.UNAUTHORIZED and token:
                await trio.sleep(self._wrong(stream))  # guessing takes time
            await link.reject(*refusal)
        elif await link.accept(request):
            return self.converse
        return None

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
            self._admission.left()
            self._intake.left(link)
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
            texts = await link.receive()
            owed = await self._intake.take(texts, link, acks)
            self._wake()
            for key in {key: None for key, _, last in owed if last}:
                await self._write_patch(key)
            if owed and self.acks:
                await self._acknowledge(link, owed)

    async def _acknowledge(self, link: Link, owed: Sequence[Owed]) -> None:
        await self._intake.sync(owed)
        await link.send(*(due.text for due in owed if due.text))

    async def _write_patch(self, key: RunKey) -> None:
        try:
            path = await self._intake.write_patch(key)
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
