"""The sender: delivers one journal over as many connections as it takes (docs/protocol.md)."""

from __future__ import annotations

import random

import trio

from agent.delivery.absence import Absence
from agent.delivery.connection import ConnectionLost, Endpoint, OpenStream, connect
from agent.delivery.fit import Fit
from agent.delivery.pace import Pace
from agent.delivery.session import Deliverable, Listener, Session
from agent.errors import ServerRefused, ServerUnreachable
from agent.exits import Exit
from agent.limits import Limits


class Sender:
    """Delivers one journal to one server. `run()` is its only task."""

    def __init__(
        self,
        journal: Deliverable,
        endpoint: Endpoint,
        limits: Limits,
        listener: Listener,
        *,
        sent_before: int = 0,
        open_stream: OpenStream | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """`sent_before`: an earlier process may have sent everything up to this seq."""
        #: Why the last attempt ended.
        self._last = ConnectionLost("no answer")
        self._journal = journal
        self._endpoint = endpoint
        self.limits = self._limits = limits
        self._listener = listener
        self._highest_sent = sent_before
        self._open_stream = open_stream
        self._rng = rng or random.Random()
        self._pace = Pace(limits)
        self._session: Session | None = None
        self._absence = Absence(limits)
        self._fit = Fit(limits, journal.narrow)
        #: Bytes of the first and of the longest message in flight when the last connection ended.
        self._first = self._largest = 0
        self._deadline = float("inf")
        #: Whether the server has ever sent a PONG.
        self.ever_answered = False

    @property
    def ever_connected(self) -> bool:
        """Whether the server has ever proved that it takes our messages."""
        return self._pace.met

    @property
    def trouble(self) -> str:
        """The reason, for a person, why no connection stands; "" if one does, or none was tried."""
        return self._absence.reason

    @property
    def connected(self) -> bool:
        """Whether a connection stands on which the server has answered (see Session.up)."""
        return self._session is not None and self._session.up

    def renew(self, token: str) -> None:
        """Show another token from the next connection on."""
        self._endpoint = self._endpoint.with_token(token)

    def beat(self) -> None:
        """Send a HEARTBEAT now if a connection stands. It is built when it is sent, so that it is never stale."""
        if self._session is not None:
            self._session.heartbeat_due = True
            self._journal.pulse.set()

    def pass_on(self, message: bytes) -> None:
        """Send a message without a number now if a connection stands and is not behind; otherwise never."""
        if self._session is not None:
            self._session.pass_on(message)
            self._journal.pulse.set()

    async def run(self, gate: float | None) -> None:
        """Return once COMPLETE is confirmed.

        Args:
            gate: seconds within which the server must have answered for the first time; None waits for ever.

        Raises:
            ServerUnreachable, ServerRefused: only with a gate, and only before the server has ever answered.

        Cancelling: safe. A standing connection gets a close handshake where that is quick.
        """
        self._deadline = float("inf") if gate is None else trio.current_time() + gate
        refusals = finals = attempt = 0
        followed = False
        while True:
            confirmed = self._journal.confirmed_seq
            self._first = self._largest = 0
            lost = ConnectionLost(str(self._last), unheard=self._last.unheard, remedy=self._last.remedy)
            with trio.CancelScope(deadline=float("inf") if self.ever_connected else self._deadline) as self._opening:
                try:
                    await self._converse()
                    return
                except ConnectionLost as error:
                    if self._journal.completed and self._journal.confirmed_seq >= self._journal.last_seq:
                        return  # only the close handshake failed
                    lost = error
            progress = self._journal.confirmed_seq > confirmed
            fitted = self._fit.ended(lost, self._first, self._largest, progress=progress)
            if fitted:
                self._listener.notice("warn", f"server {self._endpoint}: {fitted}")
            self._last = lost
            refusals = refusals + 1 if lost.refused else 0
            finals = finals + 1 if lost.final else 0
            there = self._endpoint.redirected(lost.location) if lost.location and not followed else None
            if there is not None:
                followed = True
                self._endpoint = there
                self._listener.notice("warn", f"{lost}; going there")
                continue
            if gate is not None and not self.ever_connected:
                if refusals >= self._limits.refusals:
                    raise ServerRefused(f"{lost}; check WS_TOKEN, or the token in WS_SERVER")
                if finals >= self._limits.refusals:
                    words = f"no WebSocket server at {self._endpoint}: {lost}"
                    raise ServerUnreachable(words, exit=Exit.CONFIG, code="config")
                if trio.current_time() >= self._deadline:
                    raise ServerUnreachable(self._in_vain(gate, lost))
            attempt = 0 if progress or fitted else attempt + 1
            delay = self._back_off(attempt, lost)
            trouble = f"server {self._endpoint}: {lost}; next attempt in {delay:.1f} s"
            self._listener.notice("warn" if self._absence.lost(str(lost)) else "debug", trouble)
            with trio.CancelScope(deadline=float("inf") if self.ever_connected else self._deadline):
                await trio.sleep(delay)

    async def _converse(self) -> None:
        """Serve one connection from its handshake to its end. Returns once everything is confirmed."""
        async with connect(self._endpoint, self._limits, self._open_stream) as connection:
            connection.longest_frame = self._fit.longest_frame
            self._session = session = Session(
                self._journal, connection, self._limits, self._told(), self._pace, self._highest_sent
            )
            session.message_limit = self._fit.message_limit or session.message_limit
            try:
                await session.run()
                await connection.close(within=self._limits.close)
            except BaseExceptionGroup as group:
                # Cancelled but not lost: the close tells the server that this is no crash.
                if group.subgroup(ConnectionLost) is None:
                    await connection.close(within=self._limits.farewell)
                raise
            finally:
                self._session = None
                self._first, self._largest = session.first_size, session.largest
                if session.in_vain and session.largest >= self._limits.long_message:
                    self._pace.alone()
                elif session.in_vain:
                    self._pace.in_vain()
                elif session.unacked and not connection.refused:
                    self._pace.brief()
                self._highest_sent = session.highest_sent
                if session.up:
                    self._listener.connected(False)

    def _told(self) -> Listener:
        """Make the listener of a session: the first proof also lifts the gate."""

        def connected(up: bool) -> None:
            self._opening.deadline = float("inf")
            self._listener.connected(up)

        def answered() -> None:
            if not self.ever_answered:
                # Once, or a server that answers and then closes would hold the run up for ever.
                self.ever_answered = True
                proof = trio.current_time() + self._limits.ack_grace + self._limits.ping_deadline
                self._deadline = self._opening.deadline = max(self._opening.deadline, proof)
                self._listener.answered()

        def caught_up(copies: int) -> None:
            away = self._absence.back()
            if away is not None:
                copied = f", {copies} messages sent again" if copies else ""
                self._listener.notice("info", f"server {self._endpoint}: connected{again} after {away:.0f} s{copied}")

        outer = self._listener
        again = " again" if self.ever_connected else ""
        return Listener(connected, outer.notice, outer.cancel, outer.heartbeat, caught_up, answered, outer.command)

    def _in_vain(self, gate: float, lost: ConnectionLost) -> str:
        """Word why the gate gives up."""
        if self.ever_answered:
            words = f"the server {self._endpoint} answers, but has confirmed no message within {gate:g} s"
            return f"{words}: {lost}; check the path in WS_SERVER"
        hint = lost.remedy or (lost.unheard and self._endpoint.hint) or "check WS_SERVER, and that the server runs"
        return f"no WebSocket server at {self._endpoint} within {gate:g} s: {lost}; {hint}"

    def _back_off(self, attempt: int, lost: ConnectionLost) -> float:
        """Seconds until the next attempt. Full jitter keeps hundreds of agents from coming back at the same moment."""
        limits = self._limits
        ceiling = min(limits.backoff_max, limits.backoff_min * 2.0 ** min(attempt, 16))
        delay = self._rng.uniform(0, ceiling)
        if lost.retry_after is not None:
            return delay + min(lost.retry_after, limits.retry_after_max)
        if lost.close_code == 1013 or (lost.refused and self.ever_connected):
            return delay + limits.backoff_max / 2
        return delay
