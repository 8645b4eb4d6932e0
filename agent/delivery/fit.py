"""The length of the messages that a server takes, as far as it shows: it closes with 1009, or breaks at a long one.

Nobody says its limit. So a step down is tried each time that a server does not take what is there: first frames of
32,000 bytes, which npm's `websocket` and AWS API Gateway demand and which change no message; then shorter messages, for
uWebSockets, `ws` with a maxPayload, or a receiver below MESSAGE_LIMIT.
"""

from __future__ import annotations

from typing import Protocol

from agent.delivery.connection_lost import ConnectionLost
from agent.limits import Limits
from agent.text import count

_TOO_BIG = 1009


class Narrow(Protocol):
    """Journal.narrow()."""

    def __call__(self, message_limit: int, *, refused: bool) -> tuple[int, int]: ...


class Fit:
    """The length of what one server takes. `narrow` makes the journal's messages shorter, as Journal.narrow() does."""

    def __init__(self, limits: Limits, narrow: Narrow) -> None:
        self._limits = limits
        self._narrow = narrow
        self._stuck = 0
        self._steps = list(limits.message_steps)
        #: Bytes that a frame may have, None while the server takes any.
        self.longest_frame: int | None = None
        #: Bytes that a message may have, None likewise.
        self.message_limit: int | None = None

    def ended(self, lost: ConnectionLost, first: int, largest: int, *, progress: bool) -> str:
        """Take note of the end of a connection, and step down if a message was too long for the server.

        Args:
            first: bytes of the first message in flight, 0 if there was none.
            largest: bytes of the longest.
            progress: whether something was confirmed since the connection before.

        Returns a sentence about the step; "" where there was none.
        """
        if lost.close_code == _TOO_BIG and largest:
            return self._step_down(largest, f"the server takes no message of {largest:,} bytes", refused=True)
        if progress or 0 < first < self._limits.long_message:
            self._stuck = 0
        elif first:  # else nothing was sent on it
            self._stuck += 1
        if self._stuck < self._limits.stuck_connections:
            return ""
        words = f"{self._stuck} connections ended at a message of {first:,} bytes: the server may take less"
        self._stuck = 0
        return self._step_down(first, f"{words}, set MESSAGE_LIMIT to what it takes", refused=False)

    def _step_down(self, size: int, words: str, *, refused: bool) -> str:
        if self.longest_frame is None and size > self._limits.longest_frame:
            self.longest_frame = self._limits.longest_frame
            return f"{words}; trying frames of {self.longest_frame:,} bytes"
        self._steps = [step for step in self._steps if step < size]
        if not self._steps:
            return words
        self.message_limit = limit = self._steps.pop(0)
        again, gone = self._narrow(limit, refused=refused)
        words += f"; from now on none is longer than {limit:,} bytes, as MESSAGE_LIMIT={limit} would make them"
        if again:
            words += f", and {count(again, 'message')} that waited {'is' if again == 1 else 'are'} sent again in parts"
        if gone:
            words += f", and {count(gone, 'message')} of the run, which is over, {'is' if gone == 1 else 'are'} lost"
        return words
