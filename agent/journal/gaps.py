"""What a journal does not hold any more, and the markers that say so. Pure: lists of records in, lists out.

The records of a journal tile the sequence numbers: each stands for its own number, a gap marker for all numbers from
its `first` to its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import msgspec

from agent.journal.record import Found, Record
from agent.protocol import LOG, events
from agent.protocol import Gap as Marked
from agent.protocol import gap_of as marked_gap


class Gap(msgspec.Struct, frozen=True):
    """Messages `first` to `last` are gone; `size` bytes as far as is known."""

    first: int
    last: int
    size: int
    reason: str

    @property
    def count(self) -> int:
        return self.last - self.first + 1

    def data(self) -> bytes:
        """The data of its marker, a LOG with seq = last."""
        told = Marked(from_seq=self.first, to_seq=self.last, count=self.count, bytes=self.size, reason=self.reason)
        what = "1 message is" if self.count == 1 else f"{self.count} messages are"
        return events.log("warn", f"{what} lost: {self.reason}", kind="gap", gap=told).data


class _Line(msgspec.Struct):
    data: msgspec.Raw


_decode_line = msgspec.json.Decoder(_Line).decode


def gap_of(record: Record) -> Gap | None:
    """The gap that a record marks; None for any other record."""
    if record.type != LOG.name or b'"kind":"gap"' not in record.message:
        return None
    marker = marked_gap(_decode_line(record.message).data)
    if marker is None or marker.to_seq != record.seq:  # the text stands in something else
        return None
    return Gap(marker.from_seq, marker.to_seq, marker.bytes, marker.reason)


class Change(NamedTuple):
    """What became of a list of records."""

    records: list[Record]
    #: Records that are gone.
    gone: list[Record]
    #: Markers that stood before and do not stand any more, and those that are new.
    closed: list[Gap]
    opened: list[Gap]


def compact(
    records: Iterable[Record],
    may_go: Callable[[Record], bool],
    must_go: Callable[[Record], bool],
    marked: Mapping[int, Gap],
    mark: Callable[[Gap], Record],
    reason: str,
) -> Change:
    """Replace what may go by markers; markers that meet become one.

    `marked` holds the markers that may still change. What is smaller than its marker stays, unless it must go.
    """
    change = Change([], [], [], [])
    run: list[Record] = []  # neighbours that go, and markers among them

    def end_run() -> None:
        gone = [record for record in run if record.seq not in marked]
        closed = [marked[record.seq] for record in run if record.seq in marked]
        if not gone and len(closed) < 2:
            change.records.extend(run)
        else:
            size = sum(record.size for record in gone)
            first = marked[run[0].seq].first if run[0].seq in marked else run[0].seq
            gap = Gap(
                first, run[-1].seq, size + sum(gap.size for gap in closed), closed[0].reason if closed else reason
            )
            marker = mark(gap)
            if not closed and marker.size >= size and not any(map(must_go, gone)):
                change.records.extend(run)
            else:
                change.records.append(marker)
                change.gone.extend(gone)
                change.closed.extend(closed)
                change.opened.append(gap)
        run.clear()

    for record in records:
        if record.seq in marked or may_go(record):
            run.append(record)
        else:
            if run:
                end_run()
            change.records.append(record)
    if run:
        end_run()
    return change


def mend(
    found: Found, first: int, last: int, keepers: Mapping[int, Record], missing: int, mark: Callable[[Gap], Record]
) -> Change:
    """Fill what is not there of `first` to `last`: from `keepers`, else by a marker.

    `missing` is how many bytes the file is too short.
    """
    change = Change([], [], [], [])
    records = {record.seq: record for record in found.records} | dict(keepers)
    garbage = dict(found.garbage)
    seqs = sorted(seq for seq in records if first <= seq <= last)
    expected = first
    spare = found.torn + missing

    def fill(end: int, size: int) -> None:
        gap = Gap(expected, end, size, "journal_unreadable")
        change.records.append(mark(gap))
        change.opened.append(gap)

    for seq in seqs:
        record = records[seq]
        if seq > expected:
            marker = gap_of(record)
            if marker is None or marker.first > expected:
                fill((marker.first if marker else seq) - 1, garbage.pop(seq, 0))
        change.records.append(record)
        expected = seq + 1
    if expected <= last:
        fill(last, spare)
    return change
