"""The writer of a journal: events become numbered records, split or cut where they are too long."""

from __future__ import annotations

from collections.abc import Sequence

from agent.journal.backlog import Backlog
from agent.journal.encoder import Encoder
from agent.journal.gaps import Gap
from agent.journal.parts import cut
from agent.journal.record import Record
from agent.journal.totals import Totals
from agent.protocol import LOG, Event, events


class Writer:
    """Numbers what is appended, counts it, and gives it to the backlog. Its numbers are those of one run.

    Args:
        limit: bytes that the journal may hold.
        segment_bytes: so much goes to the backlog at once.
    """

    def __init__(self, encoder: Encoder, totals: Totals, backlog: Backlog, *, limit: int, segment_bytes: int) -> None:
        self.encoder = encoder
        self.totals = totals
        self.backlog = backlog
        #: The highest number given.
        self.last_seq = 0
        #: COMPLETE is appended: `last_seq` is final.
        self.completed = False
        self._limit = limit
        self._segment_bytes = segment_bytes

    def append(self, events: Sequence[Event]) -> None:
        """Redact, number and keep events; COMPLETE gets its `stream`.

        Raises:
            RuntimeError: something follows COMPLETE, which is a bug.
            ValueError: no numbered kind has the name of an event's type, which is a bug.
        """
        encoder = self.encoder
        heads, harmless = encoder.heads(), encoder.are_harmless(events)
        redact, tail, room, full = encoder.redact, encoder.tail, encoder.room, self._segment_bytes
        batch: list[Record] = []
        special: list[tuple[Record, bool]] = []
        seq, size = self.last_seq, 0
        for event in events:
            if self.completed:
                raise RuntimeError(f"{event.type} after COMPLETE: {event.message}")
            kind, head = heads[event.type]
            pieces = event.pieces if event.redacted and harmless else (redact(event.data),)
            length = sum(map(len, pieces))
            if kind.last or length > room:
                self._write(batch, special)
                batch, special, size = [], [], 0
                data = b"".join(pieces)
                if kind.last:
                    self.append_last(data)
                    continue
                if kind.split and not event.keep:
                    self.append_parts(data)
                    seq = self.last_seq
                    continue
                pieces = (cut(data, room),)
            seq += 1
            record = Record(seq, b"".join((head, *pieces, tail, b"%d}" % seq)), event.type)
            batch.append(record)
            if event.keep or kind is not LOG:
                special.append((record, event.keep or not kind.droppable))
            size += length
            if size >= full:
                self._write(batch, special)
                batch, special, size = [], [], 0
        self._write(batch, special)

    def _write(self, batch: list[Record], special: Sequence[tuple[Record, bool]] = ()) -> None:
        """Count and hold records. `special` are those that are kept or are not LOGs, each with whether it is kept."""
        if not batch:
            return
        block = b"\n".join([*[record.message for record in batch], b""])
        others = [record for record, _ in special if record.type != LOG.name]
        self.totals.add(len(batch) - len(others), others, block)
        keepers = [record for record, keep in special if keep]
        spare = [record for record, keep in special if not keep]
        self.last_seq = batch[-1].seq
        self.backlog.append(batch, block, keepers, spare)

    def append_parts(self, data: bytes) -> None:
        """Split the data of a LOG into numbered parts."""
        seq = self.last_seq + 1
        if len(data) > self._limit // 2:
            # It would drop everything else first, and still not fit.
            self.last_seq = seq
            self.backlog.append_gap(Gap(seq, seq, len(data), "journal_limit"))
            return
        split = self.backlog.begin_split(seq)
        batch: list[Record] = []
        size = 0
        for part in self.encoder.parts(data, seq):
            batch.append(part)
            size += part.size
            if size >= self._segment_bytes:
                self._write(batch)
                batch, size = [], 0
                if split.dropped:
                    break
        self._write(batch)
        split.last = self.last_seq

    def append_last(self, data: bytes) -> None:
        """Number COMPLETE, and give it its `stream`."""
        self.completed = self.backlog.final = True
        seq = self.last_seq + 1
        record = self.encoder.complete(seq, data, self.totals.stream(seq))
        self.last_seq = seq
        self.backlog.append([record], record.message + b"\n", [record], [])

    def take_back_last(self) -> None:
        """Put a LOG in the place of COMPLETE, so that something may follow."""
        self.completed = self.backlog.final = False
        words = "the run is over; what its server did not take at once follows"
        record = self.encoder.record(self.last_seq, LOG.name, events.log("info", words, kind="journal").data)
        self.totals.add(1, [], record.message + b"\n")
        self.backlog.replace_last(record)
