"""Records: the numbered messages that a journal holds, and how they are found again in a segment's file. Pure."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

import msgspec

from agent.lines import split


class Record(msgspec.Struct, frozen=True, gc=False):
    """A numbered wire message, without its newline, as first written."""

    seq: int
    message: bytes
    type: str

    @property
    def size(self) -> int:
        """Bytes that it takes in the journal: the message and a newline."""
        return len(self.message) + 1


class Found(NamedTuple):
    """The contents of a segment's file: records whose numbers rise, and the bytes of garbage before each of them."""

    records: list[Record]
    garbage: dict[int, int]
    #: Bytes after the last record: a torn line.
    torn: int


class _Head(msgspec.Struct):
    type: str
    seq: int
    run_id: str = msgspec.field(name="runID")


_decode_head = msgspec.json.Decoder(_Head).decode


def parse(content: bytes, run_id: str, first: int, last: int) -> Found:
    """Find the records `first` to `last` in a segment's file. Linear, and tolerant of any garbage between them."""
    found = Found([], {}, 0)
    garbage = 0
    expected = first
    lines = content.split(b"\n")
    unended = lines.pop()
    for line in lines:
        try:
            head = _decode_head(line)
            if not line.isascii():
                line.decode()  # the JSON decoder does not check it, and a server would close the connection with 1007
        except (msgspec.DecodeError, UnicodeError):
            garbage += len(line) + 1
            continue
        if head.run_id != run_id or not line.endswith(b"}") or not expected <= head.seq <= last:
            continue
        if garbage:
            found.garbage[head.seq] = garbage
            garbage = 0
        found.records.append(Record(head.seq, line, head.type))
        expected = head.seq + 1
    return found._replace(torn=garbage + len(unended))


def whole(content: bytes, first: int, last: int) -> list[Record] | None:
    """Find the records in a file that is known to be as it was written, four times as fast as `parse`.

    Returns None if the file does not have one line for each number from `first` to `last`.
    """
    lines = split(content)
    lines.pop()
    if len(lines) != last - first + 1:
        return None
    return [Record(seq, line, _type(line)) for seq, line in enumerate(lines, first)]


def _type(message: bytes) -> str:
    """Read the type, with which the envelope begins."""
    start = len(b'{"type":"')
    return message[start : message.index(b'"', start)].decode()


def position(records: list[Record], after: int) -> int:
    """Return the index of the first record with a number above `after`."""
    return bisect_left(records, after + 1, key=lambda record: record.seq)
