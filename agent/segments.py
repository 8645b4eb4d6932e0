"""A segment of the journal: some of its records in a row, in memory, on the disk, or both.

What is on the disk is a prefix of it. All is in memory while the disk has less than all; otherwise the journal decides
what to hold (`release`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from agent.gaps import Record
from agent.rundirectory import RunDirectory, Stamp


class Segment:
    """Covers the numbers `first` to `last`. Plain attributes: append is the hot path."""

    __slots__ = (
        "_directory",
        "_file",
        "_stamp",
        "filed",
        "first",
        "keepers",
        "last",
        "progress",
        "records",
        "settled",
        "size",
        "stored",
    )

    def __init__(self, directory: RunDirectory | None, first: int) -> None:
        self.first = first
        self.last = first - 1
        #: Bytes of all its lines, and how many of them are on the disk.
        self.size = 0
        self.stored = 0
        #: None while they are only on the disk.
        self.records: list[Record] | None = []
        #: What must never be lost, even if the disk cannot be read again: few, so they stay in memory.
        self.keepers: dict[int, Record] = {}
        #: The numbers of STATUS messages that may be dropped; all else that may be is LOG.
        self.progress: list[int] = []
        #: Whatever could be dropped is dropped.
        self.settled = False
        #: There is a file, whatever is in it.
        self.filed = False
        self._directory = directory
        self._file: int | None = None
        #: Of the file as we have written it, with all lines in it; None where that is not known.
        self._stamp: Stamp | None = None

    @classmethod
    def existing(cls, directory: RunDirectory, first: int, size: int, last: int | None) -> Segment:
        """One that a dead run left. `last` is None for the newest: it ends where its readable lines end."""
        self = cls(directory, first)
        self.size = self.stored = size
        self.records = None
        self.filed = True
        self.last = sys.maxsize if last is None else last
        return self

    def append(self, records: list[Record], block: bytes, *, store: bool) -> None:
        """Take records, whose lines are `block`. Raises OSError when the disk refuses: they are in memory then."""
        assert self.records is not None
        self.records.extend(records)
        self.last = records[-1].seq
        self.size += len(block)
        if store and self._directory is not None and self.stored + len(block) == self.size:
            if self._file is None:
                self._file = self._directory.open_segment(self.first)
                self._stamp = None
                self.filed = True
            self._directory.append(self._file, block, self.stored)
            self.stored = self.size

    def store(self) -> None:
        """Bring to the disk what it has not. Raises OSError."""
        if self._directory is not None and self.stored < self.size:
            assert self.records is not None
            self.filed = True
            self._stamp = None
            self._directory.rewrite(self.first, _lines(self.records)[self.stored :], self.stored)
            self.stored = self.size

    def replace(self, records: list[Record], is_kept: Callable[[int], bool]) -> int:
        """Hold other records instead; returns by how many bytes it grew. `store` follows."""
        before = self.size
        self.seal()
        self.records = records
        self._stamp = None
        self.size = sum(record.size for record in records)
        self.stored = 0
        self.keepers = {record.seq: record for record in records if is_kept(record.seq)}
        there = {record.seq for record in records}
        self.progress = [seq for seq in self.progress if seq in there]
        return self.size - before

    def is_intact(self) -> bool:
        """Whether nobody has written to the file since it was sealed with all of its lines. Raises OSError."""
        if self._directory is None or self._stamp is None:
            return False
        return self._directory.stamp(self.first) == self._stamp

    def content(self) -> bytes:
        """Its lines. Raises OSError."""
        if self.records is not None or self._directory is None:
            return _lines(self.records or [])
        return self._directory.read(self.first)

    def release(self) -> None:
        """Give the memory back where the disk has everything."""
        if self.stored == self.size:
            self.records = None

    def seal(self) -> None:
        """Nothing more is appended for now."""
        if self._directory is not None and self._file is not None:
            stamp = self._directory.close_segment(self._file)
            self._stamp = stamp if stamp and stamp[0] == self.stored == self.size else None
            self._file = None

    def discard(self) -> None:
        """Delete the file, if any. Raises OSError."""
        self.seal()
        if self._directory is not None and self.filed:
            self._directory.unlink(self.first)


def _lines(records: list[Record]) -> bytes:
    return b"".join([b"%s\n" % record.message for record in records])
