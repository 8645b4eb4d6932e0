"""A connection's share of the delivery: what is sent on it, and what its PONGs and acks prove.

Three tasks live and die together: the writer, the receiver and the barrier, which has at most one PING outstanding. The
end of one ends the connection; the next connection goes on from what the journal has confirmed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec
import trio

from agent.delivery.connection import Connection, ConnectionLost
from agent.delivery.connection_lost import greets_as_socket_io, of_socket_io
from agent.delivery.pace import Pace
from agent.delivery.window import Window
from agent.journal import Record
from agent.limits import Limits
from agent.protocol import Ack, BadAck, Cancel, Command, Level, parse_inbound, redelivered
from agent.pulse import Pulse


class Deliverable(Protocol):
    """A journal to deliver: that of this run, or one that a dead run left behind."""

    @property
    def run_id(self) -> str: ...
    @property
    def pulse(self) -> Pulse: ...
    @property
    def last_seq(self) -> int: ...
    @property
    def confirmed_seq(self) -> int: ...
    @property
    def completed(self) -> bool:
        """COMPLETE is appended: `last_seq` is final."""
        ...

    def read(self, after: int, max_bytes: int, max_count: int) -> list[Record]: ...
    def sent(self, seq: int) -> None: ...
    def confirm(self, seq: int) -> None: ...
    def count_redelivered(self, count: int) -> None: ...
    def narrow(self, message_limit: int, *, refused: bool) -> tuple[int, int]: ...


class Listener(msgspec.Struct, frozen=True):
    """The functions that learn of a connection's events. Every call is synchronous."""

    #: The server is there (True, see Session.up), or the connection is lost (False).
    connected: Callable[[bool], None] = lambda up: None
    notice: Callable[[Level, str], None] = lambda level, message: None
    cancel: Callable[[Cancel], None] = lambda request: None
    #: Returns a HEARTBEAT of this moment, or None where there is none to send.
    heartbeat: Callable[[], bytes | None] = lambda: None
    #: Everything that an earlier connection may have sent is proved taken; so many messages were sent again for it.
    caught_up: Callable[[int], None] = lambda copies: None
    #: The first PONG of a connection has come.
    answered: Callable[[], None] = lambda: None
    command: Callable[[Command], None] = lambda command: None


class Session:
    """A connection's share of the delivery. `sent_before` is the highest seq that may have been sent, even partly."""

    def __init__(
        self,
        journal: Deliverable,
        connection: Connection,
        limits: Limits,
        listener: Listener,
        pace: Pace,
        sent_before: int,
    ) -> None:
        self.heartbeat_due = False
        self.highest_sent = sent_before
        #: The server has answered on this connection, and has confirmed something on this or an earlier one.
        self.up = False
        #: Messages without a number that wait to be sent, and their bytes.
        self._passing: list[bytes] = []
        self._passing_bytes = self._longest_passed = 0
        #: No message without a number is sent that is longer.
        self.message_limit = limits.passing_bytes
        self._answered = self._caught_up = self._holds_back = False
        self._copies = 0
        self._journal = journal
        self._connection = connection
        self._limits = limits
        self._tell = listener
        self._pace = pace
        self._sent_before = sent_before
        self._cursor = journal.confirmed_seq
        self._window = Window(pace)
        self._ponged = journal.confirmed_seq
        #: When `pace.silence` was last brought up to date.
        self._listening_since = trio.current_time()
        self._bug: Exception | None = None
        self._sent = Pulse()
        self._finished = trio.Event()
        self._said: set[str] = set()

    async def run(self) -> None:
        """Return once COMPLETE is confirmed.

        Raises:
            ExceptionGroup: with the ConnectionLost that ended the connection.

        Cancelling: safe.
        """
        try:
            await self._run()
        finally:
            self._count_silence()

    async def _run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._receive)
            # A PING before any message shows a server that is slow, or that refuses us right after the handshake.
            await self._ping()
            nursery.start_soon(self._write)
            nursery.start_soon(self._barrier)
            self._check_finished()
            try:
                await self._finished.wait()
            except trio.Cancelled:
                self._connection.hasten(self._limits.farewell)
                raise
            nursery.cancel_scope.cancel("everything is confirmed")

    @property
    def unacked(self) -> bool:
        """Whether PONGs covered messages that no ack did."""
        return self._ponged > self._journal.confirmed_seq

    @property
    def largest(self) -> int:
        """Bytes of the longest message that was sent and that no PONG has covered, or that has no number."""
        return max(self._window.largest, self._longest_passed)

    @property
    def first_size(self) -> int:
        """Bytes of the first of these; 0 if there is none."""
        return self._window.first_size

    @property
    def in_vain(self) -> bool:
        """Whether messages were sent and none was proved taken."""
        return self._window.in_vain

    # --- writer

    def pass_on(self, message: bytes) -> None:
        """Send a message without a number with the next batch, unless the server is behind: then it is left out."""
        if not self.up or self._journal.completed or len(message) > self.message_limit:
            return
        self._passing_bytes += len(message)
        if self._passing_bytes > self._limits.passing_bytes:
            self._passing.clear()
            self._passing_bytes = len(message)
        self._passing.append(message)

    async def _write(self) -> None:
        while True:
            if self._send_now():
                # append() sends: waking this task first would cost a single line two passes of the scheduler.
                await self._journal.pulse.wait(self._answer)
            else:
                await self._connection.flush(within=self._pace.send_within)
            if self._bug is not None:
                raise self._bug

    def _answer(self) -> bool:
        if self._bug is None:
            try:
                return self._send_now()
            except Exception as bug:  # raised later, by the writer task: the caller of append must not fail
                self._bug = bug
        return False  # after a bug nothing more is sent: messages that it held back would be skipped

    def _send_now(self) -> bool:
        """Send what the window lets out, as far as that needs no waiting. False: something is left to wait for."""
        while self._connection.ready:
            messages = self._next_batch()
            if self.heartbeat_due:
                self.heartbeat_due = False
                beat = self._tell.heartbeat()
                if beat is not None:
                    messages.append(beat)
            if self._passing:
                if self._cursor >= self._journal.last_seq:
                    messages += self._passing
                    self._longest_passed = max(self._longest_passed, *map(len, self._passing))
                self._passing, self._passing_bytes = [], 0
            if not messages:
                return True
            self._connection.send_now(messages)
            self._sent.set()
        return False

    def _next_batch(self) -> list[bytes]:
        """Take the messages that the window lets out now; they count as sent."""
        journal = self._journal
        if self._cursor >= journal.last_seq:
            return []
        size, count = self._window.room
        if not count:
            return []
        records = journal.read(self._cursor, min(size, self._limits.batch_bytes), count)
        self._holds_back = self._must_wait(records)
        if self._holds_back:
            records.pop()
        if not records:
            return []
        self._window.add(records)
        old = self._sent_before
        messages = [redelivered(record.message) if record.seq <= old else record.message for record in records]
        copies = sum(1 for record in records if record.seq <= old)
        if copies:
            self._copies += copies
            journal.count_redelivered(copies)
        self._cursor = records[-1].seq
        self.highest_sent = max(self.highest_sent, self._cursor)
        journal.sent(self._cursor)
        if self._all_sent:
            # A consumer that acknowledges on HEARTBEAT needs one after the last message.
            self.heartbeat_due = True
        return messages

    def _must_wait(self, records: list[Record]) -> bool:
        """Whether the last of these is COMPLETE, and a long message before it is not proved taken.

        A server may break at that, and say no more. It is then sent again in parts, behind which COMPLETE has to move;
        and that is possible as long as COMPLETE cannot have arrived (see agent/journal/narrowing.py).
        """
        if not records or not self._journal.completed or records[-1].seq < self._journal.last_seq:
            return False
        longest = max(self._window.largest, *(len(record.message) for record in records[:-1]), 0)
        return longest >= self._limits.long_message

    @property
    def _all_sent(self) -> bool:
        return self._journal.completed and self._cursor >= self._journal.last_seq

    # --- barrier

    async def _barrier(self) -> None:
        while True:
            await self._until_due()
            await self._ping()

    async def _ping(self) -> None:
        if self._bug is not None:
            raise self._bug  # a PONG would confirm messages that were never sent
        seq, messages, size = self._cursor, len(self._window), self._window.bytes
        began = trio.current_time()
        with trio.move_on_after(self._pace.pong_within) as scope:
            await self._connection.ping(b"%d" % seq)
        if scope.cancelled_caught:
            self._pace.overdue()
            raise ConnectionLost(f"no PONG within {trio.current_time() - began:.0f} s")
        if seq > self._ponged:
            self._pace.answered(trio.current_time() - began, messages, size)
        self._pong(seq)

    async def _until_due(self) -> None:
        """Wait until a PING is due: after a quarter of the window, after `barrier_delay`, or as a sign of life.

        A PING is also due when a server that used to acknowledge has been silent for long enough: its PONG then
        confirms.
        """
        limits, pace = self._limits, self._pace
        wait = limits.ping_interval
        if pace.silence is not None and self._ponged > self._journal.confirmed_seq:
            # Not less: a wait below the clock's resolution would spin.
            wait = min(wait, max(limits.barrier_delay, pace.silence_allowed - pace.silence))
        with trio.move_on_after(wait):
            while not self._window:
                await self._sent.wait()
            with trio.move_on_after(limits.barrier_delay):
                while not (self._all_sent or self._holds_back or self._window.is_ping_due(limits.barrier_messages)):
                    await self._sent.wait()

    def _pong(self, seq: int) -> None:
        """Take note that the peer's WebSocket layer has taken everything up to `seq`."""
        if not self._answered:
            self._answered = True
            self._tell.answered()
        self._window.cover(seq)
        silence = self._count_silence()
        self._ponged = max(self._ponged, seq)
        self._journal.pulse.set()
        if silence >= self._pace.silence_allowed and self._ponged > self._journal.confirmed_seq:
            self._pace.silence = None
            if self._pace.acked:
                words = f"the server has stopped acknowledging for {silence:.0f} s; trusting its PONGs"
                self._tell.notice("warn", words)
        if self._pace.silence is None:
            self._confirm(self._ponged)
        self._greet()

    def _greet(self) -> None:
        """Tell that the server is there. A first PONG proves little: a server may look up the token behind it, and then
        refuse us. So at first something must be confirmed, which takes an ack, or PONGs for `ack_grace` seconds.
        """
        if not self._pace.met and self._journal.confirmed_seq < self._journal.last_seq:
            return
        self._pace.met = True
        if not self.up:
            self.up = True
            self._tell.connected(True)
        if not self._caught_up and max(self._ponged, self._journal.confirmed_seq) >= self._sent_before:
            self._caught_up = True
            self._tell.caught_up(self._copies)

    def _count_silence(self) -> float:
        """Seconds for which an ack has been due; 0 where PONGs confirm (level 0)."""
        now = trio.current_time()
        if self._pace.silence is not None and self._ponged > self._journal.confirmed_seq:
            self._pace.silence += now - self._listening_since
        self._listening_since = now
        return self._pace.silence or 0.0

    # --- receiver

    async def _receive(self) -> None:
        while True:
            text = await self._connection.receive()
            if not self._pace.met and greets_as_socket_io(text):
                raise of_socket_io()
            inbound = parse_inbound(text)
            if isinstance(inbound, Ack):
                self._ack(inbound)
            elif isinstance(inbound, BadAck):
                self._complain(f"the server sent an ack that is no integer: {inbound.text}")
            elif isinstance(inbound, Cancel):
                self._tell.cancel(inbound)
            elif isinstance(inbound, Command):
                self._tell.command(inbound)

    def _ack(self, ack: Ack) -> None:
        """Take an ack. It is cumulative: the server has stored everything up to `ack.seq`."""
        if ack.run_id != self._journal.run_id:
            return
        if ack.seq > self.highest_sent:
            self._complain(f"the server acknowledged {ack.seq}, which was never sent")
            return
        if ack.seq < 0:
            self._complain(f"the server sent a negative ack: {ack.seq}")
            return
        self._pace.silence = 0.0
        self._pace.acked = True
        self._listening_since = trio.current_time()
        if ack.seq < self._journal.confirmed_seq:
            self._complain(f"the server's ack fell to {ack.seq} after {self._journal.confirmed_seq} was confirmed")
            return
        self._confirm(ack.seq)

    def _confirm(self, seq: int) -> None:
        if seq > self._journal.confirmed_seq:
            self._journal.confirm(seq)
            self._pace.met = True
            self._greet()
        self._check_finished()

    def _check_finished(self) -> None:
        if self._journal.completed and self._journal.confirmed_seq >= self._journal.last_seq:
            self._finished.set()

    def _complain(self, message: str) -> None:
        """Warn once a connection for each kind of complaint, so that a server cannot fill the log."""
        kind = message.split(":")[0].rstrip("0123456789")[:30]
        if kind not in self._said:
            self._said.add(kind)
            self._tell.notice("warn", f"{message}; ignored")
