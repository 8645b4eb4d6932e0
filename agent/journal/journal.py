"""Journal, the face of the package: append on one side, read and confirm on the other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict, Unpack

from agent import __version__
from agent.journal.backlog import Backlog
from agent.journal.encoder import Encoder
from agent.journal.gaps import SENT_AGAIN, TOO_LONG, Gap
from agent.journal.parts import cut, join, siblings
from agent.journal.record import Record
from agent.journal.run_directory import Run, RunDirectory
from agent.journal.segment import Segment
from agent.journal.segments import SegmentStore
from agent.journal.totals import Totals
from agent.limits import Limits
from agent.protocol import COMPLETE, LOG, STATUS, Envelope, Event, events, timestamp
from agent.pulse import Pulse
from agent.text import count

__all__ = ["Journal", "Record"]

#: A small journal has at least this many segments, so that dropping one does not drop everything.
_SEGMENTS_AT_LEAST = 8


class Options(TypedDict):
    """Options of a journal, the same however it is opened."""

    limits: Limits
    #: Bytes that the journal may hold, and bytes that one wire message may have.
    limit: int
    message_limit: int
    #: Returns the very object that it was given if it hides nothing.
    redact: Callable[[bytes], bytes]
    #: The wall clock.
    now: Callable[[], float]
    #: An existing directory that confirmed segments are copied to.
    keep: NotRequired[Path | None]
    #: False where nobody will ever read: each message is confirmed as soon as it is kept.
    followed: NotRequired[bool]


class Journal:
    """The journal of one run, for one task at a time. `pulse` wakes the task that follows it."""

    def __init__(self, directory: RunDirectory | None, envelope: Envelope, **options: Unpack[Options]) -> None:
        """A journal without a directory is in memory, and holds at most `limits.memory_journal_bytes`."""
        limits = options["limits"]
        memory = limits.memory_journal_bytes
        self._limit = options["limit"] if directory is not None else min(options["limit"], memory)
        #: The highest number given.
        self.last_seq = 0
        #: COMPLETE is appended: `last_seq` is final.
        self.completed = False
        #: Set by every append.
        self.pulse = Pulse()
        self._directory = directory
        self.envelope = envelope
        self._followed = options.get("followed", True)
        self._encoder = Encoder(envelope, options["message_limit"], options["redact"], options["now"])
        self._segment_bytes = min(limits.segment_bytes, max(1, self._limit // _SEGMENTS_AT_LEAST))
        self._store = SegmentStore(
            directory, self._segment_bytes, limits.resident_bytes, options.get("keep"), limits.record_bytes
        )
        self._totals = Totals()
        self._backlog = Backlog(
            self._store, self._totals, envelope.run_id, self._encoder.marker, limit=self._limit, memory=memory
        )

    @classmethod
    def open(cls, parent: Path | None, envelope: Envelope, **options: Unpack[Options]) -> Journal:
        """Make a new journal in `parent`/<runID>, locked until `close` or `remove`; in memory if `parent` is None.

        Raises:
            OSError: the directory cannot be made, written or locked.
        """
        directory = None
        if parent is not None:
            run = Run(envelope.container_id, envelope.run_id, __version__, timestamp(options["now"]()))
            directory = RunDirectory.create(parent, run)
        return cls(directory, envelope, **options)

    def adopt(self) -> Record | None:
        """Take over the messages that a dead run left in the directory. Any of them may have been sent.

        Returns the last STATUS that is still here.

        Reads everything once, which takes about a second for 512 MiB.

        Raises:
            OSError: the newest segment cannot be read, so its numbers are unknown.
        """
        assert self._directory is not None
        sizes = self._directory.segments()
        ends = [first - 1 for first in sizes][1:]
        last_record = status = None
        for (first, size), last in zip(sizes.items(), [*ends, None], strict=False):
            for record in self._backlog.adopt(Segment.existing(self._directory, first, size, last)):
                last_record = record
                if record.type == STATUS.name:
                    status = record
        self.last_seq = self._store.active.last
        self.completed = self._backlog.final = last_record is not None and last_record.type == COMPLETE.name
        self._totals.whole = self.confirmed_seq == 0
        return status

    # --- in

    def append(self, events: Sequence[Event]) -> None:
        """Redact, number and keep events; COMPLETE gets its `stream`.

        Raises:
            RuntimeError: something follows COMPLETE, which is a bug.
            ValueError: no numbered kind has the name of an event's type, which is a bug.
        """
        encoder = self._encoder
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
                    self._append_last(data)
                    continue
                if kind.split:
                    self._append_parts(data)
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
        if self._followed:
            self.pulse.set()
        else:
            self.confirm(self.last_seq)

    def _write(self, batch: list[Record], special: Sequence[tuple[Record, bool]] = ()) -> None:
        """Count and hold records. `special` are those that are kept or are not LOGs, each with whether it is kept."""
        if not batch:
            return
        block = b"\n".join([*[record.message for record in batch], b""])
        others = [record for record, _ in special if record.type != LOG.name]
        self._totals.add(len(batch) - len(others), others, block)
        keepers = [record for record, keep in special if keep]
        spare = [record for record, keep in special if not keep]
        self.last_seq = batch[-1].seq
        self._backlog.append(batch, block, keepers, spare)

    def _append_parts(self, data: bytes) -> None:
        seq = self.last_seq + 1
        if len(data) > self._limit // 2:
            # It would drop everything else first, and still not fit.
            self.last_seq = seq
            self._backlog.append_gap(Gap(seq, seq, len(data), "journal_limit"))
            return
        split = self._backlog.begin_split(seq)
        batch: list[Record] = []
        size = 0
        for part in self._encoder.parts(data, seq):
            batch.append(part)
            size += part.size
            if size >= self._segment_bytes:
                self._write(batch)
                batch, size = [], 0
                if split.dropped:
                    break
        self._write(batch)
        split.last = self.last_seq

    def _append_last(self, data: bytes) -> None:
        self.completed = self._backlog.final = True
        seq = self.last_seq + 1
        record = self._encoder.complete(seq, data, self._totals.stream(seq))
        self.last_seq = seq
        self._backlog.append([record], record.message + b"\n", [record], [])
        self.pulse.set()

    def narrow(self, message_limit: int, *, refused: bool) -> tuple[int, int]:
        """Fit a server that takes no longer message: all that is unconfirmed, and all that comes, becomes that short.

        A LOG that is too long leaves a gap and is appended again, in parts; any other message is cut. COMPLETE moves
        behind them, if it was never sent, or the server has `refused` one of the long messages before it. If it may
        have arrived, the LOGs are lost, and COMPLETE tells of it. Returns how many messages are sent again, and how
        many are lost.
        """
        encoder, backlog = self._encoder, self._backlog
        encoder.narrow(message_limit)
        going: set[int] = set()
        after, fits = self.confirmed_seq, True
        while records := self.read(after, self._segment_bytes, sys.maxsize):
            for record in records:
                if len(record.message) > message_limit:
                    fits = False
                    going.update(siblings(record) if record.type == LOG.name else (record.seq,))
            after = records[-1].seq
        if fits:
            return 0, 0
        self._totals.forget_hash()
        stays = self.completed and not (refused or self.sent_seq < self.last_seq)
        shed = backlog.shed(going, encoder.shortened, TOO_LONG if stays else SENT_AGAIN)
        if stays:
            backlog.replace_last(encoder.completed_anew(backlog.last, self._totals.stream(self.last_seq)))
            if shed:
                words = f"{count(len(shed), 'message')} lost, since the server takes none so long"
                self.problems.append(words)
            return 0, len(shed)
        again = list(join(shed))
        end = encoder.end_of(backlog.last) if self.completed else None
        if end is not None:
            self._take_back_last()
        for data in again:
            self._append_parts(data)
        if end is not None:
            self._append_last(end)
        self.pulse.set()
        return len(again), 0

    def _take_back_last(self) -> None:
        """Put a LOG in the place of COMPLETE, so that something may follow."""
        self.completed = self._backlog.final = False
        words = "the run is over; what its server did not take at once follows"
        record = self._encoder.record(self.last_seq, LOG.name, events.log("info", words, kind="journal").data)
        self._totals.add(1, [], record.message + b"\n")
        self._backlog.replace_last(record)

    # --- out

    def read(self, after: int, max_bytes: int, max_count: int) -> list[Record]:
        """Return the next records above `after`: at least one if there is any, however long it is."""
        return self._backlog.read(after, max_bytes, max_count)

    def sent(self, seq: int) -> None:
        """Mark everything up to `seq` as possibly sent: it can no longer be dropped."""
        self._backlog.sent_seq = max(self._backlog.sent_seq, seq)

    def confirm(self, seq: int) -> None:
        """Free everything up to `seq`, because it has arrived.

        Raises:
            ValueError: it was never appended.
        """
        if seq > self.last_seq:
            raise ValueError(f"{seq} is confirmed, but {self.last_seq} is the last")
        if seq > self.confirmed_seq:
            self._backlog.confirm(seq)

    def count_redelivered(self, count: int) -> None:
        """Count copies that were sent, for COMPLETE.stream."""
        self._totals.redelivered += count

    # --- end

    def save(self) -> None:
        """Try to store the records that only memory has. `refused` tells whether the disk took them."""
        self._store.spill()

    def close(self) -> None:
        """Release the lock. Unconfirmed messages stay for a later delivery."""
        self.save()
        self._store.active.seal()
        if self._directory is not None:
            self._directory.close()

    def remove(self) -> None:
        """Delete the directory and release the lock. The caller needs nothing of it any more."""
        if self._directory is not None:
            self._directory.disown()
        self._store.clear()
        if self._directory is not None:
            self._directory.remove()

    # --- state

    @property
    def run_id(self) -> str:
        """The ID of the run."""
        return self.envelope.run_id

    @property
    def path(self) -> Path | None:
        """The run's directory, None for a journal in memory."""
        return self._directory.path if self._directory else None

    @property
    def confirmed_seq(self) -> int:
        """The highest confirmed number."""
        return self._backlog.confirmed_seq

    @property
    def sent_seq(self) -> int:
        """The highest number that may have been sent."""
        return self._backlog.sent_seq

    @property
    def queued(self) -> int:
        """The count of numbers that are not confirmed."""
        return self.last_seq - self.confirmed_seq

    @property
    def redelivered(self) -> int:
        """Copies sent, as the sender counts them."""
        return self._totals.redelivered

    @property
    def size(self) -> int:
        """Bytes held, in memory and on the disk."""
        return self._store.size

    @property
    def dropped(self) -> int:
        """The number of messages that gap markers stand for."""
        return self._totals.dropped

    @property
    def gaps(self) -> int:
        """The number of gap markers."""
        return self._totals.gaps

    @property
    def refused(self) -> OSError | None:
        """The reason why the disk takes nothing now. New messages are in memory, and lost if the agent is killed."""
        return self._store.refused

    @property
    def problems(self) -> list[str]:
        """Damage found while reading back, in sentences for a person."""
        return self._store.problems
