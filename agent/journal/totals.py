"""Totals of the messages before COMPLETE, which COMPLETE.stream carries for consumers to compare. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from agent.journal.gaps import Gap, gap_of
from agent.journal.record import Record
from agent.protocol import KINDS, LOG


class Totals:
    """The totals of the messages that exist. Dropped messages are counted out again."""

    def __init__(self) -> None:
        self.counts = {kind.name: 0 for kind in KINDS.values() if kind.counted}
        #: Bytes of their lines.
        self.size = 0
        self.dropped = 0
        self.gaps = 0
        #: Copies sent.
        self.redelivered = 0
        #: Every message since the first is counted. After a takeover, the first ones may have been freed before.
        self.whole = True
        self._hash = hashlib.sha256()
        self._hashed = True

    def add(self, logs: int, others: Sequence[Record], block: bytes) -> None:
        """Count new messages: the number of LOGs, the other records, and the lines of all in order."""
        self.counts[LOG.name] += logs
        for record in others:
            self.counts[record.type] += 1
        self.size += len(block)
        if self._hashed and not self.dropped:
            self._hash.update(block)

    def take_over(self, records: Sequence[Record]) -> None:
        """Count messages of a dead run, which may include COMPLETE. What was first written is unknown: no sha256."""
        self._hashed = False
        for record in records:
            kind = KINDS.get(record.type)
            if kind is None or kind.counted:  # a later agent may have kinds that this one does not know
                self.counts[record.type] = self.counts.get(record.type, 0) + 1
                self.size += record.size
            if (gap := gap_of(record)) is not None:
                self.gaps += 1
                self.dropped += gap.count

    def forget_hash(self) -> None:
        """Take note that a message is not what it was when it was first written."""
        self._hashed = False

    def drop(self, gone: Sequence[Record], opened: Sequence[Gap], closed: Sequence[Gap]) -> None:
        """Count dropped messages out. The gaps `opened` stand for them and for the gaps `closed`."""
        for record in gone:
            self.counts[record.type] -= 1
        self.dropped += len(gone)
        self._mark(opened, closed)

    def lose(self, opened: Sequence[Gap], others: Sequence[str]) -> None:
        """Count messages out that cannot be read back; `others` are the kinds of those that were not LOGs."""
        count = sum(gap.count for gap in opened)
        for type in others:
            self.counts[type] -= 1
        self.counts[LOG.name] -= count - len(others)
        self.dropped += count
        self._mark(opened, [])

    def _mark(self, opened: Sequence[Gap], closed: Sequence[Gap]) -> None:
        self.counts[LOG.name] += len(opened) - len(closed)
        self.gaps += len(opened) - len(closed)

    def stream(self, last_seq: int) -> dict[str, Any]:
        """Return COMPLETE.stream. `last_seq` is the number of COMPLETE."""
        return {
            "lastSeq": last_seq,
            "counts": self.counts if self.whole else None,
            "bytes": self.size if self.whole else None,
            "sha256": self._hash.hexdigest() if self._hashed and not self.dropped else None,
            "dropped": self.dropped,
            "gaps": self.gaps,
            "redelivered": self.redelivered,
        }
