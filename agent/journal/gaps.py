"""Gaps, and the markers that announce them. Pure: lists of records in, lists of records out.

The records of a journal tile the sequence numbers: each stands for its own number, and a gap marker for all numbers
from its `first` to its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import msgspec

from agent.journal.record import Found, Record
from agent.protocol import LOG, events
from agent.protocol import Gap as Marked
from agent.protocol import gap_of as marked_gap

#: Reasons of gaps that a server makes which takes no message so long: the content follows in parts, or does not.
SENT_AGAIN = "sent_again"
TOO_LONG = "too_long"


class Gap(msgspec.Struct, frozen=True):
    """Lost messages, `first` to `last`. `size` is their bytes, as far as is known."""

    first: int
    last: int
    size: int
    reason: str

    @property
    def count(self) -> int:
        """The number of messages."""
        return self.last - self.first + 1

    def data(self) -> bytes:
        """Return the data of its marker, a LOG whose seq is `last`."""
        told = Marked(from_seq=self.first, to_seq=self.last, count=self.count, bytes=self.size, reason=self.reason)
        what = "1 message is" if self.count == 1 else f"{self.count} messages are"
        words = f"{what} lost: {self.reason}"
        if self.reason == SENT_AGAIN:
            words = f"{what} sent again in shorter parts, since the server took none so long"
        return events.log("warn", words, kind="gap", gap=told).data


class _Line(msgspec.Struct):
    data: msgspec.Raw


_decode_line = msgspec.json.Decoder(_Line).decode


def gap_of(record: Record) -> Gap | None:
    """Return the gap that a record marks, None for any other record."""
    if record.type != LOG.name or b'"kind":"gap"' not in record.message:
        return None
    marker = marked_gap(_decode_line(record.message).data)
    if marker is None or marker.to_seq != record.seq:  # such a text may be part of any message
        return None
    return Gap(marker.from_seq, marker.to_seq, marker.bytes, marker.reason)


class Change(NamedTuple):
    """The outcome of compacting or mending a list of records."""

    records: list[Record]
    #: Records that are gone.
    gone: list[Record]
    #: Gaps whose markers were removed, and gaps whose markers are new.
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
    """Replace the records that may go by markers. Markers that meet become one.

    `marked` holds the markers that may still change. Records smaller than their marker stay, unless one must go.
    """
    change = Change([], [], [], [])
    run: list[Record] = []  # neighbouring records that go, and the markers among them

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
    """Fill the holes between `first` and `last` with `keepers`, and the rest with markers.

    `missing` is the number of bytes that the file is too short.
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
