"""Segments of one journal, in order. The store decides which are in memory and on the disk, and frees them.

Memory is bounded: it holds the active segment, the newest of the others up to `memory` bytes, the segment being read,
and records that the disk refuses. Nothing here raises OSError.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from agent.journal.record import Record
from agent.journal.run_directory import RunDirectory
from agent.journal.segment import Segment


class SegmentStore:
    """The segments, at least one. The last one is active: it is appended to."""

    def __init__(
        self, directory: RunDirectory | None, segment_bytes: int, memory: int, keep: Path | None, keep_bytes: int = 0
    ) -> None:
        self.segments = [Segment(directory, 1)]
        #: Bytes held, in memory and on the disk.
        self.size = 0
        #: The reason why the disk takes nothing now.
        self.refused: OSError | None = None
        #: Damage, in sentences for a person, in order.
        self.problems: list[str] = []
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._memory = memory
        self._keep = keep
        self._keep_bytes = keep_bytes
        #: The segments whose records are in memory.
        self._resident = list(self.segments)
        self._reading: Segment | None = None

    @property
    def active(self) -> Segment:
        """The newest segment, the only one that is appended to."""
        return self.segments[-1]

    @property
    def unstored(self) -> int:
        """Bytes that are only in memory, because the disk refused them."""
        return 0 if self.refused is None else sum(segment.size - segment.stored for segment in self.segments)

    def index(self, after: int) -> int:
        """Return the index of the segment that holds the first number above `after`."""
        return bisect_right(self.segments, after, key=lambda segment: segment.last)

    def append(self, records: list[Record], block: bytes, keepers: Sequence[Record], spare: Sequence[Record]) -> None:
        """Take records, whose lines are `block`. `keepers` and `spare` are those among them."""
        active = self.segments[-1]
        if active.size >= self._segment_bytes:
            active = self.roll()
        for record in keepers:
            active.keepers[record.seq] = record
        for record in spare:
            active.spare[record.seq] = record.type
        self.size += len(block)
        try:
            active.append(records, block, store=self.refused is None)
        except OSError as error:
            active.seal()
            self.refused = error
        if self.refused is not None and keepers:
            self.spill()

    def roll(self) -> Segment:
        """Start a new active segment."""
        self.active.seal()
        active = Segment(self._directory, self.active.last + 1)
        self.segments.append(active)
        self._resident.append(active)
        if self.refused is None:
            self._trim()
        else:
            self.spill()
        return active

    def adopt(self, segment: Segment) -> None:
        """Insert a segment of a dead run before the active one, which is empty."""
        self.segments.insert(-1, segment)
        self.active.first = segment.last + 1
        self.active.last = segment.last
        self.size += segment.size

    def spill(self) -> None:
        """Try the disk again, with everything that it does not have."""
        try:
            for segment in self.segments:
                segment.store()
        except OSError as error:
            self.refused = error
        else:
            self.refused = None
        self._trim()

    def read_from(self, segment: Segment) -> None:
        """Keep the records of this segment in memory while it is being read."""
        self._reading = segment

    def hold(self, segment: Segment, records: list[Record]) -> None:
        """Keep the records that were read from the disk."""
        segment.records = records
        self._resident.append(segment)
        self._trim()

    def replace(self, segment: Segment, records: list[Record], is_kept: Callable[[int], bool]) -> int:
        """Replace the records of a segment. Return by how many bytes it grew."""
        grown = segment.replace(records, is_kept)
        self.size += grown
        if segment not in self._resident:
            self._resident.append(segment)
        try:
            segment.store()
        except OSError as error:
            self.refused = error
        self._trim()
        return grown

    def take_out(self, segment: Segment) -> None:
        """Remove a segment whose records the one before it has, or nobody needs."""
        self.segments.remove(segment)
        if segment in self._resident:
            self._resident.remove(segment)
        self.size -= segment.size

    def discard(self, segment: Segment) -> None:
        """Delete the file of a segment. A file that cannot be deleted is left."""
        with suppress(OSError):
            segment.discard()

    def joinable(self, segment: Segment) -> Segment | None:
        """Return the segment before it if both are settled and fit into one, else None."""
        index = self.segments.index(segment)
        previous = self.segments[index - 1] if index else None
        if previous is None or not previous.settled or previous.size + segment.size > self._segment_bytes:
            return None
        return previous

    def free(self, seq: int) -> bool:
        """Free the segments that end at `seq` or before, except the active one. Return whether there were any."""
        freed = self.segments[: min(self.index(seq), len(self.segments) - 1)]
        for segment in freed:
            self._free(segment)
        if freed and self.refused is not None:
            self.spill()
        return bool(freed)

    def clear(self) -> None:
        """Free everything."""
        for segment in tuple(self.segments):
            self._free(segment)

    def _free(self, segment: Segment) -> None:
        if self._keep is not None:
            try:
                self._keep_bytes -= segment.size
                if self._keep_bytes >= 0:
                    _write(self._keep / f"{segment.first:020d}.ndjson", segment.content())
            except OSError as error:
                self.problems.append(f"segment {segment.first} is not kept: {error}")
        self.discard(segment)
        self.take_out(segment)

    def _trim(self) -> None:
        room = self._memory
        others = [segment for segment in self._resident if segment not in (self.active, self._reading)]
        for segment in sorted(others, key=lambda segment: segment.first, reverse=True):
            room -= segment.size
            if room < 0:
                segment.release()
        self._resident = [segment for segment in self._resident if segment.records is not None]


def _write(path: Path, content: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
        file.write(content)
