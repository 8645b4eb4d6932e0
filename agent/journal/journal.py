"""Journal, the face of the package: append on one side, read and confirm on the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict, Unpack

from agent import __version__
from agent.journal.backlog import Backlog
from agent.journal.encoder import Encoder
from agent.journal.narrowing import narrow
from agent.journal.record import Record
from agent.journal.run_directory import Run, RunDirectory
from agent.journal.segment import Segment
from agent.journal.segments import SegmentStore
from agent.journal.totals import Totals
from agent.journal.writer import Writer
from agent.limits import Limits
from agent.protocol import COMPLETE, STATUS, Envelope, Event, timestamp
from agent.pulse import Pulse

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
        limit = options["limit"] if directory is not None else min(options["limit"], memory)
        #: Set by every append.
        self.pulse = Pulse()
        self._directory = directory
        self.envelope = envelope
        self._followed = options.get("followed", True)
        segment_bytes = min(limits.segment_bytes, max(1, limit // _SEGMENTS_AT_LEAST))
        self._store = SegmentStore(
            directory, segment_bytes, limits.resident_bytes, options.get("keep"), limits.record_bytes
        )
        self._totals = Totals()
        encoder = Encoder(envelope, options["message_limit"], options["redact"], options["now"])
        self._backlog = Backlog(self._store, self._totals, envelope.run_id, encoder.marker, limit=limit, memory=memory)
        self._writer = Writer(encoder, self._totals, self._backlog, limit=limit, segment_bytes=segment_bytes)

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
        self._writer.last_seq = self._store.active.last
        self._writer.completed = self._backlog.final = last_record is not None and last_record.type == COMPLETE.name
        self._totals.whole = self.confirmed_seq == 0
        return status

    # --- in

    def append(self, events: Sequence[Event]) -> None:
        """Redact, number and keep events; COMPLETE gets its `stream`.

        Raises:
            RuntimeError: something follows COMPLETE, which is a bug.
            ValueError: no numbered kind has the name of an event's type, which is a bug.
        """
        self._writer.append(events)
        if self._followed:
            self.pulse.set()
        else:
            self.confirm(self.last_seq)

    @property
    def room(self) -> int:
        """Bytes that the data of a message may have, so that it is neither split nor cut."""
        return self._writer.encoder.room

    def narrow(self, message_limit: int, *, refused: bool) -> tuple[int, int]:
        """Fit a server that takes no longer message: see narrowing.py."""
        found = narrow(self._writer, message_limit, refused=refused)
        self.pulse.set()
        return found

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
    def last_seq(self) -> int:
        """The highest number given."""
        return self._writer.last_seq

    @property
    def completed(self) -> bool:
        """COMPLETE is appended: `last_seq` is final."""
        return self._writer.completed

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
