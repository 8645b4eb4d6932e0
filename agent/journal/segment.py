"""Segment: neighbouring records, in memory, on the disk, or both.

The disk holds the beginning of a segment. If the disk is behind, every record is also in memory; otherwise the records
may be released from memory.
"""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Callable

from agent.journal.record import Record
from agent.journal.run_directory import RunDirectory


class Segment:
    """The records with the numbers `first` to `last`. Attributes are plain, because append is the hot path."""

    __slots__ = (
        "_checksum",
        "_directory",
        "_file",
        "filed",
        "first",
        "keepers",
        "last",
        "records",
        "settled",
        "size",
        "spare",
        "stored",
    )

    def __init__(self, directory: RunDirectory | None, first: int) -> None:
        self.first = first
        self.last = first - 1
        #: Bytes of all its lines, and how many of them are on the disk.
        self.size = 0
        self.stored = 0
        #: None while the records are only on the disk.
        self.records: list[Record] | None = []
        #: Records that must not be lost even if the disk cannot be read. They are few, so they stay in memory.
        self.keepers: dict[int, Record] = {}
        #: Number -> kind of the messages that may be dropped and are not LOGs: if the file cannot be read any more,
        #: the totals need to know what is gone.
        self.spare: dict[int, str] = {}
        #: Everything that may be dropped has been dropped.
        self.settled = False
        #: A file exists, whatever it holds.
        self.filed = False
        self._directory = directory
        self._file: int | None = None
        #: CRC-32 of all its lines, None if unknown.
        self._checksum: int | None = None if directory is None else zlib.crc32(b"")

    @classmethod
    def existing(cls, directory: RunDirectory, first: int, size: int, last: int | None) -> Segment:
        """Make a segment of a file that a dead run left. `last` is None for the newest: its readable lines decide."""
        self = cls(directory, first)
        self.size = self.stored = size
        self.records = None
        self.filed = True
        self._checksum = None
        self.last = sys.maxsize if last is None else last
        return self

    def append(self, records: list[Record], block: bytes, *, store: bool) -> None:
        """Take records, whose lines are `block`. Raises OSError if the disk refuses; they are in memory then."""
        assert self.records is not None
        self.records.extend(records)
        self.last = records[-1].seq
        self.size += len(block)
        if self._checksum is not None:
            self._checksum = zlib.crc32(block, self._checksum)  # now, while the block is in the processor's cache
        if store and self._directory is not None and self.stored + len(block) == self.size:
            if self._file is None:
                self._file = self._directory.open_segment(self.first)
                self.filed = True
            self._directory.append(self._file, block, self.stored)
            self.stored = self.size

    def store(self) -> None:
        """Write the records that the disk does not have. Raises OSError."""
        if self._directory is not None and self.stored < self.size:
            assert self.records is not None
            self.filed = True
            self._directory.rewrite(self.first, _lines(self.records)[self.stored :], self.stored)
            self.stored = self.size

    def replace(self, records: list[Record], is_kept: Callable[[int], bool]) -> int:
        """Hold other records instead. Return by how many bytes the segment grew. The caller stores it."""
        before = self.size
        self.seal()
        self.records = records
        self._checksum = None
        self.size = sum(record.size for record in records)
        self.stored = 0
        self.keepers = {record.seq: record for record in records if is_kept(record.seq)}
        there = {record.seq for record in records}
        self.spare = {seq: type for seq, type in self.spare.items() if seq in there}
        return self.size - before

    def is_intact(self, content: bytes) -> bool:
        """Return whether `content` is what was appended, byte for byte."""
        return self._checksum is not None and zlib.crc32(content) == self._checksum

    def content(self) -> bytes:
        """Return its lines. Raises OSError."""
        if self.records is not None or self._directory is None:
            return _lines(self.records or [])
        return self._directory.read(self.first)

    def release(self) -> None:
        """Release the records from memory if the disk has all of them."""
        if self.stored == self.size and self.records is not None:
            if self._checksum is None:
                self._checksum = zlib.crc32(_lines(self.records))
            self.records = None

    def seal(self) -> None:
        """Close the file, because nothing is appended for now."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def discard(self) -> None:
        """Delete the file, if any. Raises OSError."""
        self.seal()
        if self._directory is not None and self.filed:
            self._directory.unlink(self.first)


def _lines(records: list[Record]) -> bytes:
    return b"".join([b"%s\n" % record.message for record in records])
