"""What one connection learns of the server and the next one needs to know."""

from __future__ import annotations

from agent.limits import Limits


class Pace:
    """How much may be in flight, how long a PONG may take, what confirms; kept from one connection to the next.

    The window begins with a quarter of its limits. A prompt PONG for a quarter of the window doubles it: what is in
    flight never takes longer than half of the patience, since the next PING stands behind all of it. A late PONG halves
    it, but not below that first quarter; one that does not come also doubles the patience, which a prompt one takes
    back. A connection that ends before anything was proved halves the window further: a server that flaps, or takes a
    kilobyte a second, would otherwise be sent the same megabyte for ever.

    Whether a server acknowledges shows only with its first ack, which a PONG overtakes: at first, and on each new
    connection of a server that has acknowledged, PONGs confirm nothing until acks have been due for long enough.
    """

    #: Times that the window is halved: at first, and at most, which leaves one message of 2048.
    _AT_FIRST = 2
    _SMALLEST = 11
    #: Parts of the patience in which a quarter of the window is answered where two windows take half of it; in which a
    #: window is answered that may stay; and in which a server answers that needs no more patience than others.
    _QUICK, _LATE, _PROMPT = 1 / 16, 1 / 4, 1 / 8
    #: Times that the patience is doubled at most.
    _MOST = 9

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._halved = self._AT_FIRST
        self._overdue = 0
        #: For how many seconds, over all connections, an ack has been due; None while PONGs confirm (level 0).
        self.silence: float | None = 0.0
        #: Whether the server has ever acknowledged.
        self.acked = False

    @property
    def silence_allowed(self) -> float:
        return self._limits.ack_silence if self.acked else self._limits.ack_grace

    @property
    def window_bytes(self) -> int:
        return self._limits.window_bytes >> self._halved

    @property
    def window_messages(self) -> int:
        return max(1, self._limits.window_messages >> self._halved)

    @property
    def pong_within(self) -> float:
        return self._limits.ping_deadline * 2.0**self._overdue

    @property
    def send_within(self) -> float:
        return self._limits.send * 2.0**self._overdue

    def overdue(self) -> None:
        """A PONG did not come in time."""
        self._overdue = min(self._overdue + 1, self._MOST)
        self._narrow()

    def in_vain(self) -> None:
        """A connection ended, and nothing of what it was sent was proved taken."""
        self._halved = min(self._halved + 1, self._SMALLEST)

    def answered(self, seconds: float, messages: int, size: int) -> None:
        """A PONG came, which covers so many messages and bytes that were in flight."""
        within = self.pong_within
        much = messages >= self.window_messages // 4 or size >= self.window_bytes // 4
        if seconds < within * self._QUICK and much:
            self._halved = max(0, self._halved - 1)
        elif seconds > within * self._LATE:
            self._narrow()
        if seconds < within * self._PROMPT:
            self._overdue = max(0, self._overdue - 1)

    def _narrow(self) -> None:
        self._halved = max(self._halved, min(self._halved + 1, self._AT_FIRST))
