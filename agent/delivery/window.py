"""The window of a connection: the messages that were sent on it and that no PONG has covered yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from agent.delivery.pace import Pace
from agent.journal import Record


class Window:
    """Counts what is in flight, within what the pace allows. A PONG covers messages in the order of sending."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        #: (seq, bytes) of each message in flight.
        self._messages: deque[tuple[int, int]] = deque()
        #: Bytes in flight.
        self.bytes = 0
        self._first = 0

    def __len__(self) -> int:
        """Messages in flight."""
        return len(self._messages)

    @property
    def room(self) -> tuple[int, int]:
        """Bytes and messages that may be sent now; (0, 0) where none may. An empty window always has room."""
        size = self._pace.window_bytes - self.bytes
        count = self._pace.window_messages - len(self._messages)
        if self._messages and (size <= 0 or count <= 0):
            return 0, 0
        return max(1, size), max(1, count)

    def add(self, records: Sequence[Record]) -> None:
        """Count these as sent."""
        self._first = self._first or records[0].seq
        self._messages += [(record.seq, len(record.message)) for record in records]
        self.bytes += sum([len(record.message) for record in records])

    def cover(self, seq: int) -> None:
        """Take out everything up to `seq`: a PONG has covered it."""
        messages = self._messages
        while messages and messages[0][0] <= seq:
            self.bytes -= messages.popleft()[1]

    @property
    def largest(self) -> int:
        """Bytes of the longest message in flight; 0 if there is none."""
        return max((size for _, size in self._messages), default=0)

    @property
    def first_size(self) -> int:
        """Bytes of the first message in flight; 0 if there is none."""
        return self._messages[0][1] if self._messages else 0

    @property
    def in_vain(self) -> bool:
        """Whether messages were sent on this connection and none was proved taken."""
        return bool(self._messages) and self._messages[0][0] == self._first

    def is_ping_due(self, messages: int) -> bool:
        """Whether so many messages, or a quarter of the window, are in flight."""
        pace = self._pace
        return len(self._messages) >= min(messages, pace.window_messages // 4) or self.bytes >= pace.window_bytes // 4
