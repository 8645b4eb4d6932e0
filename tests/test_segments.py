"""One segment: what is in memory and what is on the disk."""

from __future__ import annotations

import errno
import os
import time

import pytest

from agent.gaps import Record
from agent.rundirectory import Run, RunDirectory
from agent.segments import Segment


@pytest.fixture
def directory(tmp_path):
    made = RunDirectory.create(tmp_path, Run("c1", "R1", "0", ""))
    yield made
    made.remove()


def batch(*seqs: int) -> tuple[list[Record], bytes]:
    records = [Record(seq, b'{"seq":%d}' % seq, "LOG") for seq in seqs]
    return records, b"".join(record.message + b"\n" for record in records)


def test_what_is_appended_is_on_the_disk_and_can_be_released(directory):
    segment = Segment(directory, 1)
    records, block = batch(1, 2)
    segment.append(records, block, store=True)
    assert (segment.last, segment.size, segment.stored) == (2, len(block), len(block))
    assert directory.read(1) == block
    segment.release()
    assert segment.records is None
    assert segment.content() == block
    segment.discard()
    assert directory.segments() == {}


def test_a_file_that_somebody_has_written_to_is_noticed(directory):
    """Within one tick of the kernel's clock, too, and without a change of size."""
    segment = Segment(directory, 1)
    segment.append(*batch(1, 2), store=True)
    segment.append(*batch(3), store=True)
    assert not segment.is_intact(), "it is still being written"
    segment.seal()
    assert segment.is_intact()
    path = directory.path / f"{1:020d}.ndjson"
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b"2", b"7"))
    assert not segment.is_intact()
    time.sleep(0.02)  # longer than a tick
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not segment.is_intact(), "that time can be set, the other cannot"


def test_a_file_that_was_shortened_while_it_was_written_is_not_intact(directory):
    segment = Segment(directory, 1)
    segment.append(*batch(1, 2), store=True)
    os.truncate(directory.path / f"{1:020d}.ndjson", 3)
    segment.seal()
    assert not segment.is_intact()


def test_a_file_is_intact_only_while_it_has_all_lines_as_they_were_written(directory):
    segment = Segment(directory, 1)
    segment.append(*batch(1, 2), store=True)
    segment.seal()
    segment.append(*batch(3), store=True)
    assert not segment.is_intact()
    segment.append(*batch(4), store=False)
    segment.seal()
    assert not segment.is_intact(), "a line is in memory only"
    segment.store()
    assert not segment.is_intact(), "not known any more"
    segment.discard()
    with pytest.raises(FileNotFoundError):
        Segment.existing(directory, 1, 1, 3).content()


def test_what_the_disk_refuses_stays_in_memory_and_is_stored_later(directory, monkeypatch):
    segment = Segment(directory, 1)
    first, second, third = batch(1), batch(2), batch(3)
    segment.append(*first, store=True)

    def refuse(*arguments) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "append", refuse)
        with pytest.raises(OSError, match="Input"):
            segment.append(*second, store=True)
    segment.append(*third, store=True)
    assert segment.stored == len(first[1]), "nothing is stored behind a hole"
    segment.release()
    assert segment.records == first[0] + second[0] + third[0]
    segment.store()
    assert directory.read(1) == first[1] + second[1] + third[1]
    fourth = batch(4)
    segment.append(*fourth, store=True)
    assert directory.read(1).endswith(fourth[1])
    assert segment.stored == segment.size
    segment.seal()


def test_replacing_keeps_what_is_kept(directory):
    segment = Segment(directory, 1)
    records, block = batch(1, 2, 3)
    segment.append(records, block, store=True)
    segment.keepers = {1: records[0], 2: records[1]}
    segment.progress = [3]
    grown = segment.replace(records[:1], lambda seq: seq < 3)
    segment.store()
    assert grown == -(len(block) - records[0].size)
    assert (segment.keepers, segment.progress) == ({1: records[0]}, [])
    assert directory.read(1) == records[0].message + b"\n"


def test_without_a_directory_everything_is_memory():
    segment = Segment(None, 1)
    records, block = batch(1)
    segment.append(records, block, store=True)
    segment.store()
    segment.release()
    assert segment.records == records
    assert segment.content() == block
    segment.discard()
