"""The pace of a server: what one connection learns of it and the next one needs to know."""

from __future__ import annotations

from agent.limits import Limits


class Pace:
    """Limits of one server: what may be in flight, how long a PONG may take, and whether PONGs confirm.

    Window. It begins with a quarter of its limits. A prompt PONG that covers a quarter of the window doubles it. A late
    PONG halves it, but not below that first quarter. A connection that ends before anything was proved halves it
    further: otherwise a server that flaps, or takes a kilobyte a second, would be sent the same megabyte for ever.

    Patience. A PONG that does not come doubles it, and a prompt one takes that back. Messages in flight take at most
    half of the patience, since the next PING stands behind all of them.

    Confirmation. A server shows that it acknowledges only by its first ack, and a PONG may overtake that. So PONGs
    confirm nothing until acks have been due for `silence_allowed` seconds: at first, and again on each new connection
    to a server that has acknowledged.
    """

    #: How often the window is halved at first, and at most: then one message of 2048 is left.
    _AT_FIRST = 2
    _SMALLEST = 11
    # Times for a PONG, as parts of the patience.
    #: Quicker for a quarter of the window: a window of twice the size takes at most half of the patience.
    _QUICK = 1 / 16
    #: Slower: the window is too large.
    _LATE = 1 / 4
    #: Quicker: the server needs no more patience than others.
    _PROMPT = 1 / 8
    #: How often the patience is doubled at most.
    _MOST = 9

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._halved = self._AT_FIRST
        self._overdue = 0
        #: Seconds, over all connections, for which an ack has been due; None while PONGs confirm (level 0).
        self.silence: float | None = 0.0
        #: Whether the server has ever acknowledged.
        self.acked = False
        #: Whether the server has confirmed anything, by an ack or by PONGs.
        self.met = False

    @property
    def silence_allowed(self) -> float:
        """Seconds for which acks may be due until PONGs confirm."""
        return self._limits.ack_silence if self.acked else self._limits.ack_grace

    @property
    def window_bytes(self) -> int:
        """Bytes that may be in flight."""
        return self._limits.window_bytes >> self._halved

    @property
    def window_messages(self) -> int:
        """Messages that may be in flight, at least one."""
        return max(1, self._limits.window_messages >> self._halved)

    @property
    def pong_within(self) -> float:
        """Seconds that a PONG may take."""
        return self._limits.ping_deadline * 2.0**self._overdue

    @property
    def send_within(self) -> float:
        """Seconds that a send may take."""
        return self._limits.send * 2.0**self._overdue

    def overdue(self) -> None:
        """Take note of a PONG that did not come in time."""
        self._overdue = min(self._overdue + 1, self._MOST)
        self._narrow()

    def in_vain(self) -> None:
        """Take note of a connection that ended before any message on it was proved taken."""
        self._halved = min(self._halved + 1, self._SMALLEST)

    def alone(self) -> None:
        """Send the next messages one at a time, to find the one at which a server breaks."""
        self._halved = self._SMALLEST

    def brief(self) -> None:
        """Take note of a connection on which PONGs covered messages, and no ack came until it ended."""
        if self.silence is not None and not self.acked:
            self.silence += self._limits.ack_grace / self._limits.brief_connections

    def answered(self, seconds: float, messages: int, size: int) -> None:
        """Take note of a PONG after `seconds`; it covers `messages` and `size` bytes that were in flight."""
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
