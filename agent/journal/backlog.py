"""Backlog: the records that are not confirmed. It reads them back, frees them, and drops the oldest where it must.

Every loss becomes a gap marker. A segment is settled once everything that may be dropped has been dropped from it.
"""

from __future__ import annotations

import errno
import sys
from bisect import bisect_right
from collections.abc import Callable, Sequence, Set

import msgspec

from agent.journal.gaps import Change, Gap, compact, mend
from agent.journal.record import Record, parse, position, whole
from agent.journal.segment import Segment
from agent.journal.segments import SegmentStore
from agent.journal.totals import Totals
from agent.protocol import COMPLETE, LOG

#: Errors of a disk that has room again once we delete something.
_FULL = {"ENOSPC", "EDQUOT"}
#: How many segments are dropped from a full disk in vain before the rest is left alone. More than one, because markers
#: and keepers take some of the room that a segment leaves, so that the next write may not fit.
_FUTILE = 3


class Split(msgspec.Struct):
    """The numbers of one split message, whose parts are dropped together or not at all."""

    first: int
    last: int = sys.maxsize
    dropped: bool = False


class Backlog:
    """The unconfirmed records of one run. Nothing but `adopt` raises OSError."""

    def __init__(
        self,
        store: SegmentStore,
        totals: Totals,
        run_id: str,
        mark: Callable[[Gap], Record],
        *,
        limit: int,
        memory: int,
    ) -> None:
        """Take `mark`, which makes the record of a gap. `limit` bounds all bytes, `memory` those the disk refuses."""
        self.store = store
        self.sent_seq = 0
        self.confirmed_seq = 0
        #: COMPLETE is here: nothing is dropped from now on, or its totals would be wrong.
        self.final = False
        self._totals = totals
        self._run_id = run_id
        self._mark = mark
        self._limit = limit
        self._memory = memory
        self._marked: dict[int, Gap] = {}
        self._splits: list[Split] = []

    def append(self, records: list[Record], block: bytes, keepers: Sequence[Record], spare: Sequence[Record]) -> None:
        """Take records, whose lines are `block`. `spare` are those that may be dropped and are not LOGs."""
        self.store.append(records, block, keepers, spare)
        if self.store.size > self._limit or self.store.refused is not None:
            self._make_room()

    def append_gap(self, gap: Gap) -> None:
        """Take a gap for a message that was never stored."""
        record = self._mark(gap)
        line = record.message + b"\n"
        self._marked[gap.last] = gap
        self._totals.dropped += gap.count
        self._totals.gaps += 1
        self._totals.add(1, [], line)
        self.append([record], line, [record], [])

    def begin_split(self, first: int) -> Split:
        """Announce a split message. The caller stops appending if it is dropped, and sets `last` at the end."""
        split = Split(first)
        self._splits.append(split)
        return split

    def adopt(self, segment: Segment) -> list[Record]:
        """Take over a segment of a dead run, oldest first. Return its records.

        Raises:
            OSError: it is the newest and cannot be read.
        """
        store = self.store
        if segment.last == sys.maxsize:
            found = parse(segment.content(), self._run_id, segment.first, segment.last)
            if found.torn:
                store.problems.append(f"segment {segment.first}: a torn last line of {found.torn} bytes is cut off")
            segment.last = found.records[-1].seq if found.records else segment.first - 1
        if store.active.first == 1:
            self.confirmed_seq = segment.first - 1
        store.adopt(segment)
        if segment.last < segment.first:
            store.take_out(segment)
            store.discard(segment)
            return []
        totals, self._totals = self._totals, Totals()  # mending must not count: take_over() counts what is left
        records = self._records(segment)
        self._totals = totals
        totals.take_over(records)
        self.sent_seq = segment.last
        return records

    def read(self, after: int, max_bytes: int, max_count: int) -> list[Record]:
        """Return records above `after`: at least one if there is any, else no more than the bounds allow."""
        store = self.store
        found: list[Record] = []
        for index in range(store.index(after), len(store.segments)):
            segment = store.segments[index]
            store.read_from(segment)
            records = self._records(segment)
            start = 0 if found else position(records, after)
            for record in records[start : start + max_count - len(found)]:
                max_bytes -= len(record.message)
                if max_bytes < 0 and found:
                    return found
                found.append(record)
            if len(found) >= max_count:
                break
        return found

    def confirm(self, seq: int) -> None:
        """Free the segments that end at `seq` or before."""
        self.confirmed_seq = seq
        self.sent_seq = max(self.sent_seq, seq)
        if self.store.free(seq):
            self._splits = [split for split in self._splits if split.last > seq]
            self._marked = {last: gap for last, gap in self._marked.items() if last > seq}

    # --- dropping

    def _make_room(self) -> None:
        """Drop the oldest records until the rest fits, or nothing is left that may be dropped.

        When the disk refuses, records on the disk are dropped only if that makes room for those in memory.
        """
        store = self.store
        futile = 0
        while not self.final and (reason := self._excess()):
            spare = reason != "journal_limit" and (futile >= _FUTILE or reason not in _FULL)
            unsettled = (s for s in store.segments if s.size and not s.settled and s.last > self.sent_seq)
            segment = next((s for s in unsettled if not spare or s.stored < s.size), None)
            if segment is None:
                return
            unstored = store.unstored
            self._settle_with_splits(segment, reason)
            if store.refused is not None:
                store.spill()
                futile = futile + 1 if store.unstored >= unstored else 0

    def _settle_with_splits(self, segment: Segment, reason: str) -> None:
        """Settle a segment, and its neighbours as far as a split message reaches into them."""
        store = self.store
        while (split := self._split(segment.first)) and self.sent_seq < split.first < segment.first:
            segment = store.segments[store.index(split.first - 1)]
        self._settle(segment, reason)
        while (
            (split := self._split(segment.last)) and split.dropped and segment.last < min(split.last, store.active.last)
        ):
            segment = store.segments[store.index(segment.last)]
            self._settle(segment, reason)

    def _excess(self) -> str | None:
        store = self.store
        if store.size > self._limit:
            return "journal_limit"
        if store.refused is not None and store.unstored > self._memory:
            return errno.errorcode.get(store.refused.errno or 0, "disk")
        return None

    def _settle(self, segment: Segment, reason: str) -> None:
        """Drop everything from a segment that may be dropped."""
        sent, last = self.sent_seq, segment.last
        if segment is self.store.active:
            self.store.roll()

        def may_go(record: Record) -> bool:
            if record.seq <= sent or record.seq in segment.keepers:
                return False
            split = self._split(record.seq)
            return split is None or split.first > sent

        records = self._records(segment)
        change = compact(records, may_go, self._is_part, self._open_marks(), self._mark, reason)
        self._totals.drop(change.gone, change.opened, change.closed)
        for split in self._splits:
            if sent < split.first <= last:
                split.dropped = True
        segment.settled = True
        self._apply(segment, change)
        previous = self.store.joinable(segment)
        if previous is not None:
            self._join(previous, segment)

    def _join(self, previous: Segment, segment: Segment) -> None:
        """Merge two settled segments, so that a long outage leaves few files and few markers."""
        records = [*self._records(previous), *self._records(segment)]
        change = compact(records, lambda record: False, self._is_part, self._open_marks(), self._mark, "")
        self._totals.drop([], change.opened, change.closed)
        previous.last = segment.last
        previous.keepers |= segment.keepers
        previous.spare |= segment.spare
        self.store.take_out(segment)
        self._totals.size -= segment.size
        self._apply(previous, change)
        if previous.stored == previous.size or not previous.filed:
            self.store.discard(segment)  # otherwise only its file has its keepers on the disk

    def _apply(self, segment: Segment, change: Change) -> None:
        for gap in change.closed:
            del self._marked[gap.last]
        for gap in change.opened:
            self._marked[gap.last] = gap
        keepers, marked = segment.keepers, self._marked
        self._totals.size += self.store.replace(segment, change.records, lambda seq: seq in keepers or seq in marked)

    def shed(self, going: Set[int], shorten: Callable[[Record], Record], reason: str) -> list[Record]:
        """Replace unconfirmed records that the server does not take, even sent ones: it has not gone beyond them.

        A LOG that is no keeper becomes a gap, any other record but COMPLETE what `shorten` makes of it. Returns those
        LOGs.
        """

        segments = [segment for segment in self.store.segments if segment.last > self.confirmed_seq]
        keepers = {seq for segment in segments for seq in segment.keepers}

        def goes(record: Record) -> bool:
            return record.seq in going and record.seq > self.confirmed_seq

        def leaves(record: Record) -> bool:
            return goes(record) and record.type == LOG.name and record.seq not in keepers

        def shrinks(record: Record) -> bool:
            return goes(record) and record.type != COMPLETE.name and not leaves(record)

        shed: list[Record] = []
        for segment in segments:
            records = self._records(segment)
            if not any(map(goes, records)):
                continue
            if segment is self.store.active:
                self.store.roll()
            records = [shorten(record) if shrinks(record) else record for record in records]
            change = compact(records, leaves, leaves, self._open_marks(), self._mark, reason)
            self._totals.drop(change.gone, change.opened, change.closed)
            self._apply(segment, change)
            shed += change.gone
        return shed

    @property
    def last(self) -> Record:
        """The last record."""
        return self._records(self._last_segment)[-1]

    def replace_last(self, record: Record) -> None:
        """Put a record in the place of the last one; the caller counts it."""
        segment = self._last_segment
        kept = {*segment.keepers, record.seq}
        self.store.replace(segment, [*self._records(segment)[:-1], record], lambda seq: seq in kept)

    @property
    def _last_segment(self) -> Segment:
        return next(segment for segment in reversed(self.store.segments) if segment.last >= segment.first)

    # --- reading back

    def _records(self, segment: Segment) -> list[Record]:
        """Return the records of a segment, from the disk if necessary. Unreadable ones are lost, and announced."""
        if segment.records is not None:
            return segment.records
        trouble = "damaged"
        try:
            content = segment.content()
        except OSError as error:
            content = b""
            trouble = error.strerror or str(error)
        first, last = segment.first, segment.last
        if segment.is_intact(content) and (intact := whole(content, first, last)) is not None:
            self.store.hold(segment, intact)
            return intact
        found = parse(content, self._run_id, first, last)
        change = mend(found, first, last, segment.keepers, max(0, segment.size - len(content)), self._mark)
        if len(change.records) == len(found.records):
            self.store.hold(segment, change.records)
            return change.records
        for gap in change.opened:
            self.store.problems.append(f"segment {first}: messages {gap.first} to {gap.last} are lost ({trouble})")
        spare = segment.spare.items()
        lost = [type for seq, type in spare if any(gap.first <= seq <= gap.last for gap in change.opened)]
        self._totals.lose(change.opened, lost)
        self._apply(segment, change)
        return change.records

    def _split(self, seq: int) -> Split | None:
        index = bisect_right(self._splits, seq, key=lambda split: split.first) - 1
        return self._splits[index] if index >= 0 and self._splits[index].last >= seq else None

    def _is_part(self, record: Record) -> bool:
        return self._split(record.seq) is not None

    def _open_marks(self) -> dict[int, Gap]:
        """Return the markers that may still change, because they are not sent."""
        return {last: gap for last, gap in self._marked.items() if last > self.sent_seq}
