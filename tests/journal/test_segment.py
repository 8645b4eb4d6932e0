"""One segment: what is in memory and what is on the disk."""

from __future__ import annotations

import errno

import pytest

from agent.journal.record import Record
from agent.journal.run_directory import Run, RunDirectory
from agent.journal.segment import Segment


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


def test_a_changed_byte_is_noticed(directory):
    segment = Segment(directory, 1)
    segment.append(*batch(1, 2), store=True)
    segment.append(*batch(3), store=True)
    segment.release()
    content = segment.content()
    assert segment.is_intact(content)
    assert not segment.is_intact(content.replace(b"2", b"7"))
    assert not segment.is_intact(content[:-1])
    segment.replace([*batch(1, 2)[0], *batch(3)[0]], lambda seq: False)
    assert not segment.is_intact(content), "not known any more"
    segment.store()
    segment.release()
    assert segment.is_intact(segment.content())
    assert not Segment.existing(directory, 1, len(content), 3).is_intact(content)


def test_what_is_changed_in_place_while_the_segment_is_written_is_noticed(directory):
    """By a child that runs as the same user: neither size nor time would tell."""
    segment = Segment(directory, 1)
    segment.append(*batch(1, 2), store=True)
    with open(directory.path / f"{1:020d}.ndjson", "r+b") as file:
        file.write(b"\0")
    segment.append(*batch(3), store=True)
    segment.seal()
    segment.release()
    assert not segment.is_intact(segment.content())


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
    segment.spare = {3: "STATUS"}
    grown = segment.replace(records[:1], lambda seq: seq < 3)
    segment.store()
    assert grown == -(len(block) - records[0].size)
    assert (segment.keepers, segment.spare) == ({1: records[0]}, {})
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
